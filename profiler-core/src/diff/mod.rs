//! Two sides of recordings compared, node by node of their call trees: what got slower, what faster, what stayed the
//! same, and what the data cannot tell. `docs/statistics.md` has the formulas and their sources.
//!
//! align (one tree of all runs) → estimate (rates with variances, per exposure) → judge → blame → percentiles → gate.

mod align;
mod answer;
mod blame;
mod compare;
mod estimate;
mod exposure;
mod folded;
mod gate;
mod measure;
mod objections;
mod percentiles;
mod quantiles;
mod runs;
#[cfg(test)]
mod simulate;
#[cfg(test)]
mod simulations;
#[cfg(test)]
mod tests;
mod watch;

pub use answer::{Answer, Question};
pub use compare::{Diff, DiffNode, DiffOptions, Verdict, compare};
pub use estimate::Estimate;
pub use exposure::{Exposure, counts_work};
pub use folded::compare_folded;
pub use gate::{Dealt, Gate};
pub use objections::objections;
pub use percentiles::{Length, Percentile};
pub use runs::{Run, Runs};
