//! From events to totals: one state machine per task, one row per (group, stack, state, waker).
//!
//! Everything here is in nanoseconds since the recording's start and in raw stack numbers; names come later.

mod aggregator;
mod root;
mod rows;
mod task;
#[cfg(test)]
mod tests;

pub use aggregator::{Aggregator, Counts, RawGroup, RawGroupId, RawLongPoll, RawProfile, TableId};
pub use rows::{RawRow, RawWaker, RawWakerId, WINDOW_NS};
pub use task::RawStack;
