//! One task's state machine: at every instant in exactly one state, whatever events come and in what order.
//!
//! What counts where the definitions leave room:
//!
//! - The **first wake-up** after a suspension ends the wait; later ones change nothing until the next poll.
//! - A **wake-up during a poll** makes the task scheduled the moment that poll ends. The first one counts. It has
//!   a stack only if its tag names a registration: one without a tag (`cx.waker().wake_by_ref()`) came from none.
//! - The **first registration of a poll** replaces those of earlier polls; a poll that ends pending without any
//!   keeps the older ones. All that a poll registers stands until then.
//! - A wait goes to the registration whose tag the wake-up has. A wake-up with a tag that no registration has (a
//!   waker left over from an earlier poll) or with none (`abort`) goes to the only place where the task waited;
//!   if there are several, the wait is **split** over them evenly by registration, one episode per distinct
//!   stack, their sum exact to the nanosecond, and counted.
//! - A **scheduled** episode carries the stack and the waker that ended the wait: no stack if it was split, or if
//!   it is the first.
//! - A poll that begins though **no wake-up was seen** ends the wait, its waker unknown, and is counted.
//! - The **end of a poll is written after the task was let go**: it may come after the task's next poll began, or
//!   even ended, elsewhere. The poll then ends for us where the next one begins, and its end says nothing.
//! - After **contradictions** (a poll's end without its start; two starts on one thread) and [losses](super::losses)
//!   the task is lost until its next poll begins.

use super::born::Born;
use super::delays::{Deed, Victim};
use super::labels::RawLabelsId;
use super::losses::Losses;
use super::raw::{RawGroupId, RawLongPoll, RawStack};
use super::registrations::{Place, Registration, Registrations, split};
use super::relays::Owner;
use super::rows::{Episode, RawWakerId};
use super::samples::{PollKey, PollSamples, Stretch};
use super::tally::Tally;
use super::weight::Weight;
use crate::profile::State;

/// A wake-up that has come.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Wake<'a> {
    pub(super) tag: u16,
    pub(super) waker: RawWakerId,
    /// What the tag names one of, if these are not the task's own: those of the branch that was woken.
    pub(super) branch: Option<&'a Registrations>,
}

/// What a sample found.
#[derive(Clone, Copy, Debug)]
pub(super) struct Found {
    /// On-cpu or blocked.
    pub(super) state: State,
    pub(super) stack: u32,
    /// The time that it stands for.
    pub(super) weight_ns: u64,
}

/// What made a task scheduled.
#[derive(Clone, Copy, Debug, Default)]
struct Cause {
    stack: u32,
    waker: RawWakerId,
}

#[derive(Clone, Copy, Debug)]
enum Now {
    /// After the spawn, or after a wake-up.
    Scheduled(Cause),
    /// On this ring's thread; `woken` if a wake-up came meanwhile.
    Running {
        ring: u32,
        woken: Option<Cause>,
    },
    Waiting,
    Lost,
}

/// What has happened in the running poll. In a byte: millions of tasks have one.
#[derive(Clone, Copy, Debug, Default)]
struct InPoll(u8);

impl InPoll {
    /// It has registered something.
    const REGISTERED: u8 = 1;
    /// A sample has found it: few are found, and all are asked.
    const SAMPLED: u8 = 2;

    /// Returns whether that had happened before.
    fn note(&mut self, what: u8) -> bool {
        let before = self.has(what);
        self.0 |= what;
        before
    }

    fn has(self, what: u8) -> bool {
        self.0 & what != 0
    }
}

/// A task that has begun and not ended.
#[derive(Clone, Debug)]
pub(super) struct Task {
    pub(super) group: RawGroupId,
    /// The runtime's id; 0 if it has none.
    pub(super) id: u64,
    /// Up to when its time is charged: when this state began, or the part of the poll that is not charged yet.
    since_ns: u64,
    /// When all was last known of it: losses that were over by then do not matter. Of a running task, when the poll
    /// began.
    known_ns: u64,
    now: Now,
    registrations: Registrations,
    pub(super) labels: RawLabelsId,
    in_poll: InPoll,
    pub(super) weight: Weight,
    pub(super) born: Born,
}

