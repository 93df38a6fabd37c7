//! How many tasks one that is recorded stands for.

use crate::thinning::{Cull, Thinning};

/// 2^level.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Weight {
    /// A byte: millions of tasks have one.
    level: u8,
}

impl Weight {
    /// As a spawn tells it; no more than can be, whatever a damaged ring says.
    pub(super) fn of_level(level: u16) -> Weight {
        let level = u32::from(level).min(Thinning::MAX_LEVEL);
        Weight { level: level as u8 }
    }

    /// After a [cull](crate::thinning::Cull). A task that comes to more than 2^24 is not found in any program that there
    /// is, so the bound, which keeps sums within theirs, changes no mean.
    pub(super) fn times(self, step: u32) -> Weight {
        const MOST: u32 = 24;
        let level = u32::from(self.level) + step.min(Cull::MAX_STEP);
        Weight {
            level: level.min(MOST) as u8,
        }
    }

    pub(super) fn get(self) -> u64 {
        1 << self.level
    }
}
