//! No profiler.

use std::time::Duration;

use tokio::task::JoinHandle;

use crate::{Done, Recorded, WORKERS};

pub fn spawn<F>(future: F) -> JoinHandle<F::Output>
where
    F: Future<Output: Send> + Send + 'static,
{
    tokio::spawn(future)
}

pub(crate) fn run(
    load: impl Future<Output = (Done, Duration, Duration)>,
) -> (Done, Duration, Duration, Recorded) {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(WORKERS)
        .enable_all()
        .build()
        .expect("a runtime");
    let (done, wall, cpu) = runtime.block_on(load);
    (done, wall, cpu, Recorded::default())
}