impl Task {
    /// A task that is scheduled since its spawn.
    pub(super) fn spawned(
        group: RawGroupId,
        id: u64,
        labels: RawLabelsId,
        weight: Weight,
        at_ns: u64,
    ) -> Task {
        Task {
            group,
            id,
            since_ns: at_ns,
            known_ns: at_ns,
            now: Now::Scheduled(Cause::default()),
            registrations: Registrations::default(),
            labels,
            in_poll: InPoll::default(),
            weight,
            born: Born::at(at_ns),
        }
    }

    pub(super) fn born_unseen(self) -> Task {
        Task {
            born: Born::UNSEEN,
            ..self
        }
    }

    /// Nothing is known of it but when it began.
    pub(super) fn unknown(self) -> Task {
        Task {
            now: Now::Lost,
            ..self
        }
    }

    /// The ring on whose thread it is being polled.
    pub(super) fn running_on(&self) -> Option<usize> {
        match self.now {
            Now::Running { ring, .. } => Some(ring as usize),
            _ => None,
        }
    }

    pub(super) fn since_ns(&self) -> u64 {
        self.since_ns
    }

    /// Nothing before `at_ns` counts.
    pub(super) fn counts_from(&mut self, at_ns: u64) {
        self.since_ns = self.since_ns.max(at_ns);
    }

    /// Its state now, and the number of the await stack that goes with it.
    pub(super) fn state_and_stack(&self) -> (State, u32) {
        match self.now {
            Now::Scheduled(cause) => (State::Scheduled, cause.stack),
            Now::Running { .. } => (State::Running, 0),
            Now::Waiting => (State::Waiting, self.registrations.first_stack()),
            Now::Lost => (State::Lost, 0),
        }
    }

    pub(super) fn owner(&self, key: (u32, u64)) -> Owner {
        Owner { key, id: self.id }
    }

    /// No wake-up will come, and its branches still wait here. If it left its own in one
    /// place only, that was for theirs.
    pub(super) fn still_at(&mut self, branches: Registrations) {
        if matches!(self.now, Now::Waiting) && matches!(self.registrations.place_of(0), Place::Stack(_)) {
            self.registrations = branches;
        }
    }

    /// Its scheduling delay, which a poll ends now.
    pub(super) fn victim(&self, polled_ns: u64) -> Option<Victim> {
        let Now::Scheduled(cause) = self.now else {
            return None;
        };
        Some(Victim {
            group: self.group,
            weight: self.weight,
            stack: cause.stack,
            ready_ns: self.since_ns,
            polled_ns,
        })
    }

    /// What the running poll did, which ends, or with it the task.
    pub(super) fn deed(&self, tally: &Tally, is_final: bool) -> Deed {
        let until = if is_final {
            0
        } else {
            self.registrations.first_stack()
        };
        self.sampled_most(tally).unwrap_or((State::Running, until))
    }

    /// To be called before each event: if a loss has put the task in doubt, what came before the loss is charged,
    /// and from then on it is lost. A running poll is certain as long as its own ring loses nothing.
    pub(super) fn face(&mut self, tally: &mut Tally, losses: Option<&Losses>, at_ns: u64) {
        let Some(from_ns) = losses.and_then(|losses| losses.doubt_since(self.known_ns)) else {
            return;
        };
        if from_ns < at_ns && matches!(self.now, Now::Scheduled(_) | Now::Waiting) {
            self.lost(tally, from_ns);
        }
    }

    /// From `from_ns` on nothing is known of it.
    pub(super) fn lost(&mut self, tally: &mut Tally, from_ns: u64) {
        if from_ns > self.since_ns {
            self.charge_now(tally, from_ns, true);
        }
        self.now = Now::Lost;
    }

    /// Nothing is known of it since its state began.
    pub(super) fn lost_all_along(&mut self) {
        self.now = Now::Lost;
    }

    /// A poll begins on a ring's thread.
    pub(super) fn poll_start(&mut self, tally: &mut Tally, at_ns: u64, ring: usize) {
        match self.now {
            Now::Waiting => {
                tally.counts.wakes_unseen += 1;
                self.charge_now(tally, at_ns, false);
            }
            Now::Running { ring: last, .. } if last as usize != ring => self.end_of_poll(tally, at_ns),
            Now::Running { .. } => {
                self.lost_all_along();
                self.charge_now(tally, at_ns, false);
            }
            Now::Scheduled(_) | Now::Lost => self.charge_now(tally, at_ns, false),
        }
        self.now = Now::Running {
            ring: ring as u32,
            woken: None,
        };
        self.known_ns = self.since_ns;
        self.in_poll = InPoll::default();
    }

