//! Signals, time limits and terminals: who gets what, and what is saved.

use std::fs;
use std::path::Path;

use libc::{SIGHUP, SIGINT, SIGKILL, SIGTERM};
use serde_json::Value;

use crate::support::fixtures::fixture;
use crate::support::recording::Folder;
use crate::support::run::{Running, record_command, report, run, signal, text, waits_in};
use crate::support::terminal::Terminal;

/// Tells each SIGINT, and ends as it likes at SIGTERM.
const POLITE: &str = "trap 'echo caught' INT; trap 'echo bye; exit 5' TERM; echo ready; \
                      while :; do sleep 0.05; done";

fn forever() -> String {
    text(&fixture("waits", "release", "exits")).to_owned() + " forever"
}

fn is_alive(pid: u64) -> bool {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    stat.rsplit(')')
        .next()
        .is_some_and(|rest| !rest.is_empty() && !rest.trim_start().starts_with('Z'))
}

fn pid_in(report: &Value) -> u64 {
    report["processes"][0]["pid"]
        .as_u64()
        .expect("one process was recorded")
}

#[test]
fn a_time_limit_ends_a_program_that_runs_for_ever() {
    let folder = Folder::new();
    let ran = run(&mut record_command(
        &folder,
        &["-d", "700ms", "--", "sh", "-c", &format!("exec {}", forever())],
    ));
    assert_eq!(ran.code, 128 + SIGTERM);
    assert!(!is_alive(pid_in(&report(&folder))));
    let polite = run(&mut record_command(
        &folder,
        &["-d", "500ms", "--", "sh", "-c", POLITE],
    ));
    assert_eq!((polite.code, polite.stdout.as_str()), (5, "ready\nbye\n"));
}

#[test]
fn a_program_that_ignores_the_end_is_killed_after_the_grace() {
    let folder = Folder::new();
    let script = format!("trap '' TERM; exec {}", forever());
    let ran = run(
        record_command(&folder, &["-d", "700ms", "--", "sh", "-c", &script])
            .env("ASYNCPROF_TEST_GRACE_MS", "200"),
    );
    assert_eq!(ran.code, 128 + SIGKILL, "{}", ran.stderr);
    assert!(waits_in(&report(&folder), "exits::nap").0 > 0, "{}", ran.stderr);
}

#[test]
fn a_program_can_be_left_running() {
    let folder = Folder::new();
    let script = format!("exec {}", forever());
    let ran = run(&mut record_command(
        &folder,
        &["-d", "700ms", "--keep-running", "--", "sh", "-c", &script],
    ));
    assert_eq!(ran.code, 0, "{}", ran.stderr);
    let pid = pid_in(&report(&folder));
    assert!(is_alive(pid));
    signal(pid as u32, SIGKILL);
}

#[test]
fn signals_sent_to_the_recorder_reach_the_program() {
    for (number, first, code) in [
        (SIGTERM, "bye", 5),
        (SIGINT, "caught", 5),
        (SIGHUP, "", 128 + SIGHUP),
    ] {
        let folder = Folder::new();
        let running = Running::start(&mut record_command(&folder, &["-q", "--", "sh", "-c", POLITE]));
        running.wait_for_stdout("ready");
        signal(running.pid(), number);
        if !first.is_empty() {
            running.wait_for_stdout(first);
        }
        if number == SIGINT {
            signal(running.pid(), SIGTERM);
        }
        let ran = running.finish();
        assert_eq!(ran.code, code);
        assert!(ran.stdout.matches("caught").count() <= 1, "{}", ran.stdout);
        assert!(folder.path().join("asyncprof.data").exists());
    }
}

#[test]
fn a_signal_that_was_ignored_before_stays_ignored() {
    let folder = Folder::new();
    // As `nohup` does it.
    let asyncprof = env!("CARGO_BIN_EXE_asyncprof");
    let script = format!(
        "trap '' HUP; exec {asyncprof} record -q -- sh -c 'echo ready; while :; do sleep 0.05; done'"
    );
    let mut command = std::process::Command::new("sh");
    let running = Running::start(command.args(["-c", &script]).current_dir(folder.path()));
    running.wait_for_stdout("ready");
    signal(running.pid(), SIGHUP);
    signal(running.pid(), SIGTERM);
    assert_eq!(running.finish().code, 128 + SIGTERM);
}

