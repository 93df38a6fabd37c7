//! Gives each event to the task it is about.

use super::HashMap;

use super::delays::{Delays, PastPolls};
use super::ends::Ends;
use super::labels::RawLabelsId;
use super::losses::Losses;
use super::raw::{Counts, RawGroupId, RawProfile, RawStack, TableId};
use super::registrations::Registration;
use super::relays::{Chain, Owner, Relays};
use super::root::Root;
use super::rows::{MAX_NS, RawWaker, RawWakerId};
use super::tally::{GroupKey, Tally};
use super::task::{Found, Task, Wake};
use super::tasks::Tasks;
use super::threads::{Polling, Thread};
use super::weight::Weight;
use crate::event::{Event, Kind, LABEL_REMOVED, LINGERS, Outcome};
use crate::profile::State;

/// (process, address).
pub(super) type Key = (u32, u64);

/// Reduces events to rows. Give it the events of all rings in the order of their time.
#[derive(Clone, Debug, Default)]
pub struct Aggregator {
    pub(super) tally: Tally,
    pub(super) tasks: Tasks,
    pub(super) roots: HashMap<Key, Root>,
    pub(super) relays: Relays,
    pub(super) threads: Vec<Thread>,
    /// By process.
    pub(super) losses: HashMap<u32, Losses>,
    pub(super) delays: Delays,
    pub(super) ends: Ends,
    /// When labelled tasks began the piece of work that they are at.
    pub(super) pieces: HashMap<Key, u64>,
    pub(super) table_stacks: HashMap<(u32, TableId), RawStack>,
    pub(super) nested_tables: Vec<((u32, TableId), RawStack)>,
    pub(super) table_names: HashMap<(u32, TableId), RawStack>,
    /// When this part of the recording began.
    pub(super) begun_ns: u64,
    /// Since when tasks that lived then had been in their state.
    pub(super) carried: HashMap<Key, u64>,
}

impl Aggregator {
    pub fn new() -> Aggregator {
        Aggregator::default()
    }

    /// Tasks alive now.
    pub fn tasks_alive(&self) -> usize {
        self.tasks.len()
    }

    /// Tasks that have begun or ended a poll, or were woken, in the second before.
    pub fn tasks_busy(&self, now_ns: u64) -> usize {
        const SECOND_NS: u64 = 1_000_000_000;
        let is_busy = |(_, task): &(&Key, &Task)| now_ns.saturating_sub(task.since_ns()) < SECOND_NS;
        self.tasks.iter().filter(is_busy).count()
    }

    #[cfg(test)]
    pub(super) fn relays_known(&self) -> usize {
        self.relays.len()
    }

    pub fn counts(&self) -> Counts {
        self.tally.counts
    }

    /// From now on polling threads are sampled once in so many nanoseconds.
    pub fn set_sampling_period(&mut self, period_ns: u64) {
        self.tally.running.set_period(period_ns);
    }

    /// The thread of ring `ring` was found on the CPU, or blocked (`state`), at this stack of its innermost poll. The
    /// sample stands for `weight_ns`.
    pub fn sample(&mut self, ring: usize, at_ns: u64, state: State, stack: u32, weight_ns: u64) {
        let Some(thread) = self.threads.get(ring) else {
            return;
        };
        if let Some(polling) = thread.polling.last()
            && let Some(task) = self.tasks.get_mut(&(thread.process, polling.subject))
        {
            let found = Found {
                state,
                stack,
                weight_ns,
            };
            task.sampled(&mut self.tally, at_ns.min(MAX_NS), ring, found);
        }
    }

