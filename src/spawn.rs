//! Spawning on tokio.

use tokio::task::JoinHandle;

use crate::blocking::blocking;
use crate::profiled::Profile;

/// [`tokio::spawn`], recorded as a task with this name if `asyncprof` finds no way into this program's tokio (a
/// stripped or static one).
///
/// # Panics
///
/// As [`tokio::spawn`], outside of a runtime.
///
/// ```
/// # let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
/// # runtime.block_on(async {
/// let answer = asyncprof::spawn("answer", async { 42 });
/// assert_eq!(answer.await.unwrap(), 42);
/// # });
/// ```
#[track_caller]
pub fn spawn<F>(name: &str, future: F) -> JoinHandle<F::Output>
where
    F: Future + Send + 'static,
    F::Output: Send + 'static,
{
    tokio::spawn(future.profiled(name))
}

/// [`tokio::task::spawn_blocking`], as for [`spawn`].
///
/// # Panics
///
/// As [`tokio::task::spawn_blocking`], outside of a runtime.
///
/// ```
/// # let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
/// # runtime.block_on(async {
/// let sum = asyncprof::spawn_blocking("sum", || (1..=100).sum::<u32>());
/// assert_eq!(sum.await.unwrap(), 5050);
/// # });
/// ```
#[track_caller]
pub fn spawn_blocking<F, T>(name: &str, closure: F) -> JoinHandle<T>
where
    F: FnOnce() -> T + Send + 'static,
    T: Send + 'static,
{
    tokio::task::spawn_blocking(blocking(name, closure))
}
