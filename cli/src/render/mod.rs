//! Pictures and tables of a profile.

pub(crate) mod flamegraph;
pub(crate) mod layout;
pub(crate) mod palette;
pub(crate) mod report;
mod report_data;
mod svg;
mod table;
pub(crate) mod units;

#[cfg(test)]
mod flamegraph_tests;
#[cfg(test)]
mod report_tests;
#[cfg(test)]
mod testing;
