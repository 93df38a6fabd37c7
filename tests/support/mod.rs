//! What the tests share: building fixtures, running the command, reading what it wrote.
#![allow(unreachable_pub)] // The test binary has no outside; `pub` is for the other modules of it.

pub mod accuracy;
pub mod fixtures;
pub mod invariants;
pub mod observed;
pub mod recording;
pub mod run;
pub mod terminal;
pub mod truth;
