//! From events to totals: one state machine per task, one row per (group, stack, state, waker).
//!
//! Everything here is in nanoseconds since the recording's start and in raw stack numbers; names come later.

mod aggregator;
mod born;
mod delays;
mod ends;
mod labels;
mod live;
mod lives;
mod losses;
mod parts;
mod raw;
mod registrations;
mod relays;
mod root;
mod rows;
mod samples;
mod tally;
mod task;
mod tasks;
#[cfg(test)]
mod tests;
mod threads;
mod told;
mod weight;
mod work;

/// Of addresses and small numbers, looked up with every event; nobody outside chooses them to collide.
type HashMap<K, V> = rustc_hash::FxHashMap<K, V>;

pub use aggregator::Aggregator;
pub use labels::{RawLabel, RawLabelsId};
pub use live::RawLiveTask;
pub use raw::{
    Counts, RawDelay, RawGroup, RawGroupId, RawLongPoll, RawOpenWait, RawProfile, RawStack, TableId,
};
pub use rows::{RawRow, RawWaker, RawWakerId, WINDOW_NS};
pub use work::RawWork;
