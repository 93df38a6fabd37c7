//! The real command against real programs.

// Nothing reaches beyond a test binary.
#![allow(unreachable_pub)]

mod accuracy;
mod accuracy_page;
mod accuracy_suite;

mod demo_python;
mod diffs;
mod diffs_folded;
mod endings;
mod families;
mod fastapi;
mod help;
mod library;
mod limits;
mod linked;
mod loops;
mod outcomes;
mod outputs;
mod overload;
mod processes;
mod profiles;
mod programs;
mod python;
mod python_cython;
mod python_faults;
mod python_groups;
mod python_links;
mod recordings;
mod rules;
mod runtimes;
mod samples;
mod series;
mod servers;
mod signals;
mod support;
mod symbols;
mod told;
mod transparency;
mod unrecordable;
mod warnings;
