//! The real command against real programs.

// Nothing reaches beyond a test binary.
#![allow(unreachable_pub)]

mod accuracy;
mod endings;
mod help;
mod outcomes;
mod outputs;
mod processes;
mod profiles;
mod programs;
mod recordings;
mod samples;
mod signals;
mod support;
mod transparency;
mod unrecordable;
mod warnings;
