//! The recorded program and its signals: runs it, waits for it, and does with Ctrl-C, SIGTERM and time limits what
//! a terminal user expects.

use std::cell::Cell;
use std::ffi::OsString;
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::process::{Child, Command, ExitStatus};
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use crossbeam_channel::{Receiver, after, bounded, never, select, tick};
use signal_hook::consts::{SIGHUP, SIGINT, SIGQUIT, SIGTERM};
use signal_hook::iterator::SignalsInfo;
use signal_hook::iterator::exfiltrator::WithOrigin;
use signal_hook::low_level::siginfo::{Cause, Origin};

use super::target::{NotStartable, Target};

/// How long a program that was asked to end may take.
const GRACE: Duration = Duration::from_secs(5);
/// Another grace in milliseconds, for tests that do not want to wait.
const GRACE_VARIABLE: &str = "ASYNCPROF_TEST_GRACE_MS";
const STATUS_INTERVAL: Duration = Duration::from_millis(200);

/// How the recording ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum End {
    /// The program ended with this exit code, 128 + N for signal N.
    Exited(u8),
    /// We stopped; the program goes on without us.
    Stopped { code: u8 },
}

/// What to do when the time is over.
#[derive(Clone, Copy, Debug)]
pub(super) struct Limit {
    pub(super) duration: Option<Duration>,
    pub(super) keep_running: bool,
}

pub(super) struct Signals {
    received: Receiver<Origin>,
    last: Cell<Option<i32>>,
}

impl Signals {
    /// From now on these signals do not end us. Those that we were started to ignore (`nohup`, a background job of a
    /// script) stay ignored, by us and by the program, which inherits that.
    pub(super) fn catch() -> Result<Signals> {
        let ignored = ignored_signals();
        let caught = [SIGINT, SIGTERM, SIGHUP, SIGQUIT]
            .into_iter()
            .filter(|signal| ignored & 1 << (signal - 1) == 0);
        let mut signals = SignalsInfo::<WithOrigin>::new(caught).context("cannot install signal handlers")?;
        let (send, received) = bounded(16);
        std::thread::Builder::new()
            .name("signals".into())
            .spawn(move || {
                for origin in &mut signals {
                    if send.send(origin).is_err() {
                        break;
                    }
                }
            })
            .context("cannot start the signal thread")?;
        Ok(Signals {
            received,
            last: Cell::new(None),
        })
    }

    /// The last one that came so far, if any.
    pub(super) fn last(&self) -> Option<i32> {
        if let Some(origin) = self.received.try_iter().last() {
            self.last.set(Some(origin.signal));
        }
        self.last.get()
    }
}

/// The signals that this process ignores, bit N - 1 for signal N.
fn ignored_signals() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let mask = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    mask.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok())
        .unwrap_or(0)
}

/// Starts the program.
pub(super) fn start(
    target: &Target,
    command: &[OsString],
    environment: &[(&str, OsString)],
) -> Result<Child, NotStartable> {
    let path = &target.path;
    let spawn = |mut child: Command| {
        let environment = environment.iter().map(|(name, value)| (name, value));
        child.args(&command[1..]).envs(environment).spawn()
    };
    let mut program = Command::new(path);
    program.arg0(&command[0]);
    let spawned = match spawn(program) {
        // As a shell does it, and `execvp`.
        Err(error) if error.raw_os_error() == Some(libc::ENOEXEC) && target.is_text => {
            let mut shell = Command::new("/bin/sh");
            shell.arg(path);
            spawn(shell)
        }
        other => other,
    };
    spawned.map_err(|error| NotStartable::NotExecutable {
        path: path.display().to_string(),
        why: match error.raw_os_error() {
            Some(libc::ENOEXEC) => {
                "it is no program for this machine and no script; build it for this machine".into()
            }
            Some(libc::ENOENT) => {
                "the interpreter or loader that it names does not exist; install it, or correct \
                 the first line of a script"
                    .into()
            }
            _ => error.to_string(),
        },
    })
}

/// Waits until the program ends or the recording is to stop. `status` is called several times a second. `ended`
/// is called at the very moment.
pub(super) fn supervise(
    mut child: Child,
    signals: &Signals,
    limit: Limit,
    mut status: impl FnMut(Duration),
    ended: impl FnOnce() -> u64 + Send + 'static,
) -> Result<(End, u64)> {
    let pid = child.id();
    let started = Instant::now();
    let (send, exited) = bounded::<(std::io::Result<ExitStatus>, u64)>(1);
    std::thread::Builder::new()
        .name("wait".into())
        .spawn(move || {
            let result = child.wait();
            // The receiver is gone if the recording was stopped before.
            let _ = send.send((result, ended()));
        })
        .context("cannot start the thread that waits for the program")?;
    let ticks = tick(STATUS_INTERVAL);
    let mut deadline = limit.duration.map_or_else(never, after);
    let mut asked_to_end = false;
    let mut interrupts = 0;
    loop {
        select! {
            recv(exited) -> message => {
                let (result, at_ticks) = message.context("the thread that waits for the program ended early")?;
                let status = result.context("cannot wait for the program")?;
                return Ok((End::Exited(exit_code(status)), at_ticks));
            }
            recv(deadline) -> _ => {
                if limit.keep_running {
                    return Ok((End::Stopped { code: 0 }, 0));
                }
                let signal = if asked_to_end { libc::SIGKILL } else { libc::SIGTERM };
                send_signal(pid, signal);
                asked_to_end = true;
                deadline = if signal == libc::SIGTERM { after(grace()) } else { never() };
            }
            recv(signals.received) -> origin => {
                let Ok(origin) = origin else { continue };
                signals.last.set(Some(origin.signal));
                if origin.signal == SIGINT {
                    interrupts += 1;
                    if interrupts > 1 {
                        return Ok((End::Stopped { code: 128 + SIGINT as u8 }, 0));
                    }
                }
                // What the terminal sends, it sends to the program, too.
                if origin.cause != Cause::Kernel {
                    send_signal(pid, origin.signal);
                }
            }
            recv(ticks) -> _ => status(started.elapsed()),
        }
    }
}

fn grace() -> Duration {
    let milliseconds = std::env::var(GRACE_VARIABLE)
        .ok()
        .and_then(|text| text.parse().ok());
    milliseconds.map_or(GRACE, Duration::from_millis)
}

fn send_signal(pid: u32, signal: i32) {
    // SAFETY: plain system call. The number is our child's, which was not waited for yet or is just being: in that
    // instant the signal may find nobody.
    unsafe { libc::kill(pid as libc::pid_t, signal) };
}

fn exit_code(status: ExitStatus) -> u8 {
    match (status.code(), status.signal()) {
        (Some(code), _) => code as u8,
        (None, Some(signal)) => (128 + signal) as u8,
        (None, None) => 125,
    }
}
