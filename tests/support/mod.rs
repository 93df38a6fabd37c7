//! What the tests share: building fixtures, running the command, reading what it wrote.

pub(crate) mod accuracy;
pub(crate) mod fixtures;
pub(crate) mod invariants;
pub(crate) mod observed;
pub(crate) mod recording;
pub(crate) mod truth;
