//! The asyncio tap: between CPython's event loops and their tasks, through the slots of asyncio's own C types.
//!
//! Everything here runs on the program's threads while they hold the interpreter's lock, and reads what they are about
//! to use anyway: nothing is torn, nobody waits.

mod anyio;
mod attach;
mod chain;
mod cython;
mod functions;
mod interpreter;
mod layout;
mod links;
mod memory;
mod names;
mod pages;
mod probe;
mod tap;
mod taps;
mod unseen;
mod workers;

pub(crate) use attach::await_import;
pub(crate) use interpreter::find;
pub(crate) use names::Cache as NameCache;
pub(crate) use tap::sampled;
