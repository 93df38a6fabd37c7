//! The real command against real programs.

mod accuracy;
mod outcomes;
mod programs;
mod recordings;
mod support;
mod transparency;
