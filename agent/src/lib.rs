//! All of asyncprof that runs inside the profiled process.
//!
//! It is preloaded into programs that know nothing of it (feature `preload`), or linked into programs that ask for it
//! ([`join`]). When it starts it finds the runtime's dispatch tables in the program (`tokio::find`), puts its
//! own functions into them (`patch`), and from then on every spawn, poll, await and wake goes through a tap
//! (`tokio::task_taps`, `tokio::waker_taps`) that writes an event into the calling thread's ring
//! (`recorder`). It starts no thread, prints nothing, and where it is unsure it does not touch the program.

#[cfg(not(all(target_os = "linux", target_arch = "x86_64", target_pointer_width = "64")))]
compile_error!("asyncprof records on Linux x86-64 only, so far");

pub mod api;
mod asyncio;
mod coin;
mod elf;
mod imports;
mod modules;
mod panic_tap;
mod patch;
mod pauses;
mod polled;
mod recorder;
mod restart;
mod sampling;
mod stack_memo;
mod start;
mod thread_pointer;
mod tokio;
mod unwind;
mod unwind_rules;
mod wiped;

pub use modules::is_static_program;
pub use start::{join, join_named, leave_this_thread_out};
