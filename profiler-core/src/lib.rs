//! What both sides of asyncprof share.
//!
//! The profiled process writes [events](event) into lock-free rings in shared memory; our own process drains
//! them into per-task state machines and reduces them to a [`profile`]. This crate knows no runtime, no
//! command line and no symbols.

pub mod profile;
pub mod view;
