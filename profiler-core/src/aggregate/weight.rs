//! How many tasks one that is recorded stands for.

use crate::thinning::Thinning;

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

    pub(super) fn get(self) -> u64 {
        1 << self.level
    }
}
