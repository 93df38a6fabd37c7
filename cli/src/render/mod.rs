//! Pictures and tables of a profile.

pub(crate) mod flamegraph;
pub(crate) mod layout;
pub(crate) mod palette;
pub(crate) mod report;
mod report_data;
mod report_json;
mod svg;
pub(crate) mod units;

#[cfg(test)]
mod flamegraph_tests;
#[cfg(test)]
mod testing;
