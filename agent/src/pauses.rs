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
    id: u64,
    since_ticks: u64,
}

impl Thread {
    /// The task of this number, which no other ever has, is polled: whether it was suspended shortly before, and the
    /// stacks of such waits are to be left out.
    #[inline]
    pub(crate) fn pauses_shortly(&self, thinning: u64, id: u64) -> bool {
        Thinning::decode(thinning).skip_short_stacks && self.pauses.was_short(id, self.clock_ticks())
    }

    /// The task was suspended.
    #[inline]
    pub(crate) fn begin_pause(&mut self, thinning: u64, id: u64) {
        if Thinning::decode(thinning).skip_short_stacks {
            self.pauses.begin(id, self.clock_ticks());
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
    #[inline]
    fn begin(&mut self, id: u64, now_ticks: u64) {
        self.last[place_of(id)] = Pause {
            id,
            since_ticks: now_ticks,
        };
    }

    /// False if another has taken its place since.
    #[inline]
    fn was_short(&self, id: u64, now_ticks: u64) -> bool {
        let pause = self.last[place_of(id)];
        pause.id == id && now_ticks.saturating_sub(pause.since_ticks) < self.short_ticks
    }
}

#[inline]
fn place_of(id: u64) -> usize {
    (id.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> (64 - PLACES.trailing_zeros())) as usize
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
        let other = (8..).find(|&other| place_of(other) == place_of(7));
        pauses.begin(other.unwrap(), 200);
        assert!(!pauses.was_short(7, 210));
    }
}
