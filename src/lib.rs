//! asyncprof: an async-aware profiler. The tool is the `asyncprof` command (package `asyncprof-cli`);
//! this crate holds what a program links. Today that is only the demo service.
#![forbid(unsafe_code)]

#[cfg(feature = "demo")]
pub mod demo;
