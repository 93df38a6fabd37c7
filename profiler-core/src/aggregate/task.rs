//! One task's state machine: at every instant in exactly one state, whatever events come and in what order.

use super::aggregator::RawGroupId;
use super::rows::{Episode, RawWakerId, Rows};
use crate::profile::State;

/// A stack's number in the region's table, with the process whose addresses it holds. 0 is the empty stack.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct RawStack {
    pub process: u32,
    pub number: u32,
}

/// A place where the task has left a waker.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Registration {
    tag: u16,
    stack: u32,
}

/// A wake-up that has come.
#[derive(Clone, Copy, Debug)]
pub(super) struct Wake {
    pub(super) tag: u16,
    pub(super) waker: RawWakerId,
}

#[derive(Clone, Copy, Debug)]
enum Now {
    /// After the spawn, or after the wake-up that ended the wait at this stack.
    Scheduled {
        stack: RawStack,
        waker: RawWakerId,
    },
    /// On this ring's thread; `woken` if a wake-up came meanwhile.
    Running {
        ring: usize,
        woken: Option<Wake>,
    },
    Waiting,
    /// Events were lost: it may be in any state.
    Lost,
}

/// A task that has begun and not ended.
#[derive(Debug)]
pub(super) struct Task {
    pub(super) group: RawGroupId,
    /// The runtime's id; 0 until it is known.
    pub(super) id: u64,
    now: Now,
    since_ns: u64,
    registrations: Vec<Registration>,
    /// Whether the running poll has registered anything: the first registration replaces those of earlier polls.
    registered: bool,
}

/// What a step tells the aggregator to count.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Noted {
    /// A poll began though no wake-up was seen.
    pub(super) wake_unseen: bool,
    /// A wait could not be given to one registration.
    pub(super) wait_split: bool,
    /// A poll ended: its length, and the stack where it left off.
    pub(super) poll: Option<(u64, u64, RawStack)>,
}

impl Task {
    /// A task that is scheduled since its spawn.
    pub(super) fn spawned(group: RawGroupId, at_ns: u64) -> Task {
        let now = Now::Scheduled {
            stack: RawStack::default(),
            waker: RawWakerId::default(),
        };
        Task {
            group,
            id: 0,
            now,
            since_ns: at_ns,
            registrations: Vec::new(),
            registered: false,
        }
    }

    /// A poll begins on a ring's thread.
    pub(super) fn poll_start(&mut self, rows: &mut Rows, at_ns: u64, ring: usize) -> Noted {
        let mut noted = Noted::default();
        match self.now {
            Now::Scheduled { stack, waker } => {
                self.charge(rows, State::Scheduled, stack, waker, at_ns, false)
            }
            Now::Waiting => {
                noted.wake_unseen = true;
                noted.wait_split = self.charge_wait(rows, at_ns, None, false);
            }
            // The end of the last poll is written after the task was let go: its next poll may be quicker.
            Now::Running { ring: last, .. } if last != ring => self.end_of_poll(rows, at_ns, &mut noted),
            // Two starts on one thread: the end between them was lost.
            Now::Running { .. } | Now::Lost => self.charge_lost(rows, at_ns, false),
        }
        self.now = Now::Running { ring, woken: None };
        self.since_ns = self.since_ns.max(at_ns);
        self.registered = false;
        noted
    }

    /// The running poll has left a waker.
    pub(super) fn registered(&mut self, tag: u16, stack: u32) {
        if !std::mem::replace(&mut self.registered, true) {
            self.registrations.clear();
        }
        self.registrations.push(Registration { tag, stack });
    }

    /// A poll ends with the task suspended. `rings` as in `poll_start`.
    pub(super) fn poll_pending(&mut self, rows: &mut Rows, at_ns: u64, ring: usize) -> Noted {
        let mut noted = Noted::default();
        match self.now {
            Now::Running { ring: running, woken } if running == ring => {
                self.end_of_poll(rows, at_ns, &mut noted);
                self.now = match woken {
                    Some(wake) => Now::Scheduled {
                        stack: self.stack_of(wake.tag),
                        waker: wake.waker,
                    },
                    None => Now::Waiting,
                };
            }
            // The end of an earlier poll, told late.
            Now::Running { .. } => {}
            // Its start was lost.
            Now::Scheduled { .. } | Now::Waiting | Now::Lost => {
                self.charge_lost(rows, at_ns, false);
                self.now = Now::Waiting;
            }
        }
        noted
    }

