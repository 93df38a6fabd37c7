//! Runs a command to its end and keeps all that came of it.

use std::fs::{self, File};
use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use serde_json::Value;

use super::recording::{Folder, asyncprof};

/// Long enough for the slowest machine; a condition that does not come true by then never will.
pub const DEADLINE: Duration = Duration::from_secs(60);

/// A command that ended.
#[derive(Debug)]
pub struct Ran {
    /// As a shell says it: 128 + N for signal N.
    pub code: i32,
    pub stdout: String,
    pub stderr: String,
}

impl Ran {
    /// What asyncprof itself said, without its name.
    pub fn said(&self) -> Vec<&str> {
        self.stderr
            .lines()
            .filter_map(|line| line.strip_prefix("asyncprof: "))
            .collect()
    }
}

/// A command that runs. Its output goes to files, so that a program which outlives it is not waited for.
#[derive(Debug)]
pub struct Running {
    child: Child,
    output: Folder,
}

impl Running {
    pub fn start(command: &mut Command) -> Running {
        let output = Folder::new();
        let file = |name| File::create(output.path().join(name)).unwrap();
        command
            .stdin(Stdio::null())
            .stdout(file("stdout"))
            .stderr(file("stderr"));
        let child = command
            .spawn()
            .unwrap_or_else(|error| panic!("{command:?}: {error}"));
        Running { child, output }
    }

    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Waits until this was printed.
    pub fn wait_for_stdout(&self, text: &str) {
        wait_until(text, || self.read("stdout").contains(text));
    }

    /// What it has printed so far.
    pub fn stdout(&self) -> String {
        self.read("stdout")
    }

    pub fn stderr(&self) -> String {
        self.read("stderr")
    }

    pub fn finish(mut self) -> Ran {
        let started = Instant::now();
        let status = loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                break status;
            }
            if started.elapsed() > DEADLINE {
                let _ = self.child.kill();
                panic!(
                    "it does not end: {}\n{}",
                    self.read("stdout"),
                    self.read("stderr")
                );
            }
            thread::sleep(Duration::from_millis(2));
        };
        Ran {
            code: shell_code(status),
            stdout: self.read("stdout"),
            stderr: self.read("stderr"),
        }
    }

    fn read(&self, name: &str) -> String {
        String::from_utf8_lossy(&fs::read(self.output.path().join(name)).unwrap()).into_owned()
    }
}

pub fn shell_code(status: ExitStatus) -> i32 {
    status
        .code()
        .unwrap_or_else(|| 128 + status.signal().expect("it ended by either"))
}

pub fn run(command: &mut Command) -> Ran {
    Running::start(command).finish()
}

/// Polls until `condition` holds.
pub fn wait_until(what: &str, mut condition: impl FnMut() -> bool) {
    let started = Instant::now();
    while !condition() {
        assert!(started.elapsed() < DEADLINE, "this never happened: {what}");
        thread::sleep(Duration::from_millis(5));
    }
}

/// `asyncprof record ARGS…` in this folder, not yet started.
pub fn record_command(folder: &Folder, args: &[&str]) -> Command {
    let mut command = asyncprof(folder);
    command.arg("record").args(args);
    command
}

/// `asyncprof record ARGS…` in this folder.
pub fn record(folder: &Folder, args: &[&str]) -> Ran {
    run(&mut record_command(folder, args))
}

/// The report of `asyncprof.data` in this folder.
pub fn report(folder: &Folder) -> Value {
    let ran = run(asyncprof(folder).args(["report", "--json", "--limit", "1000"]));
    assert_eq!(ran.code, 0, "{}", ran.stderr);
    serde_json::from_str(&ran.stdout).unwrap()
}

/// Episodes and nanoseconds of all waits of this function in a report.
pub fn waits_in(report: &Value, function: &str) -> (u64, u64) {
    let waits = report["waits"].as_array().unwrap();
    waits
        .iter()
        .filter(|wait| wait["function"] == function)
        .fold((0, 0), |(episodes, ns), wait| {
            (
                episodes + wait["episodes"].as_u64().unwrap(),
                ns + wait["total_ns"].as_u64().unwrap(),
            )
        })
}

/// The executables of the recorded processes, without their folders, in the order in which they came.
pub fn recorded_programs(report: &Value) -> Vec<String> {
    let processes = report["processes"].as_array().unwrap();
    processes
        .iter()
        .map(|process| Path::new(process["executable"].as_str().unwrap()))
        .map(|path| path.file_name().unwrap().to_string_lossy().into_owned())
        .collect()
}

pub fn text(path: &Path) -> &str {
    path.to_str().expect("test paths are UTF-8")
}

/// Sends a signal to a process.
pub fn signal(pid: u32, number: i32) {
    // SAFETY: a system call on numbers.
    let result = unsafe { libc::kill(pid as libc::pid_t, number) };
    assert_eq!(result, 0, "no process {pid}");
}
