//! The commands, one file each: what they take, and what they call.

mod by;
mod demo;
mod diff;
mod diff_args;
mod diff_input;
mod duration;
mod flamegraph;
mod input;
mod labels;
mod load;
mod man;
mod record;
mod report;
mod rules;
mod symbols;

pub(crate) use demo::{DemoCommand, DemoServiceCommand};
pub(crate) use diff::DiffCommand;
pub(crate) use flamegraph::FlamegraphCommand;
pub(crate) use man::ManCommand;
pub(crate) use record::RecordCommand;
pub(crate) use report::ReportCommand;