    /// A cull has kept it: from the poll that has just begun it stands for 2^step times as many.
    pub(super) fn stayed(&mut self, tally: &mut Tally, step: u32) {
        if step == 0 {
            return;
        }
        #[cfg(test)]
        tally.rows.probe.ended(self.group, self.weight, self.since_ns);
        self.weight = self.weight.times(step);
        #[cfg(test)]
        tally.rows.probe.begun(self.group, self.weight, self.since_ns);
        tally.counts.stands_for(self.weight);
    }

    /// A cull has left it out: it goes on, and counts no more.
    pub(super) fn left_out(mut self, tally: &mut Tally, at_ns: u64, ring: usize) {
        self.poll_start(tally, at_ns, ring);
        #[cfg(test)]
        tally.rows.probe.ended(self.group, self.weight, self.since_ns);
        tally.counts.tasks_cut_short += 1;
    }

    /// The poll on this ring's thread has left a waker.
    pub(super) fn registered(&mut self, ring: usize, tag: u16, stack: u32) {
        if self.running_on() != Some(ring) {
            return;
        }
        if !self.in_poll.note(InPoll::REGISTERED) {
            self.registrations.clear();
        }
        self.registrations.push(Registration { tag, stack });
    }

    /// This ring's thread, polling the task, was found in that state, at that stack.
    pub(super) fn sampled(&mut self, tally: &mut Tally, at_ns: u64, ring: usize, found: Found) {
        if self.running_on() != Some(ring) {
            return;
        }
        tally.counts.samples += 1;
        self.in_poll.note(InPoll::SAMPLED);
        let samples = tally.running.samples(self.poll_key());
        if samples.add(found.state, found.stack, found.weight_ns) && at_ns > self.since_ns {
            self.charge_part(tally, at_ns, true);
        }
    }

    /// It carries other labels from here on.
    pub(super) fn relabel(&mut self, tally: &mut Tally, at_ns: u64, labels: RawLabelsId) {
        if labels != self.labels && matches!(self.now, Now::Running { .. }) {
            self.charge_part(tally, at_ns, false);
        }
        self.labels = labels;
    }

    /// Charges the running poll up to here; it goes on.
    fn charge_part(&mut self, tally: &mut Tally, at_ns: u64, is_long: bool) {
        let mut samples = self.take_samples(tally);
        let is_part = is_long || samples.as_ref().is_some_and(PollSamples::is_part);
        let stretch = self.stretch(at_ns, false, is_part);
        tally.running.charge(&mut tally.rows, stretch, samples.as_ref());
        self.since_ns = stretch.end_ns;
        if let Some(samples) = &mut samples {
            samples.charged(is_long);
            *tally.running.samples(self.poll_key()) = std::mem::take(samples);
        }
    }

    /// What is not charged yet of the running poll.
    fn stretch(&self, at_ns: u64, open: bool, is_part: bool) -> Stretch {
        Stretch {
            group: self.group,
            labels: self.labels,
            start_ns: self.since_ns,
            end_ns: at_ns.max(self.since_ns),
            open,
            is_whole: false,
            is_part,
            weight: self.weight,
        }
    }

    /// The running poll ends with the task suspended.
    pub(super) fn poll_pending(&mut self, tally: &mut Tally, at_ns: u64) {
        let Now::Running { woken, .. } = self.now else {
            return;
        };
        self.end_of_poll(tally, at_ns);
        self.now = match woken {
            Some(cause) => {
                self.known_ns = self.since_ns;
                Now::Scheduled(cause)
            }
            // A wake-up during the poll may have been lost: what is known is known since the poll began.
            None => Now::Waiting,
        };
    }

    pub(super) fn woken(&mut self, tally: &mut Tally, at_ns: u64, wake: Wake<'_>) {
        match &mut self.now {
            Now::Waiting => {
                let stack = self.charge_wait(tally, at_ns, wake, false);
                self.now = Now::Scheduled(Cause {
                    stack,
                    waker: wake.waker,
                });
            }
            Now::Running { woken: Some(_), .. } | Now::Scheduled(_) | Now::Lost => {}
            Now::Running { woken, .. } => {
                let registrations = wake.branch.unwrap_or(&self.registrations);
                let stack = registrations.tagged(wake.tag).unwrap_or(0);
                let waker = wake.waker;
                *woken = Some(Cause { stack, waker });
            }
        }
    }