    /// One event of ring `ring` at `at_ns`. A ring's events must come in its order. `process_of` numbers the
    /// process that is in a process slot now.
    ///
    /// A [`Kind::Gap`] of value 0 says that the ring loses events from here on, until its next gap; give one, in
    /// the order of time, as soon as a loss is known. Without it a gap's loss is taken to begin at the ring's last
    /// event, and what was concluded from other rings meanwhile stays.
    pub fn event(&mut self, ring: usize, at_ns: u64, event: Event, process_of: impl FnOnce(u16) -> u32) {
        self.tally.counts.events += 1;
        if self.threads.len() <= ring {
            self.threads.resize_with(ring + 1, Thread::default);
        }
        let at_ns = at_ns.min(MAX_NS);
        let process = self.threads[ring].process;
        let subject = match event.kind {
            Kind::Await | Kind::PollPending if event.subject == 0 => {
                let innermost = self.threads[ring].polling.last();
                innermost.map_or(0, |polling| polling.subject)
            }
            _ => event.subject,
        };
        let key = (process, subject);
        let stack = event.value as u32;
        match event.kind {
            Kind::ThreadStart => self.thread_start(ring, at_ns, process_of(event.aux)),
            Kind::Gap => self.gap(ring, at_ns, event.value),
            Kind::Spawn => self.spawn(ring, key, at_ns, event.aux, event.value),
            // Given to `sample`, by who knows what it stands for.
            Kind::Sample => {}
            Kind::TableSeen => self.table_seen(ring, event.aux, RawStack::new(process, stack)),
            Kind::TableNamed => {
                let name = RawStack::new(process, stack);
                self.table_names.insert((process, event.aux), name);
            }
            Kind::PollStart => self.poll_start(ring, key, at_ns, event.aux, event.id_and_step()),
            Kind::LeftOut => self.left_out(ring, key, at_ns),
            Kind::PollEnd => {
                if event.aux & LINGERS != 0
                    && let Some(task) = self.tasks.get(&key)
                {
                    self.ends.add(key, task.group);
                }
                let outcome = Outcome::from_aux(event.aux & !LINGERS).unwrap_or(Outcome::Pending);
                self.poll_end(ring, key, at_ns, outcome);
            }
            Kind::PollPending => self.poll_end(ring, key, at_ns, Outcome::Pending),
            Kind::Await => match self.tasks.get_mut(&key) {
                Some(task) => task.registered(ring, event.aux, stack),
                None => self.polled_unseen(key),
            },
            Kind::Passed => {
                let by = self.group_of((process, event.value));
                self.threads[ring].passed = Some((event.subject, by));
            }
            Kind::Wake => {
                let waker = self.waker(ring, event.subject, stack);
                if let Some(task) = self.tasks.get_mut(&key) {
                    let wake = wake(event, waker, &self.threads[ring].waking, task.owner(key));
                    task.face(&mut self.tally, self.losses.get(&process), at_ns);
                    task.woken(&mut self.tally, at_ns, wake);
                }
            }
            Kind::End => {
                let outcome = Outcome::from_aux(event.aux).unwrap_or(Outcome::Freed);
                self.end(key, at_ns, outcome);
            }
            Kind::RootAwait => {
                let tally = &mut self.tally;
                // Another thread enters a scheduler that the former one has left.
                if self.roots.get(&key).is_some_and(|root| !root.is_on(ring))
                    && let Some(former) = self.roots.remove(&key)
                {
                    former.left(tally);
                }
                let labels = self.threads[ring].labels;
                let root = self.roots.entry(key).or_insert_with(|| {
                    let key = GroupKey::Roots {
                        process,
                        first_stack: stack,
                    };
                    let group = tally.enter_group(key, Weight::default());
                    #[cfg(test)]
                    tally.rows.probe.begun(group, Weight::default(), at_ns);
                    Root::first_seen(group, ring, labels, at_ns)
                });
                let tag = event.aux;
                root.face(&mut self.tally, self.losses.get(&process), at_ns);
                root.registered(&mut self.tally, at_ns, Registration { tag, stack });
                self.threads[ring].root = Some(event.subject);
            }
            Kind::RootWake => {
                let waker = self.waker(ring, event.subject, stack);
                if let Some(root) = self.roots.get_mut(&key) {
                    let wake = wake(event, waker, &self.threads[ring].waking, Owner { key, id: 0 });
                    root.face(&mut self.tally, self.losses.get(&process), at_ns);
                    root.woken(&mut self.tally, at_ns, wake);
                }
            }
            Kind::RelayAwait => self.branch_registered(ring, key, at_ns, event.aux, stack),
            Kind::RelayWake => {
                let (tag, outer) = event.tag_and_relays();
                let used = self.relays.used(key, tag);
                self.threads[ring].waking.push(outer, used);
            }
            Kind::RelayDrop => self.relays.dropped(key, event.aux),
            Kind::Work => self.worked(ring, at_ns, event.subject),
            Kind::Label => {
                let value = (event.aux != LABEL_REMOVED).then_some(event.value as u32);
                self.labelled(ring, at_ns, event.subject as u32, value);
            }
            Kind::RootEnd => {
                if let Some(mut root) = self.roots.remove(&key) {
                    root.face(&mut self.tally, self.losses.get(&process), at_ns);
                    root.end(&mut self.tally, at_ns, false);
                }
            }
        }
        self.threads[ring].last_ns = at_ns;
    }

