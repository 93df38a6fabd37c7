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
    /// The program, and what it is given after the size.
    pub program: &'static str,
    pub arguments: &'static [&'static str],
    pub about: &'static str,
    pub unit: &'static str,
    pub language: Language,
    pub size: u64,
    /// Whether it does as much as it can: then its throughput tells, else the time that it needs the processors.
    pub is_saturated: bool,
}

pub const LOADS: [Load; 9] = [
    Load {
        name: "echo",
        program: "echo",
        arguments: &[],
        about: "a TCP server and 32 clients, all of them tasks, 64 bytes there and back",
        unit: "round trip",
        language: Language::Rust,
        size: 3_000,
        is_saturated: true,
    },
    Load {
        name: "pingpong",
        program: "pingpong",
        arguments: &[],
        about: "32 pairs of tasks that wake each other over mpsc and oneshot: two polls, two waits and two wakes a round trip",
        unit: "round trip",
        language: Language::Rust,
        size: 50_000,
        is_saturated: true,
    },
    Load {
        name: "turns",
        program: "turns",
        arguments: &[],
        about: "one task, alone, that wakes itself: a wake-up and a poll a turn",
        unit: "turn",
        language: Language::Rust,
        size: 5_000_000,
        is_saturated: true,
    },
    Load {
        name: "turns, suspended",
        program: "turns",
        arguments: &["suspended"],
        about: "the same, eight awaits deep, with a waker left behind: a wake-up, a poll and a suspension with its stack",
        unit: "turn",
        language: Language::Rust,
        size: 5_000_000,
        is_saturated: true,
    },
    Load {
        name: "storm",
        program: "storm",
        arguments: &[],
        about: "400,000 tasks that are ready at once",
        unit: "task",
        language: Language::Rust,
        size: 400_000,
        is_saturated: true,
    },
    Load {
        name: "idle",
        program: "idle",
        arguments: &[],
        about: "100,000 tasks that wait for 3 s, eight awaits deep",
        unit: "task",
        language: Language::Rust,
        size: 100_000,
        is_saturated: false,
    },
    Load {
        name: "web",
        program: "web",
        arguments: &[],
        about: "axum, SQLite in `spawn_blocking` and an upstream call, 500 requests a second from another process for 4 s",
        unit: "request",
        language: Language::Rust,
        size: 4,
        is_saturated: false,
    },
    Load {
        name: "fastapi",
        program: "fastapi_load.py",
        arguments: &[],
        about: "FastAPI under uvicorn, each request gathers a sleep of 1 ms and a query in a thread; eight clients, another process, \
                ask as fast as they are answered",
        unit: "request",
        language: Language::Python,
        size: 3_000,
        is_saturated: false,
    },
    Load {
        name: "fastapi, uvloop",
        program: "fastapi_load.py",
        arguments: &["--uvloop"],
        about: "the same on uvloop",
        unit: "request",
        language: Language::Python,
        size: 3_000,
        is_saturated: false,
    },
];

impl Load {
    /// What it is about.
    pub fn measure(&self) -> String {
        match self.is_saturated {
            true => "throughput".into(),
            false => format!("CPU per {}", self.unit),
        }
    }

    /// That, of a run.
    pub fn figure(&self, run: &Measured) -> f64 {
        let operations = run.figures.operations as f64;
        match self.is_saturated {
            true => operations / run.figures.wall_ns as f64,
            false => run.figures.cpu_ns as f64 / operations,
        }
    }
}

/// What a run has shown.
#[derive(Clone, Debug)]
pub struct Measured {
    pub figures: Figures,
    /// Of all processes, with start and end.
    pub cpu_ns: u64,
    /// The profiler's own process, if it has one.
    pub profiler: Process,
    pub recorded: u64,
    pub bytes_written: u64,
}

/// What a process has needed.
#[derive(Clone, Copy, Debug, Default)]
pub struct Process {
    pub cpu_ns: u64,
    pub peak_kib: u64,
}

pub fn measure(programs: &Programs, load: &Load, contestant: &Contestant, shrink: u64) -> Result<Measured> {
    let folder = tempfile::tempdir()?;
    let handicap = if load.is_saturated { contestant.handicap } else { 1 };
    let size = (load.size / handicap / shrink).max(1);
    let mut command = contestant.command(programs, load, size, folder.path());
    let cpu_before = cpu_of_children();
    let mut child = command
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .spawn()
        .with_context(|| format!("{} cannot be started", contestant.name))?;
    let profiler = if contestant.is_apart() {
        watch(&child)?
    } else {
        Process::default()
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
        profiler,
        recorded,
        bytes_written,
    })
}

/// What the child itself needs until it ends. Its output is short enough for the pipe.
fn watch(child: &Child) -> Result<Process> {
    let pid = child.id();
    let mut seen = Process::default();
    while !has_ended(pid)? {
        let status = std::fs::read_to_string(format!("/proc/{pid}/status"))?;
        let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
        let now = line.and_then(|line| line.trim().strip_suffix(" kB")?.parse().ok());
        seen.peak_kib = seen.peak_kib.max(now.unwrap_or(0));
        std::thread::sleep(Duration::from_millis(50));
    }
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat"))?;
    let (_, fields) = stat.rsplit_once(')').context("the name comes first")?;
    // proc_pid_stat(5): user and system time are the 14th and 15th field, and the name is the second.
    let ticks = fields.split_ascii_whitespace().skip(11).take(2);
    let ticks = ticks.map(str::parse::<u64>).sum::<Result<u64, _>>()?;
    // SAFETY: it is asked at any time.
    let ticks_per_s = unsafe { libc::sysconf(libc::_SC_CLK_TCK) } as u64;
    seen.cpu_ns = ticks * 1_000_000_000 / ticks_per_s;
    Ok(seen)
}

/// Whether the child has ended. It is still to be waited for.
fn has_ended(pid: u32) -> Result<bool> {
    let options = libc::WEXITED | libc::WNOHANG | libc::WNOWAIT;
    // SAFETY: zeros are a valid structure, which the system fills.
    unsafe {
        let mut info = std::mem::zeroed::<libc::siginfo_t>();
        ensure!(
            libc::waitid(libc::P_PID, pid, &mut info, options) == 0,
            std::io::Error::last_os_error()
        );
        Ok(info.si_pid() != 0)
    }
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
