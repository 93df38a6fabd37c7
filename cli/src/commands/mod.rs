//! The commands, one file each: what they take, and what they call.

mod demo;
mod duration;
mod record;

pub(crate) use demo::{DemoCommand, DemoServiceCommand};
pub(crate) use record::RecordCommand;
