//! No profiler.

use std::time::Duration;

use crate::{Done, Recorded, runtime};

pub(crate) fn run(
    load: impl Future<Output = (Done, Duration, Duration)> + Send + 'static,
) -> (Done, Duration, Duration, Recorded) {
    let runtime = runtime().build().expect("a runtime");
    let (done, wall, cpu) = runtime.block_on(load);
    (done, wall, cpu, Recorded::default())
}
