//! dial9 with its Tokio hooks and task tracking, no stacks: what its documentation begins with. `DIAL9_TRACE_DIR` names
//! the folder of its traces.

use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::{Done, Recorded, runtime};
use dial9::{Dial9HandleTokioExt, DiskBuffer, TokioAttachOptions};

/// Nothing is thrown away.
const MOST_BYTES: u64 = 8 << 30;

pub(crate) fn run(
    load: impl Future<Output = (Done, Duration, Duration)> + Send + 'static,
) -> (Done, Duration, Duration, Recorded) {
    let folder = PathBuf::from(std::env::var_os("DIAL9_TRACE_DIR").expect("DIAL9_TRACE_DIR names a folder"));
    let buffer = DiskBuffer::builder()
        .base_path(&folder)
        .max_total_size(MOST_BYTES)
        .build()
        .expect("the folder can be written to");
    let recorder = dial9::recorder(buffer).build();
    let options = TokioAttachOptions::builder().task_tracking_enabled(true).build();
    let runtime = recorder
        .handle()
        .attach_tokio_runtime(runtime(), options)
        .expect("a runtime");
    let (done, wall, cpu) = dial9::block_on(&runtime, load);
    drop(runtime);
    drop(recorder);
    (done, wall, cpu, recorded(&folder))
}

/// Events and bytes of all traces in a folder.
fn recorded(folder: &Path) -> Recorded {
    let mut sum = Recorded::default();
    let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
    for path in entries.map(|entry| entry.path()) {
        if path.is_dir() {
            let inner = recorded(&path);
            sum.things += inner.things;
            sum.bytes += inner.bytes;
        } else if let Ok(trace) = std::fs::read(&path) {
            sum.bytes += trace.len() as u64;
            if let Some(mut decoder) = dial9::format::Decoder::new(&trace) {
                let _ = decoder.for_each_event(|_| sum.things += 1);
            }
        }
    }
    sum
}
