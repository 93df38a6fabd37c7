//! What the tests share: building fixtures, running the command, reading what it wrote.

pub mod fixtures;
pub mod recording;
pub mod run;
pub mod terminal;