    /// A process is gone: what its tasks were doing ends here, unfinished.
    pub fn process_ended(&mut self, process: u32, at_ns: u64) {
        let at_ns = at_ns.min(MAX_NS);
        let losses = self.losses.remove(&process);
        let mut branches = self.relays.left(process);
        for (key, mut task) in self.tasks.remove_process(process) {
            task.face(&mut self.tally, losses.as_ref(), at_ns);
            if let Some(branches) = branches.remove(&task.owner(key)) {
                task.still_at(branches);
            }
            task.end(&mut self.tally, at_ns, true);
        }
        for (key, mut root) in self.roots.extract_if(|key, _| key.0 == process) {
            root.face(&mut self.tally, losses.as_ref(), at_ns);
            if let Some(branches) = branches.remove(&Owner { key, id: 0 }) {
                root.still_at(branches);
            }
            root.end(&mut self.tally, at_ns, true);
        }
        self.pieces.retain(|key, _| key.0 != process);
    }

    /// The recording ends: what is still open is counted up to now.
    pub fn finish(mut self, at_ns: u64) -> RawProfile {
        let keys = self.tasks.iter().map(|(key, _)| key).chain(self.roots.keys());
        let mut processes: Vec<u32> = keys.map(|key| key.0).collect();
        processes.sort_unstable();
        processes.dedup();
        for process in processes {
            self.process_ended(process, at_ns);
        }
        let longest_polls = self.tally.longest_polls();
        let open_waits = self.tally.open_waits();
        let of_running = self.tally.finish_running();
        let (mut rows, wakers) = self.tally.rows.finish();
        rows.extend(of_running);
        let (label_sets, labels_lost) = self.tally.labels.finish();
        let counts = Counts {
            labels_lost,
            ..self.tally.counts
        };
        RawProfile {
            rows,
            wakers,
            groups: self.tally.groups,
            longest_polls,
            open_waits,
            delays: self.delays.finish(),
            table_stacks: self.table_stacks,
            nested_tables: self.nested_tables,
            table_names: self.table_names,
            label_sets,
            work: self.tally.work.finish(),
            counts,
            begun_ns: self.begun_ns,
        }
    }

    fn thread_start(&mut self, ring: usize, at_ns: u64, process: u32) {
        let Thread {
            process: former,
            last_ns,
            ..
        } = self.threads[ring];
        self.lose_polls(ring, last_ns.min(at_ns));
        // What the former thread lost at its end is over.
        if let Some(losses) = self.losses.get_mut(&former) {
            losses.end(ring, at_ns);
        }
        for (_, root) in self
            .roots
            .extract_if(|key, root| key.0 == former && root.is_on(ring))
        {
            root.left(&mut self.tally);
        }
        let thread = &mut self.threads[ring];
        thread.process = process;
        thread.root = None;
        thread.labels = RawLabelsId::default();
        thread.begun_ns = None;
        thread.waking.clear();
        thread.passed = None;
        thread.past = PastPolls::default();
    }

