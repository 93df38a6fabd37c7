//! The real command against real programs.

mod endings;
mod help;
mod outputs;
mod processes;
mod profiles;
mod recordings;
mod signals;
mod support;
mod unrecordable;
