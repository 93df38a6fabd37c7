//! The tokio tap: between tokio's scheduler and its tasks, through tokio's own tables.

mod arc_wakers;
mod cull;
mod find;
mod left_out;
mod marks;
mod roles;
mod spawn_tap;
mod tables;
mod task_taps;
mod version;
mod waker_entries;
mod waker_taps;

pub(crate) use find::attach;
pub(crate) use spawn_tap::enable as enable_spawn_tap;
#[cfg(not(feature = "preload"))]
pub(crate) use spawn_tap::posix_memalign;
pub(crate) use waker_taps::is_root_waker;