    /// Ring `ring` begins to lose events (`lost` is 0), or has lost so many since its last one.
    fn gap(&mut self, ring: usize, at_ns: u64, lost: u64) {
        self.tally.counts.events_lost = self.tally.counts.events_lost.saturating_add(lost);
        let from_ns = if lost == 0 {
            at_ns
        } else {
            self.threads[ring].last_ns
        };
        let losses = self.losses.entry(self.threads[ring].process).or_default();
        losses.begin(ring, from_ns);
        if lost != 0 {
            losses.end(ring, at_ns);
        }
        self.lose_polls(ring, from_ns);
        self.relays.forget(self.threads[ring].process);
        self.ends.forget_all(self.threads[ring].process);
        self.threads[ring].root = None;
        self.threads[ring].waking.clear();
    }

    /// The ends of this ring's running polls will not be told.
    fn lose_polls(&mut self, ring: usize, from_ns: u64) {
        let polls = std::mem::take(&mut self.threads[ring].polling);
        self.lose(ring, &polls, from_ns);
    }

    pub(super) fn lose(&mut self, ring: usize, polls: &[Polling], from_ns: u64) {
        for polling in polls {
            if let Some(task) = self.tasks.get_mut(&(self.threads[ring].process, polling.subject))
                && task.running_on() == Some(ring)
            {
                task.lost(&mut self.tally, from_ns);
            }
        }
    }

    fn table_seen(&mut self, ring: usize, table: TableId, stack: RawStack) {
        let process = self.threads[ring].process;
        if self.table_stacks.insert((process, table), stack).is_some() {
            return;
        }
        let outer = self.threads[ring].polling.last();
        if let Some(table) = outer.and_then(|outer| self.tally.table_of(outer.group)) {
            self.nested_tables.push(((process, table), stack));
        }
    }

    /// What is polled on this ring's thread has polled a branch of its own, and that has left a waker.
    fn branch_registered(&mut self, ring: usize, relay: Key, at_ns: u64, tag: u16, stack: u32) {
        let thread = &self.threads[ring];
        let polled = match (thread.polling.last(), thread.root) {
            (Some(polling), _) => {
                let key = (relay.0, polling.subject);
                let runs_here = |task: &&Task| task.running_on() == Some(ring);
                let task = self.tasks.get(&key).filter(runs_here);
                task.map(|task| task.owner(key))
            }
            (None, Some(root)) => {
                let key = (relay.0, root);
                let root = self.roots.get_mut(&key).filter(|root| root.is_on(ring));
                root.map(|root| {
                    root.face(&mut self.tally, self.losses.get(&relay.0), at_ns);
                    root.branch_registered(&mut self.tally, at_ns);
                    Owner { key, id: 0 }
                })
            }
            (None, None) => None,
        };
        if let Some(owner) = polled {
            let (tasks, roots) = (&self.tasks, &self.roots);
            let is_alive = |owner: &Owner| match tasks.get(&owner.key) {
                Some(task) => task.id == owner.id,
                None => roots.contains_key(&owner.key),
            };
            let registration = Registration { tag, stack };
            self.relays
                .registered(relay, owner, at_ns, registration, is_alive);
        }
    }

    /// The group of a task that lives, or has ended lately.
    fn group_of(&self, key: Key) -> Option<RawGroupId> {
        let alive = self.tasks.get(&key).map(|task| task.group);
        alive.or_else(|| self.ends.group(key))
    }

    /// Who is waking this task on this ring's thread: the one whose end is passed on to it, else the one that is polled.
    fn waker(&mut self, ring: usize, woken: u64, stack: u32) -> RawWakerId {
        let thread = &mut self.threads[ring];
        let passed = thread.passed.take_if(|passed| passed.0 == woken);
        let polled = || thread.polling.last().map(|polling| polling.group);
        self.tally.rows.waker(RawWaker::Seen {
            group: passed.map_or_else(polled, |(_, by)| by),
            stack: RawStack::new(thread.process, stack),
        })
    }
}

/// The wake-up of `owner` that an event tells of.
fn wake(event: Event, waker: RawWakerId, waking: &Chain, owner: Owner) -> Wake<'_> {
    let (own_tag, relays) = event.tag_and_relays();
    let (branch, tag) = waking.branch_of(owner, relays).unzip();
    Wake {
        tag: tag.unwrap_or(own_tag),
        waker,
        branch,
    }
}