    pub(super) fn woken(&mut self, rows: &mut Rows, at_ns: u64, wake: Wake) -> Noted {
        let mut noted = Noted::default();
        match &mut self.now {
            Now::Waiting => {
                noted.wait_split = self.charge_wait(rows, at_ns, Some(wake), false);
                self.now = Now::Scheduled {
                    stack: self.stack_of(wake.tag),
                    waker: wake.waker,
                };
            }
            Now::Running { woken, .. } => *woken = woken.or(Some(wake)),
            Now::Scheduled { .. } | Now::Lost => {}
        }
        noted
    }

    /// Events of this task may have been lost before `at_ns`.
    pub(super) fn lost(&mut self, rows: &mut Rows, at_ns: u64) {
        self.charge_lost(rows, at_ns, false);
        self.now = Now::Lost;
    }

    /// The task ends, or (`open`) the recording does.
    pub(super) fn end(mut self, rows: &mut Rows, at_ns: u64, open: bool) -> Noted {
        let mut noted = Noted::default();
        match self.now {
            Now::Scheduled { stack, waker } => self.charge(rows, State::Scheduled, stack, waker, at_ns, open),
            Now::Running { .. } => {
                noted.poll = Some((
                    self.since_ns,
                    at_ns.saturating_sub(self.since_ns),
                    RawStack::default(),
                ));
                self.charge(
                    rows,
                    State::Running,
                    RawStack::default(),
                    RawWakerId::default(),
                    at_ns,
                    open,
                );
            }
            Now::Waiting => noted.wait_split = self.charge_wait(rows, at_ns, None, open),
            Now::Lost => self.charge_lost(rows, at_ns, open),
        }
        noted
    }

    fn end_of_poll(&mut self, rows: &mut Rows, at_ns: u64, noted: &mut Noted) {
        let left_at = self
            .registrations
            .first()
            .map_or(0, |registration| registration.stack);
        noted.poll = Some((
            self.since_ns,
            at_ns.saturating_sub(self.since_ns),
            self.raw(left_at),
        ));
        self.charge(
            rows,
            State::Running,
            RawStack::default(),
            RawWakerId::default(),
            at_ns,
            false,
        );
    }

    fn raw(&self, number: u32) -> RawStack {
        if number == 0 {
            RawStack::default()
        } else {
            RawStack {
                process: self.group.process,
                number,
            }
        }
    }

    /// The stack of the registration with this tag, or of the only one there is.
    fn stack_of(&self, tag: u16) -> RawStack {
        let tagged = self.registrations.iter().rev().find(|r| tag != 0 && r.tag == tag);
        let only = || {
            self.registrations
                .first()
                .filter(|first| self.registrations.iter().all(|r| r.stack == first.stack))
        };
        self.raw(tagged.or_else(only).map_or(0, |registration| registration.stack))
    }

    /// Gives the wait to the registration that ended it; true if it had to be split evenly over all of them.
    fn charge_wait(&mut self, rows: &mut Rows, at_ns: u64, wake: Option<Wake>, open: bool) -> bool {
        let waker = wake.map(|wake| wake.waker).unwrap_or_default();
        let stack = self.stack_of(wake.map_or(0, |wake| wake.tag));
        if stack != RawStack::default() || self.registrations.is_empty() {
            self.charge(rows, State::Waiting, stack, waker, at_ns, open);
            return false;
        }
        let (start_ns, count) = (self.since_ns, self.registrations.len() as u64);
        let whole_ns = at_ns.saturating_sub(start_ns);
        let part =
            |share: u64| start_ns + (u128::from(whole_ns) * u128::from(share) / u128::from(count)) as u64;
        for (share, registration) in (0..).zip(&self.registrations) {
            let (group, stack) = (self.group, self.raw(registration.stack));
            let (start_ns, end_ns) = (part(share), part(share + 1));
            rows.add(Episode {
                group,
                stack,
                state: State::Waiting,
                waker,
                start_ns,
                end_ns,
                open,
            });
        }
        self.since_ns = start_ns.max(at_ns);
        true
    }

    fn charge_lost(&mut self, rows: &mut Rows, at_ns: u64, open: bool) {
        self.charge(
            rows,
            State::Lost,
            RawStack::default(),
            RawWakerId::default(),
            at_ns,
            open,
        );
    }

    fn charge(
        &mut self,
        rows: &mut Rows,
        state: State,
        stack: RawStack,
        waker: RawWakerId,
        at_ns: u64,
        open: bool,
    ) {
        let end_ns = at_ns.max(self.since_ns);
        rows.add(Episode {
            group: self.group,
            stack,
            state,
            waker,
            start_ns: self.since_ns,
            end_ns,
            open,
        });
        self.since_ns = end_ns;
    }
}
