//! Which tasks a thread has last seen suspended, and when: what was polled again at once is likely to be suspended as
//! shortly again. Stacks of such waits are left out while the region says so.

use asyncprof_core::named_frame::NamedFrame;
use asyncprof_core::thinning::{SHORT_WAIT, Thinning};

use crate::recorder::Thread;

const PLACES: usize = 64;

/// Zeros are none.
#[repr(C)]
pub(crate) struct Pauses {
    last: [Pause; PLACES],
    /// A pause below this is short.
    pub(crate) short_ticks: u64,
    /// The stack of those waits; 0 until there was one.
    short_stack: u64,
}

#[derive(Clone, Copy)]
#[repr(C)]
struct Pause {
    task: u64,
    since_ticks: u64,
}

impl Thread {
    /// The task is polled: whether it was suspended shortly before, and the stacks of such waits are to be left out.
    pub(crate) fn pauses_shortly(&self, thinning: u64, task: u64) -> bool {
        Thinning::decode(thinning).skip_short_stacks && self.pauses.was_short(task, self.clock_ticks())
    }

    /// The task's poll has ended: it was suspended, or is done, and its memory may be another's soon.
    #[cold]
    pub(crate) fn note_pause(&mut self, task: u64, is_suspended: bool) {
        if is_suspended {
            self.pauses.begin(task, self.clock_ticks());
        } else {
            self.pauses.forget(task);
        }
    }

    /// The stack that short waits have; 0 if there is no room for it.
    pub(crate) fn short_stack(&mut self) -> u64 {
        if self.pauses.short_stack == 0 {
            let frame = NamedFrame {
                function: SHORT_WAIT,
                ..NamedFrame::default()
            };
            self.pauses.short_stack = self.intern_with(|_, frames, region| {
                frames[0] = frame.intern(&region.stacks());
                usize::from(frames[0] != 0)
            });
        }
        self.pauses.short_stack
    }
}

impl Pauses {
    fn begin(&mut self, task: u64, now_ticks: u64) {
        self.last[place_of(task)] = Pause {
            task,
            since_ticks: now_ticks,
        };
    }

    fn forget(&mut self, task: u64) {
        self.last[place_of(task)].task = 0;
    }

    /// False if another has taken its place since.
    fn was_short(&self, task: u64, now_ticks: u64) -> bool {
        let pause = self.last[place_of(task)];
        pause.task == task && now_ticks.saturating_sub(pause.since_ticks) < self.short_ticks
    }
}

fn place_of(task: u64) -> usize {
    (task.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> (64 - PLACES.trailing_zeros())) as usize
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pause_is_known_until_another_takes_its_place() {
        // SAFETY: zeros are none.
        let mut pauses: Pauses = unsafe { std::mem::zeroed() };
        pauses.short_ticks = 20;
        assert!(!pauses.was_short(7, 5));
        pauses.begin(7, 100);
        assert!(pauses.was_short(7, 119));
        assert!(!pauses.was_short(7, 120));
        assert!(pauses.was_short(7, 90), "clocks of two processors differ");
        pauses.forget(7);
        assert!(!pauses.was_short(7, 110));
        pauses.begin(7, 100);
        let other = (8..).find(|&other| place_of(other) == place_of(7));
        pauses.begin(other.unwrap(), 200);
        assert!(!pauses.was_short(7, 210));
    }
}
