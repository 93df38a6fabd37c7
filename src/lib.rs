//! What a program links to be profiled from inside: [recordings of itself](start), [labels](label()),
//! [units of work](work()) and [tasks of any executor](Profile).
//!
//! The tool is the `asyncprof` command (package `asyncprof-cli`), which records ordinary programs without any of this.
//! What only a program's author knows is told with this crate.
//!
//! While nobody records, because nobody has called [`start`] or `ASYNCPROF` is `off` in the environment, each call costs a
//! load and a branch: [`work`] 4 instructions, [`label`](label()) 11, a [`profiled`](Profile::profiled) future 18 in all.
//!
//! ```
//! use asyncprof::Profile;
//!
//! async fn handle(route: &str) {
//!     asyncprof::label("route", route);
//!     // ...
//!     asyncprof::work(1);
//! }
//!
//! // `block_on` of any executor.
//! futures_executor::block_on(handle("/users/{id}").profiled("connection"));
//! ```

#![warn(missing_docs)]

mod alone;
mod blocking;
mod error;
mod label;
mod linked;
mod output;
mod profiled;
mod profiler;
mod snapshot;
#[cfg(feature = "tokio")]
mod spawn;
mod task;
#[cfg(feature = "tower")]
pub mod tower;
#[cfg(feature = "tracing")]
pub mod tracing;
mod work;

#[cfg(feature = "demo")]
pub mod demo;

pub use blocking::blocking;
pub use error::Error;
pub use label::{label, unlabel};
pub use profiled::{Profile, Profiled};
pub use profiler::{Builder, Profiler, builder, start};
pub use snapshot::{LiveFrame, LiveGroup, LiveTask, Snapshot, TaskState, snapshot};
#[cfg(feature = "tokio")]
pub use spawn::{spawn, spawn_blocking};
pub use work::work;
