//! console-subscriber, recording to a file, so that it has something to show. `TOKIO_CONSOLE_RECORD_PATH` names it.

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
    let path = std::env::var_os("TOKIO_CONSOLE_RECORD_PATH").expect("TOKIO_CONSOLE_RECORD_PATH names a file");
    console_subscriber::init();
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(WORKERS)
        .enable_all()
        .build()
        .expect("a runtime");
    let (done, wall, cpu) = runtime.block_on(load);
    drop(runtime);
    let recording = std::fs::read(path).unwrap_or_default();
    let things = recording.iter().filter(|&&byte| byte == b'\n').count() as u64;
    let bytes = recording.len() as u64;
    (done, wall, cpu, Recorded { things, bytes })
}
