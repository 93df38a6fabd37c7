//! Pictures and tables of a profile.

mod blocking;
mod delays;
mod diff;
mod flamegraph;
mod folded_flamegraph;
mod labels;
mod layout;
mod palette;
mod quality;
mod report;
mod report_data;
mod stuck;
mod svg;
mod table;
mod tasks;
mod units;
mod wakes;
mod warnings;
mod words;
mod work;

#[cfg(test)]
mod flamegraph_tests;
#[cfg(test)]
mod report_tests;
#[cfg(test)]
mod testing;

pub(crate) use diff::{
    DiffInput, DiffReport, FoldedInput, FoldedReport, Sort, Width, diff_json, diff_picture, diff_text,
    folded_text,
};
pub(crate) use flamegraph::{EmptyProfile, FlamegraphOptions, flamegraph, nothing_recorded};
pub(crate) use folded_flamegraph::{FoldedOptions, folded_flamegraph};
pub(crate) use report::{DEFAULT_LIMIT, ReportOptions, report, report_json, report_stuck};
