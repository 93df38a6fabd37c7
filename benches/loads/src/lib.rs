//! What all loads share: they run under no profiler or under one that is linked in, and say what they did as one line
//! of JSON.

use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};
use tokio::runtime::Builder;
use tokio::task::JoinHandle;

#[cfg_attr(feature = "dial9", path = "peer/dial9.rs")]
#[cfg_attr(feature = "console", path = "peer/console.rs")]
#[cfg_attr(feature = "metrics", path = "peer/metrics.rs")]
#[cfg_attr(
    not(any(feature = "dial9", feature = "console", feature = "metrics")),
    path = "peer/none.rs"
)]
mod peer;

const WORKERS: usize = 2;

/// All tasks of a load are spawned by this.
pub fn spawn<F>(future: F) -> JoinHandle<F::Output>
where
    F: Future<Output: Send> + Send + 'static,
{
    #[cfg(feature = "metrics")]
    let future = peer::MONITOR.instrument(future);
    tokio::spawn(future)
}

fn runtime() -> Builder {
    let mut builder = Builder::new_multi_thread();
    builder.worker_threads(WORKERS).enable_all();
    builder
}

/// What a load has done.
#[derive(Debug, Default)]
pub struct Done {
    pub operations: u64,
    /// As the clients saw them, if there are any.
    pub latencies: Latencies,
}

/// Of the requests that a client made.
#[derive(Clone, Copy, Debug, Default, Serialize, Deserialize)]
pub struct Latencies {
    pub p50_ns: u64,
    pub p99_ns: u64,
}

impl Latencies {
    pub fn of(mut each_ns: Vec<u64>) -> Latencies {
        each_ns.sort_unstable();
        let at = |share: f64| each_ns[((each_ns.len() - 1) as f64 * share) as usize];
        Latencies {
            p50_ns: at(0.5),
            p99_ns: at(0.99),
        }
    }
}

/// The line that a load prints.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Figures {
    pub operations: u64,
    pub wall_ns: u64,
    /// Of this process, in user and system mode, from the load's start to its end.
    pub cpu_ns: u64,
    pub peak_kib: u64,
    #[serde(flatten)]
    pub latencies: Latencies,
    /// What the linked profiler has recorded: its own count of things.
    pub recorded: u64,
    pub bytes_written: u64,
}

/// Runs a load on a runtime of [`WORKERS`] threads and prints its [`Figures`].
pub fn run<F>(load: F)
where
    F: Future<Output = Done> + Send + 'static,
{
    let (done, wall, cpu, recorded) = peer::run(async move {
        let (started, cpu) = (Instant::now(), cpu_time());
        let done = spawn(load).await.expect("the load does not panic");
        (done, started.elapsed(), cpu_time().saturating_sub(cpu))
    });
    let figures = Figures {
        operations: done.operations,
        wall_ns: wall.as_nanos() as u64,
        cpu_ns: cpu.as_nanos() as u64,
        peak_kib: peak_kib(),
        latencies: done.latencies,
        recorded: recorded.things,
        bytes_written: recorded.bytes,
    };
    println!("{}", serde_json::to_string(&figures).expect("numbers are JSON"));
}

/// The number given as the first argument.
pub fn size() -> u64 {
    std::env::args()
        .nth(1)
        .and_then(|word| word.parse().ok())
        .expect("usage: LOAD NUMBER")
}

/// What a linked profiler has to show.
#[derive(Clone, Copy, Debug, Default)]
pub struct Recorded {
    pub things: u64,
    pub bytes: u64,
}

fn cpu_time() -> Duration {
    // SAFETY: zeros are a valid structure, which the system fills.
    let usage = unsafe {
        let mut usage = std::mem::zeroed::<libc::rusage>();
        libc::getrusage(libc::RUSAGE_SELF, &mut usage);
        usage
    };
    let of = |time: libc::timeval| Duration::new(time.tv_sec as u64, time.tv_usec as u32 * 1000);
    of(usage.ru_utime) + of(usage.ru_stime)
}

fn peak_kib() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    line.and_then(|line| line.trim().strip_suffix(" kB")?.parse().ok())
        .unwrap_or(0)
}