    /// The task ends, or (`open`) the recording does.
    pub(super) fn end(mut self, tally: &mut Tally, at_ns: u64, open: bool) {
        #[cfg(test)]
        tally
            .rows
            .probe
            .ended(self.group, self.weight, at_ns.max(self.since_ns));
        match self.now {
            Now::Running { .. } if !open => {
                self.registrations.clear();
                self.end_of_poll(tally, at_ns);
            }
            _ => {
                if open && matches!(self.now, Now::Waiting) {
                    let stack = self.registrations.first_stack();
                    tally.still_waiting(
                        self.group,
                        self.weight,
                        stack,
                        at_ns.saturating_sub(self.since_ns),
                    );
                }
                self.charge_now(tally, at_ns, open);
            }
        }
    }

    fn end_of_poll(&mut self, tally: &mut Tally, at_ns: u64) {
        tally.polled(RawLongPoll {
            duration_ns: at_ns.saturating_sub(self.known_ns),
            started_ns: self.known_ns,
            group: self.group,
            stack: self.registrations.first_stack(),
            busy: self.sampled_most(tally),
        });
        self.charge_now(tally, at_ns, false);
    }

    /// Charges the time since the state began to that state.
    fn charge_now(&mut self, tally: &mut Tally, at_ns: u64, open: bool) {
        match self.now {
            Now::Scheduled(cause) => self.charge(tally, State::Scheduled, cause, at_ns, open),
            Now::Running { .. } => self.charge_poll(tally, at_ns, open),
            Now::Lost => self.charge(tally, State::Lost, Cause::default(), at_ns, open),
            Now::Waiting => {
                self.charge_wait(tally, at_ns, Wake::default(), open);
            }
        }
    }

    /// Tells the running poll from all others that run now.
    fn poll_key(&self) -> PollKey {
        (self.running_on().unwrap_or(usize::MAX), self.known_ns)
    }

    /// What the running poll's samples have found for longest.
    fn sampled_most(&self, tally: &Tally) -> Option<(State, u32)> {
        let heaviest = || tally.running.heaviest(self.poll_key());
        self.in_poll.has(InPoll::SAMPLED).then(heaviest).flatten()
    }

    fn take_samples(&self, tally: &mut Tally) -> Option<PollSamples> {
        let take = || tally.running.take_samples(self.poll_key());
        self.in_poll.has(InPoll::SAMPLED).then(take).flatten()
    }

    fn charge_poll(&mut self, tally: &mut Tally, at_ns: u64, open: bool) {
        let samples = self.take_samples(tally);
        let is_part = samples.as_ref().is_some_and(PollSamples::is_part);
        let stretch = Stretch {
            is_whole: self.since_ns == self.known_ns,
            ..self.stretch(at_ns, open, is_part)
        };
        if !tally.running.charge(&mut tally.rows, stretch, samples.as_ref()) {
            tally.poll_of(self.group, self.weight, stretch.end_ns - self.known_ns);
        }
        self.since_ns = stretch.end_ns;
    }

    /// Gives the wait to the registration that ended it, and returns its stack; 0 if it had to be split.
    fn charge_wait(&mut self, tally: &mut Tally, at_ns: u64, wake: Wake<'_>, open: bool) -> u32 {
        let waker = wake.waker;
        let registrations = wake.branch.unwrap_or(&self.registrations);
        let several = match registrations.place_of(wake.tag) {
            Place::Stack(stack) => {
                self.charge(tally, State::Waiting, Cause { stack, waker }, at_ns, open);
                return stack;
            }
            Place::Several(several) => several,
        };
        tally.counts.waits_split += 1;
        for (stack, end_ns) in split(&several, self.since_ns, at_ns) {
            self.charge(tally, State::Waiting, Cause { stack, waker }, end_ns, open);
        }
        0
    }

    fn charge(&mut self, tally: &mut Tally, state: State, cause: Cause, at_ns: u64, open: bool) {
        let end_ns = at_ns.max(self.since_ns);
        if state == State::Lost && end_ns == self.since_ns {
            return;
        }
        tally.rows.add(Episode {
            group: self.group,
            stack: RawStack::new(self.group.process, cause.stack),
            state,
            waker: cause.waker,
            labels: self.labels,
            start_ns: self.since_ns,
            end_ns,
            open,
            weight: self.weight,
        });
        self.since_ns = end_ns;
    }
}
