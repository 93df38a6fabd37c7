//! What both sides of asyncprof share.
//!
//! The profiled process writes [events](event) into lock-free [rings](ring) in a shared memory [region]; our own
//! process drains them into per-task state machines and reduces them to a [`profile`]. This crate knows no
//! runtime, no command line and no symbols.

#[cfg(not(loom))]
pub mod aggregate;
#[cfg(not(loom))]
pub mod clock;
#[cfg(all(feature = "diff", not(loom)))]
pub mod diff;
pub mod event;
#[cfg(all(feature = "diff", not(loom)))]
pub mod folded;
#[cfg(all(test, loom))]
mod loom_tests;
pub mod named_frame;
pub mod probe;
#[cfg(not(loom))]
pub mod process_info;
#[cfg(not(loom))]
pub mod profile;
#[cfg(not(loom))]
pub mod python;
#[cfg(not(loom))]
pub mod region;
pub mod ring;
pub mod slots;
pub mod stack_table;
mod sync;
#[cfg(not(loom))]
pub mod texts;
pub mod thinning;
#[cfg(not(loom))]
pub mod view;
