//! The future under `block_on`: no poll of it is seen, only the wakers it gives out and their wake-ups.
//!
//! It waits from the last waker it gave out until one of them is used; all its other time counts as running. The
//! instant between giving out its last waker and really returning is thereby counted as waiting. After a
//! [loss](super::losses) it is lost until it gives out a waker again.

use super::labels::RawLabelsId;
use super::losses::Losses;
use super::raw::{RawGroupId, RawStack};
use super::registrations::{Place, Registration, Registrations, split};
use super::rows::{Episode, RawWakerId};
use super::tally::Tally;
use super::task::Wake;
use super::weight::Weight;
use crate::profile::State;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Now {
    Running,
    Waiting,
    Lost,
}

#[derive(Clone, Debug)]
pub(super) struct Root {
    group: RawGroupId,
    now: Now,
    since_ns: u64,
    /// The ring of the thread that is in `block_on`.
    ring: usize,
    /// The wakers given out since the last wake-up.
    registrations: Registrations,
    labels: RawLabelsId,
}

impl Root {
    /// Seen for the first time, when it gives out a waker.
    pub(super) fn first_seen(group: RawGroupId, ring: usize, labels: RawLabelsId, at_ns: u64) -> Root {
        Root {
            group,
            now: Now::Running,
            since_ns: at_ns,
            ring,
            registrations: Registrations::default(),
            labels,
        }
    }

    pub(super) fn group(&self) -> RawGroupId {
        self.group
    }

    /// Whether its thread is that of the ring.
    pub(super) fn is_on(&self, ring: usize) -> bool {
        self.ring == ring
    }

    pub(super) fn since_ns(&self) -> u64 {
        self.since_ns
    }

    /// As for tasks.
    pub(super) fn counts_from(&mut self, at_ns: u64) {
        self.since_ns = self.since_ns.max(at_ns);
    }

    /// As for tasks.
    pub(super) fn state_and_stack(&self) -> (State, u32) {
        match self.now {
            Now::Running => (State::Running, 0),
            Now::Waiting => (State::Waiting, self.registrations.first_stack()),
            Now::Lost => (State::Lost, 0),
        }
    }

    /// Its `block_on` has returned, nobody knows when: schedulers of one thread do not tell. It counts up to the last
    /// that was heard of it.
    pub(super) fn left(self, _tally: &mut Tally) {
        #[cfg(test)]
        _tally
            .rows
            .probe
            .ended(self.group, Weight::default(), self.since_ns);
    }

    /// To be called before each event, as for tasks.
    pub(super) fn face(&mut self, tally: &mut Tally, losses: Option<&Losses>, at_ns: u64) {
        match losses.and_then(|losses| losses.doubt_since(self.since_ns)) {
            Some(from_ns) if from_ns < at_ns && self.now != Now::Lost => {
                // Whether it really waited is told by its next event only; that it ran, by the wake-up before.
                if self.now == Now::Running && from_ns > self.since_ns {
                    self.charge(tally, State::Running, 0, RawWakerId::default(), from_ns, true);
                }
                self.now = Now::Lost;
            }
            _ => {}
        }
    }

    pub(super) fn registered(&mut self, tally: &mut Tally, at_ns: u64, registration: Registration) {
        if self.now != Now::Waiting {
            self.registrations.clear();
        }
        // Between two registrations of one poll it was running, too.
        let state = match self.now {
            Now::Running | Now::Waiting => State::Running,
            Now::Lost => State::Lost,
        };
        self.charge(tally, state, 0, RawWakerId::default(), at_ns, false);
        self.now = Now::Waiting;
        self.registrations.push(registration);
    }

    /// A branch of it leaves a waker. It has left one itself by then.
    pub(super) fn branch_registered(&mut self, tally: &mut Tally, at_ns: u64) {
        if self.now == Now::Waiting {
            self.charge(tally, State::Running, 0, RawWakerId::default(), at_ns, false);
        }
    }

    /// It carries other labels from here on.
    pub(super) fn relabel(&mut self, tally: &mut Tally, at_ns: u64, labels: RawLabelsId) {
        // It does so itself: what counts as waiting since it last gave out a waker was running up to here.
        let state = match self.now {
            Now::Running | Now::Waiting => State::Running,
            Now::Lost => State::Lost,
        };
        if labels != self.labels {
            self.charge(tally, state, 0, RawWakerId::default(), at_ns, false);
        }
        self.labels = labels;
    }

    /// As for tasks.
    pub(super) fn still_at(&mut self, branches: Registrations) {
        if self.now == Now::Waiting && matches!(self.registrations.place_of(0), Place::Stack(_)) {
            self.registrations = branches;
        }
    }

    pub(super) fn woken(&mut self, tally: &mut Tally, at_ns: u64, wake: Wake) {
        if self.now == Now::Waiting {
            self.charge_wait(tally, at_ns, wake, false);
            self.now = Now::Running;
        }
    }

    pub(super) fn end(mut self, tally: &mut Tally, at_ns: u64, open: bool) {
        #[cfg(test)]
        tally
            .rows
            .probe
            .ended(self.group, Weight::default(), at_ns.max(self.since_ns));
        let waker = RawWakerId::default();
        match self.now {
            Now::Waiting => {
                if open {
                    let stack = self.registrations.first_stack();
                    tally.still_waiting(
                        self.group,
                        Weight::default(),
                        stack,
                        at_ns.saturating_sub(self.since_ns),
                    );
                }
                self.charge_wait(tally, at_ns, Wake::default(), open);
            }
            Now::Running => self.charge(tally, State::Running, 0, waker, at_ns, open),
            Now::Lost => self.charge(tally, State::Lost, 0, waker, at_ns, open),
        }
    }

    fn charge_wait(&mut self, tally: &mut Tally, at_ns: u64, wake: Wake<'_>, open: bool) {
        let registrations = wake.branch.unwrap_or(&self.registrations);
        match registrations.place_of(wake.tag) {
            Place::Stack(stack) => self.charge(tally, State::Waiting, stack, wake.waker, at_ns, open),
            Place::Several(several) => {
                tally.counts.waits_split += 1;
                for (stack, end_ns) in split(&several, self.since_ns, at_ns) {
                    self.charge(tally, State::Waiting, stack, wake.waker, end_ns, open);
                }
            }
        }
    }

    fn charge(
        &mut self,
        tally: &mut Tally,
        state: State,
        stack: u32,
        waker: RawWakerId,
        at_ns: u64,
        open: bool,
    ) {
        let end_ns = at_ns.max(self.since_ns);
        if end_ns > self.since_ns {
            tally.rows.add(Episode {
                group: self.group,
                stack: RawStack::new(self.group.process, stack),
                state,
                waker,
                labels: self.labels,
                start_ns: self.since_ns,
                end_ns,
                open,
                weight: Weight::default(),
            });
        }
        self.since_ns = end_ns;
    }
}
