//! Gives each event to the task it is about.

use std::collections::{BinaryHeap, HashMap};

use super::root::Root;
use super::rows::{RawRow, RawWaker, RawWakerId, Rows};
use super::task::{Noted, RawStack, Task, Wake};
use crate::event::{Event, Kind, Outcome};
use crate::profile::LONGEST_POLLS;

/// A task table of a process: its index in [`Tap::Tokio`](crate::process_info::Tap).
pub type TableId = u16;

/// Number of a group, with the process it belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct RawGroupId {
    pub process: u32,
    pub group: u32,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum GroupKey {
    Tasks {
        process: u32,
        table: Option<TableId>,
        spawn_stack: u32,
    },
    Roots {
        process: u32,
    },
}

/// Tasks of one table that were spawned at one place; or the futures under `block_on` of one process.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RawGroup {
    pub process: u32,
    /// None for roots, and for tasks that were never polled.
    pub table: Option<TableId>,
    pub is_root: bool,
    pub spawn_stack: RawStack,
    pub tasks: u64,
    pub completed: u64,
    pub cancelled: u64,
    pub panicked: u64,
}

/// One long poll.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct RawLongPoll {
    /// First, so that polls order by length.
    pub duration_ns: u64,
    pub started_ns: u64,
    pub group: RawGroupId,
    /// Number of the stack where it left off, in the group's process.
    pub stack: u32,
}

/// What was counted on the way.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    pub events: u64,
    /// Events that rings have told of having dropped.
    pub events_lost: u64,
    pub tasks_seen_late: u64,
    pub wakes_unseen: u64,
    pub waits_split: u64,
}

/// Everything that aggregation knows at the end, before names.
#[derive(Debug)]
pub struct RawProfile {
    pub rows: Vec<RawRow>,
    pub wakers: Vec<RawWaker>,
    pub groups: Vec<RawGroup>,
    /// Per group, at most [`LONGEST_POLLS`] each.
    pub longest_polls: Vec<RawLongPoll>,
    /// Per (process, table): the stack at its first poll, below that poll.
    pub table_stacks: HashMap<(u32, TableId), RawStack>,
    /// Tables in whose polls other tables were first polled, with the stack that did it: runtimes' workers.
    pub nested_tables: Vec<((u32, TableId), RawStack)>,
    pub counts: Counts,
}

/// A ring's thread.
#[derive(Debug, Default)]
struct Thread {
    process: u32,
    /// Tasks being polled, innermost last. More than one: a runtime's worker is a task itself.
    polling: Vec<u64>,
}

/// A spawn whose task was not polled yet.
#[derive(Clone, Copy, Debug)]
struct Spawn {
    at_ns: u64,
    stack: u32,
}

/// Reduces events to rows. Give it the events of all rings in the order of their time.
#[derive(Debug, Default)]
pub struct Aggregator {
    rows: Rows,
    groups: Vec<RawGroup>,
    group_index: HashMap<GroupKey, RawGroupId>,
    /// By (process, address).
    tasks: HashMap<(u32, u64), Task>,
    roots: HashMap<(u32, u64), Root>,
    spawns: HashMap<(u32, u64), Spawn>,
    threads: Vec<Thread>,
    longest_polls: HashMap<RawGroupId, BinaryHeap<std::cmp::Reverse<RawLongPoll>>>,
    table_stacks: HashMap<(u32, TableId), RawStack>,
    nested_tables: Vec<((u32, TableId), RawStack)>,
    counts: Counts,
}

/// Allocations that look like spawns and are never polled are forgotten beyond this number.
const MAX_PENDING_SPAWNS: usize = 1 << 20;

impl Aggregator {
    pub fn new() -> Aggregator {
        Aggregator::default()
    }

    /// Tasks alive now.
    pub fn tasks_alive(&self) -> usize {
        self.tasks.len()
    }

    pub fn counts(&self) -> Counts {
        self.counts
    }

