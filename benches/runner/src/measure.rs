//! One run of a load under a profiler.

use std::io::Read;
use std::path::Path;
use std::process::{Child, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use loads::Figures;

use crate::build::Programs;
use crate::contestant::{Contestant, Language};

pub struct Load {
    pub name: &'static str,
    pub about: &'static str,
    pub unit: &'static str,
    pub language: Language,
    pub size: u64,
    /// Whether it does as much as it can: then its throughput tells, else the time that it needs the processors.
    pub is_saturated: bool,
}

pub const LOADS: [Load; 6] = [
    Load {
        name: "echo",
        about: "a TCP server and 32 clients, all of them tasks, 64 bytes there and back",
        unit: "round trip",
        language: Language::Rust,
        size: 3_000,
        is_saturated: true,
    },
    Load {
        name: "pingpong",
        about: "32 pairs of tasks that wake each other over mpsc and oneshot: two polls, two waits and two wakes a round trip",
        unit: "round trip",
        language: Language::Rust,
        size: 50_000,
        is_saturated: true,
    },
    Load {
        name: "storm",
        about: "400,000 tasks that are ready at once",
        unit: "task",
        language: Language::Rust,
        size: 400_000,
        is_saturated: true,
    },
    Load {
        name: "idle",
        about: "100,000 tasks that wait for 3 s, eight awaits deep",
        unit: "task",
        language: Language::Rust,
        size: 100_000,
        is_saturated: false,
    },
    Load {
        name: "web",
        about: "axum, SQLite in `spawn_blocking` and an upstream call, 500 requests a second from another process for 4 s",
        unit: "request",
        language: Language::Rust,
        size: 4,
        is_saturated: false,
    },
    Load {
        name: "fastapi",
        about: "FastAPI under uvicorn, each request gathers a sleep of 1 ms and a query in a thread; eight clients, another process, \
                ask as fast as they are answered",
        unit: "request",
        language: Language::Python,
        size: 2_000,
        is_saturated: true,
    },
];

/// What a run has shown.
#[derive(Clone, Debug)]
pub struct Measured {
    pub figures: Figures,
    /// Of all processes, with start and end.
    pub cpu_ns: u64,
    /// Peak of the profiler's own process, if it has one.
    pub profiler_peak_kib: u64,
    pub recorded: u64,
    pub bytes_written: u64,
}

pub fn measure(programs: &Programs, load: &Load, contestant: &Contestant, shrink: u64) -> Result<Measured> {
    let folder = tempfile::tempdir()?;
    let handicap = if load.is_saturated { contestant.handicap } else { 1 };
    let size = (load.size / handicap / shrink).max(1);
    let mut command = contestant.command(programs, load.name, size, folder.path());
    let cpu_before = cpu_of_children();
    let mut child = command
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .spawn()
        .with_context(|| format!("{} cannot be started", contestant.name))?;
    let profiler_peak_kib = if contestant.is_apart() {
        watch_memory(&mut child)?
    } else {
        0
    };
    let mut output = String::new();
    child
        .stdout
        .take()
        .context("it was piped")?
        .read_to_string(&mut output)?;
    let status = child.wait()?;
    let cpu_ns = cpu_of_children() - cpu_before;
    ensure!(
        status.success(),
        "{} under {}: {status}",
        load.name,
        contestant.name
    );
    let line = output
        .lines()
        .find(|line| line.starts_with('{'))
        .context("figures")?;
    let figures: Figures = serde_json::from_str(line)?;
    let recorded = contestant
        .recorded(programs, folder.path())
        .unwrap_or(figures.recorded);
    ensure!(
        recorded > 0 || contestant.is_baseline(),
        "{} has recorded nothing of {}",
        contestant.name,
        load.name
    );
    let bytes_written = figures.bytes_written.max(bytes_in(folder.path())?);
    Ok(Measured {
        figures,
        cpu_ns,
        profiler_peak_kib,
        recorded,
        bytes_written,
    })
}

/// The most memory that it ever had, seen while it runs. Its output is short enough for the pipe.
fn watch_memory(child: &mut Child) -> Result<u64> {
    let path = format!("/proc/{}/status", child.id());
    let mut peak = 0;
    while child.try_wait()?.is_none() {
        let status = std::fs::read_to_string(&path).unwrap_or_default();
        let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
        let now = line.and_then(|line| line.trim().strip_suffix(" kB")?.parse().ok());
        peak = peak.max(now.unwrap_or(0));
        std::thread::sleep(Duration::from_millis(50));
    }
    Ok(peak)
}

/// User and system time of all processes waited for so far.
fn cpu_of_children() -> u64 {
    // SAFETY: zeros are a valid structure, which the system fills.
    let usage = unsafe {
        let mut usage = std::mem::zeroed::<libc::rusage>();
        libc::getrusage(libc::RUSAGE_CHILDREN, &mut usage);
        usage
    };
    let of = |time: libc::timeval| time.tv_sec as u64 * 1_000_000_000 + time.tv_usec as u64 * 1000;
    of(usage.ru_utime) + of(usage.ru_stime)
}

fn bytes_in(folder: &Path) -> Result<u64> {
    let mut bytes = 0;
    for entry in std::fs::read_dir(folder)? {
        bytes += entry?.metadata()?.len();
    }
    Ok(bytes)
}
