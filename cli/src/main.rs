//! The command line of asyncprof.

mod commands;
mod render;

fn main() {}
