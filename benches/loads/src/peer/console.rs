//! console-subscriber, recording to a file, so that it has something to show. `TOKIO_CONSOLE_RECORD_PATH` names it.

use std::time::Duration;

use crate::{Done, Recorded, runtime};

pub(crate) fn run(
    load: impl Future<Output = (Done, Duration, Duration)> + Send + 'static,
) -> (Done, Duration, Duration, Recorded) {
    let path = std::env::var_os("TOKIO_CONSOLE_RECORD_PATH").expect("TOKIO_CONSOLE_RECORD_PATH names a file");
    console_subscriber::init();
    let runtime = runtime().build().expect("a runtime");
    let (done, wall, cpu) = runtime.block_on(load);
    drop(runtime);
    let recording = std::fs::read(path).unwrap_or_default();
    let things = recording.iter().filter(|&&byte| byte == b'\n').count() as u64;
    let bytes = recording.len() as u64;
    (done, wall, cpu, Recorded { things, bytes })
}