    /// One event of ring `ring` at `at_ns`. A ring's events must come in its order. `process_of` numbers the
    /// process that is in a process slot now.
    pub fn event(&mut self, ring: usize, at_ns: u64, event: Event, process_of: impl FnOnce(u16) -> u32) {
        self.counts.events += 1;
        if self.threads.len() <= ring {
            self.threads.resize_with(ring + 1, Thread::default);
        }
        let process = self.threads[ring].process;
        let key = (process, event.subject);
        let stack = event.value as u32;
        match event.kind {
            Kind::ThreadStart => {
                self.threads[ring] = Thread {
                    process: process_of(event.aux),
                    polling: Vec::new(),
                }
            }
            Kind::Gap => self.gap(ring, at_ns, event.value),
            Kind::Spawn => self.spawn(key, at_ns, stack),
            Kind::TableSeen => self.table_seen(
                ring,
                event.aux,
                RawStack {
                    process,
                    number: stack,
                },
            ),
            Kind::PollStart => self.poll_start(ring, key, at_ns, event.aux, event.value),
            Kind::PollEnd => self.poll_end(ring, key, at_ns, event.aux),
            Kind::Await => {
                if let Some(task) = self.tasks.get_mut(&key) {
                    task.registered(event.aux, stack);
                }
            }
            Kind::Wake => {
                let waker = self.waker(ring, stack);
                if let Some(task) = self.tasks.get_mut(&key) {
                    let noted = task.woken(
                        &mut self.rows,
                        at_ns,
                        Wake {
                            tag: event.aux,
                            waker,
                        },
                    );
                    self.note(key, noted);
                }
            }
            Kind::End => self.end(key, at_ns, event.aux),
            Kind::RootAwait => {
                if !self.roots.contains_key(&key) {
                    let group = self.group(GroupKey::Roots { process });
                    self.groups[group.group as usize].tasks += 1;
                    self.roots.insert(key, Root::first_seen(group, at_ns));
                }
                if let Some(root) = self.roots.get_mut(&key) {
                    root.registered(&mut self.rows, at_ns, event.aux, stack);
                }
            }
            Kind::RootWake => {
                let waker = self.waker(ring, stack);
                if let Some(root) = self.roots.get_mut(&key) {
                    root.woken(
                        &mut self.rows,
                        at_ns,
                        Wake {
                            tag: event.aux,
                            waker,
                        },
                    );
                }
            }
            Kind::RootEnd => {
                if let Some(root) = self.roots.remove(&key) {
                    root.end(&mut self.rows, at_ns, false);
                }
            }
        }
    }

    /// Ring `ring` was damaged or lost `lost` events.
    pub fn gap(&mut self, ring: usize, at_ns: u64, lost: u64) {
        self.counts.events_lost += lost;
        let Some(thread) = self.threads.get_mut(ring) else {
            return;
        };
        thread.polling.clear();
        let process = thread.process;
        // Any task of the process may have been polled or woken there.
        for (key, task) in &mut self.tasks {
            if key.0 == process {
                task.lost(&mut self.rows, at_ns);
            }
        }
    }

    /// A process is gone: what its tasks were doing ends here, unfinished.
    pub fn process_ended(&mut self, process: u32, at_ns: u64) {
        let gone: Vec<_> = self
            .tasks
            .extract_if(|key, _| key.0 == process)
            .map(|(_, task)| task)
            .collect();
        for task in gone {
            let group = task.group;
            let noted = task.end(&mut self.rows, at_ns, true);
            self.note_of(group, noted);
        }
        for (_, root) in self.roots.extract_if(|key, _| key.0 == process) {
            root.end(&mut self.rows, at_ns, true);
        }
        self.spawns.retain(|key, _| key.0 != process);
    }

    /// The recording ends: what is still open is counted up to now.
    pub fn finish(mut self, at_ns: u64) -> RawProfile {
        let mut processes: Vec<u32> = self
            .tasks
            .keys()
            .chain(self.roots.keys())
            .map(|key| key.0)
            .collect();
        processes.sort_unstable();
        processes.dedup();
        for process in processes {
            self.process_ended(process, at_ns);
        }
        let (rows, wakers) = self.rows.finish();
        let longest = self
            .longest_polls
            .into_values()
            .flat_map(|heap| heap.into_iter().map(|poll| poll.0));
        RawProfile {
            rows,
            wakers,
            groups: self.groups,
            longest_polls: longest.collect(),
            table_stacks: self.table_stacks,
            nested_tables: self.nested_tables,
            counts: self.counts,
        }
    }

    fn spawn(&mut self, key: (u32, u64), at_ns: u64, stack: u32) {
        // Memory is given out anew: whoever lived there is gone, even if that was not seen.
        self.end(key, at_ns, Outcome::Freed as u16);
        if self.spawns.len() >= MAX_PENDING_SPAWNS {
            self.spawns.clear();
        }
        self.spawns.insert(key, Spawn { at_ns, stack });
    }

    fn table_seen(&mut self, ring: usize, table: TableId, stack: RawStack) {
        self.table_stacks.insert((stack.process, table), stack);
        let outer = self.threads[ring]
            .polling
            .last()
            .and_then(|task| self.tasks.get(&(stack.process, *task)));
        if let Some(table) = outer.and_then(|task| self.groups[task.group.group as usize].table) {
            self.nested_tables.push(((stack.process, table), stack));
        }
    }

