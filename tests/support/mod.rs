//! What the tests share: building fixtures, running the command, reading what it wrote.

pub mod accuracy;
pub mod alone;
pub mod comparison;
pub mod distribution;
pub mod fixtures;
pub mod invariants;
pub mod observed;
pub mod pythons;
pub mod recording;
pub mod run;
pub mod terminal;
pub mod truth;
