//! The real command against real programs.

mod recordings;
mod support;
