//! tokio-metrics: every spawned task is instrumented by one monitor, whose intervals a task reads once a second.

use std::sync::LazyLock;
use std::time::Duration;

use tokio_metrics::TaskMonitor;

use crate::{Done, Recorded, runtime};

pub(crate) static MONITOR: LazyLock<TaskMonitor> = LazyLock::new(TaskMonitor::new);

pub(crate) fn run(
    load: impl Future<Output = (Done, Duration, Duration)> + Send + 'static,
) -> (Done, Duration, Duration, Recorded) {
    let runtime = runtime().build().expect("a runtime");
    runtime.spawn(async {
        for interval in MONITOR.intervals() {
            std::hint::black_box(interval);
            tokio::time::sleep(Duration::from_secs(1)).await;
        }
    });
    let (done, wall, cpu) = runtime.block_on(load);
    let things = MONITOR.cumulative().total_poll_count;
    (done, wall, cpu, Recorded { things, bytes: 0 })
}