    fn poll_start(&mut self, ring: usize, key: (u32, u64), at_ns: u64, table: TableId, id: u64) {
        let known = self.tasks.get(&key);
        // Another id at this address: the end of the former task was lost.
        if known.is_some_and(|task| task.id != 0 && task.id != id) {
            self.end(key, at_ns, Outcome::Freed as u16);
        }
        if !self.tasks.contains_key(&key) {
            let spawn = self.spawns.remove(&key);
            let begun_ns = spawn.map_or(at_ns, |spawn| spawn.at_ns.min(at_ns));
            self.counts.tasks_seen_late += u64::from(spawn.is_none());
            let spawn_stack = spawn.map_or(0, |spawn| spawn.stack);
            let group = self.group(GroupKey::Tasks {
                process: key.0,
                table: Some(table),
                spawn_stack,
            });
            self.groups[group.group as usize].tasks += 1;
            let mut task = Task::spawned(group, begun_ns);
            task.id = id;
            self.tasks.insert(key, task);
        }
        if let Some(task) = self.tasks.get_mut(&key) {
            let noted = task.poll_start(&mut self.rows, at_ns, ring);
            self.note(key, noted);
        }
        self.threads[ring].polling.push(key.1);
    }

    fn poll_end(&mut self, ring: usize, key: (u32, u64), at_ns: u64, outcome: u16) {
        let polling = &mut self.threads[ring].polling;
        if let Some(at) = polling.iter().rposition(|task| *task == key.1) {
            polling.truncate(at);
        }
        match Outcome::from_aux(outcome) {
            Some(Outcome::Pending) | None => {
                if let Some(task) = self.tasks.get_mut(&key) {
                    let noted = task.poll_pending(&mut self.rows, at_ns, ring);
                    self.note(key, noted);
                }
            }
            Some(_) => self.end(key, at_ns, outcome),
        }
    }

    fn end(&mut self, key: (u32, u64), at_ns: u64, outcome: u16) {
        let mut ended = self.tasks.remove(&key);
        // Freed without ever having been polled: that confirms that the allocation was a task's.
        if ended.is_none()
            && outcome != Outcome::Freed as u16
            && let Some(spawn) = self.spawns.remove(&key)
        {
            let group = self.group(GroupKey::Tasks {
                process: key.0,
                table: None,
                spawn_stack: spawn.stack,
            });
            self.groups[group.group as usize].tasks += 1;
            ended = Some(Task::spawned(group, spawn.at_ns));
        }
        let Some(task) = ended else { return };
        let group = task.group;
        let counts = &mut self.groups[group.group as usize];
        match Outcome::from_aux(outcome) {
            Some(Outcome::Ready) => counts.completed += 1,
            Some(Outcome::Panicked) => counts.panicked += 1,
            Some(Outcome::Cancelled) => counts.cancelled += 1,
            _ => {}
        }
        let noted = task.end(&mut self.rows, at_ns, false);
        self.note_of(group, noted);
    }

    fn group(&mut self, key: GroupKey) -> RawGroupId {
        let next = self.groups.len() as u32;
        let (process, table, spawn_stack) = match key {
            GroupKey::Tasks {
                process,
                table,
                spawn_stack,
            } => (process, table, spawn_stack),
            GroupKey::Roots { process } => (process, None, 0),
        };
        let id = *self
            .group_index
            .entry(key)
            .or_insert(RawGroupId { process, group: next });
        if id.group == next {
            let spawn_stack = match spawn_stack {
                0 => RawStack::default(),
                number => RawStack { process, number },
            };
            let is_root = matches!(key, GroupKey::Roots { .. });
            self.groups.push(RawGroup {
                process,
                table,
                is_root,
                spawn_stack,
                ..RawGroup::default()
            });
        }
        id
    }

    /// Who is waking on this ring's thread.
    fn waker(&mut self, ring: usize, stack: u32) -> RawWakerId {
        let thread = &self.threads[ring];
        let polled = thread
            .polling
            .last()
            .and_then(|task| self.tasks.get(&(thread.process, *task)));
        let stack = if stack == 0 {
            RawStack::default()
        } else {
            RawStack {
                process: thread.process,
                number: stack,
            }
        };
        self.rows.waker(RawWaker::Seen {
            group: polled.map(|task| task.group),
            stack,
        })
    }

    fn note(&mut self, key: (u32, u64), noted: Noted) {
        if let Some(group) = self.tasks.get(&key).map(|task| task.group) {
            self.note_of(group, noted);
        }
    }

    fn note_of(&mut self, group: RawGroupId, noted: Noted) {
        self.counts.wakes_unseen += u64::from(noted.wake_unseen);
        self.counts.waits_split += u64::from(noted.wait_split);
        if let Some((started_ns, duration_ns, stack)) = noted.poll {
            let longest = self.longest_polls.entry(group).or_default();
            longest.push(std::cmp::Reverse(RawLongPoll {
                duration_ns,
                started_ns,
                group,
                stack: stack.number,
            }));
            if longest.len() > LONGEST_POLLS {
                longest.pop();
            }
        }
    }
}
