//! The profile model, its statistics and its file.

#[cfg(test)]
pub(crate) mod arbitrary;
mod check;
mod file;
mod histogram;
mod lists;
mod model;
mod save;
mod stats;

pub use check::Inconsistent;
pub use file::{FORMAT_VERSION, MAGIC, ReadError, WriteError};
pub use lists::Lists;
pub use model::*;
pub use save::{LoadError, SaveError, check_writable};
pub use stats::Stats;
