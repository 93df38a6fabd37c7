//! The future under `block_on`: no poll of it is seen, only the wakers it gives out and their wake-ups.
//!
//! It waits from the last waker it gave out until one of them is used; all its other time counts as running. The
//! instant between giving out its last waker and really returning is thereby counted as waiting.

use super::aggregator::RawGroupId;
use super::rows::{Episode, RawWakerId, Rows};
use super::task::{RawStack, Wake};
use crate::profile::State;

#[derive(Debug)]
pub(super) struct Root {
    group: RawGroupId,
    waiting: bool,
    since_ns: u64,
    /// (tag, stack) of the wakers given out since the last wake-up.
    registrations: Vec<(u16, u32)>,
}

impl Root {
    /// Seen for the first time, when it gives out a waker.
    pub(super) fn first_seen(group: RawGroupId, at_ns: u64) -> Root {
        Root {
            group,
            waiting: false,
            since_ns: at_ns,
            registrations: Vec::new(),
        }
    }

    pub(super) fn registered(&mut self, rows: &mut Rows, at_ns: u64, tag: u16, stack: u32) {
        if !self.waiting {
            self.registrations.clear();
        }
        // Between two registrations of one poll it was running, too.
        self.charge(
            rows,
            State::Running,
            RawStack::default(),
            RawWakerId::default(),
            at_ns,
            false,
        );
        self.waiting = true;
        self.registrations.push((tag, stack));
    }

    pub(super) fn woken(&mut self, rows: &mut Rows, at_ns: u64, wake: Wake) {
        if std::mem::replace(&mut self.waiting, false) {
            let stack = self.stack_of(wake.tag);
            self.charge(rows, State::Waiting, stack, wake.waker, at_ns, false);
        }
    }

    pub(super) fn end(mut self, rows: &mut Rows, at_ns: u64, open: bool) {
        let (state, stack) = match self.waiting {
            true => (State::Waiting, self.stack_of(0)),
            false => (State::Running, RawStack::default()),
        };
        self.charge(rows, state, stack, RawWakerId::default(), at_ns, open);
    }

    /// The stack of the tagged registration, else of the latest.
    fn stack_of(&self, tag: u16) -> RawStack {
        let tagged = self
            .registrations
            .iter()
            .rev()
            .find(|&&(known, _)| tag != 0 && known == tag);
        let number = tagged
            .or(self.registrations.last())
            .map_or(0, |&(_, stack)| stack);
        if number == 0 {
            RawStack::default()
        } else {
            RawStack {
                process: self.group.process,
                number,
            }
        }
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
        if end_ns > self.since_ns {
            rows.add(Episode {
                group: self.group,
                stack,
                state,
                waker,
                start_ns: self.since_ns,
                end_ns,
                open,
            });
        }
        self.since_ns = end_ns;
    }
}