#[test]
fn a_second_interrupt_stops_the_recording_and_saves_it() {
    let folder = Folder::new();
    let script = format!("trap '' INT; exec {}", forever());
    let running = Running::start(&mut record_command(&folder, &["--", "sh", "-c", &script]));
    running.wait_for_stdout("after 30 naps");
    signal(running.pid(), SIGINT);
    signal(running.pid(), SIGINT);
    // Two at once may be seen as one.
    let stopped = || !is_alive(u64::from(running.pid()));
    crate::support::run::wait_until("the end of the recording", || {
        if !stopped() {
            // SAFETY: a system call on numbers; the process was not waited for yet.
            unsafe { libc::kill(running.pid() as libc::pid_t, SIGINT) };
        }
        stopped()
    });
    assert_eq!(running.finish().code, 128 + SIGINT);
    let report = report(&folder);
    assert!(waits_in(&report, "exits::nap").0 >= 30);
    assert!(is_alive(pid_in(&report)), "it goes on alone");
    signal(pid_in(&report) as u32, SIGKILL);
}

#[test]
fn ctrl_c_on_a_terminal_reaches_the_program_once() {
    let folder = Folder::new();
    let mut terminal = Terminal::start(&mut record_command(&folder, &["--", "sh", "-c", POLITE]));
    terminal.wait_for("ready");
    terminal.wait_for("recording 0:0");
    terminal.press_ctrl_c();
    terminal.wait_for("caught");
    signal(terminal.pid(), SIGTERM);
    let (code, screen) = terminal.finish();
    assert_eq!(code, 5, "{screen}");
    assert_eq!(screen.matches("caught").count(), 1, "{screen}");
    assert!(folder.path().join("asyncprof.data").exists());
}

#[test]
fn ctrl_c_twice_on_a_terminal_saves_what_was_recorded() {
    let folder = Folder::new();
    let script = format!("trap '' INT; exec {}", forever());
    let mut terminal = Terminal::start(&mut record_command(&folder, &["--", "sh", "-c", &script]));
    terminal.wait_for("after 30 naps");
    terminal.press_ctrl_c();
    terminal.wait_for("^C");
    terminal.press_ctrl_c();
    let (code, screen) = terminal.finish();
    assert_eq!(code, 128 + SIGINT, "{screen}");
    assert!(screen.contains("profile: asyncprof.data"), "{screen}");
    assert!(waits_in(&report(&folder), "exits::nap").0 >= 30);
}

#[test]
fn ctrl_c_on_a_terminal_ends_a_program_that_does_not_mind() {
    let folder = Folder::new();
    let mut terminal = Terminal::start(&mut record_command(
        &folder,
        &["-q", "--", "sh", "-c", &format!("exec {}", forever())],
    ));
    terminal.wait_for("after 30 naps");
    terminal.press_ctrl_c();
    let (code, screen) = terminal.finish();
    assert_eq!(code, 128 + SIGINT);
    assert_eq!(screen, "forever after 30 naps\r\n^C", "quiet on a terminal, too");
    assert!(waits_in(&report(&folder), "exits::nap").0 >= 30);
}

#[test]
fn the_program_outlives_a_recorder_that_is_killed() {
    let folder = Folder::new();
    let marker = folder.path().join("end");
    let script = format!(
        "{} code > /dev/null; echo $? > {}",
        text(&fixture("waits", "release", "exits")),
        text(&marker)
    );
    let running = Running::start(&mut record_command(
        &folder,
        &["--", "sh", "-c", &format!("echo ready; {script}")],
    ));
    running.wait_for_stdout("ready");
    signal(running.pid(), SIGKILL);
    assert_eq!(running.finish().code, 128 + SIGKILL);
    let ended = |path: &Path| fs::read_to_string(path).unwrap_or_default();
    crate::support::run::wait_until("the end of the program", || !ended(&marker).is_empty());
    assert_eq!(ended(&marker), "7\n");
}
