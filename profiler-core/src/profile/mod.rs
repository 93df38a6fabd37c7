//! The profile model, its statistics and its file.

mod model;
mod stats;

pub use model::*;
pub use stats::Stats;
