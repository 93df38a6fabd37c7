//! However a program ends: its output and exit code are those of the plain run, and what was recorded is saved.

use std::fs;
use std::path::PathBuf;
use std::process::Command;

use serde_json::Value;

use crate::support::fixtures::fixture;
use crate::support::recording::{Folder, asyncprof};
use crate::support::run::{Ran, record_command, recorded_programs, report, run, text, waits_in};

/// What may be missing of a program's waits if it ends in the middle.
const LOST_AT_MOST_NS: u64 = 100_000_000;

fn app() -> PathBuf {
    fixture("waits", "release", "exits")
}

/// Runs the fixture alone and recorded, and compares. Returns the report and the program's own account.
fn recorded_as_alone(args: &[&str]) -> (Value, Vec<Value>) {
    let app = app();
    let folder = Folder::new();
    let alone = run(Command::new(&app).args(args));
    let truth = folder.path().join("truth");
    let arguments = [&["-q", "--", text(&app)], args].concat();
    let recorded = run(record_command(&folder, &arguments).env("WAITS_TRUTH", &truth));
    let outcome = |ran: &Ran| (ran.code, ran.stdout.clone(), ran.stderr.clone());
    assert_eq!(outcome(&recorded), outcome(&alone), "{args:?}");
    let truth = fs::read_to_string(truth).unwrap();
    let truth = truth
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    (report(&folder), truth)
}

fn assert_naps(report: &Value, expected: u64) {
    let (episodes, _) = waits_in(report, "exits::nap");
    assert_eq!(episodes, expected, "{report:#}");
}

#[test]
fn in_the_usual_way() {
    let (report, _) = recorded_as_alone(&["code"]);
    assert_naps(&report, 30);
    assert_eq!(report["quality"]["events_lost"], 0);
    assert_eq!(report["quality"]["notes"].as_array().unwrap().len(), 0);
}

#[test]
fn by_a_panic_or_a_signal_in_the_middle() {
    for (way, code) in [("panic", 101), ("abort", 134), ("kill", 137), ("segfault", 139)] {
        assert_eq!(run(Command::new(app()).arg(way)).code, code, "{way}");
        let (report, truth) = recorded_as_alone(&[way]);
        let truth = truth
            .iter()
            .find(|line| line["site"] == "exits::nap")
            .expect("it naps");
        let true_ns = truth["total_ns"].as_u64().unwrap();
        let (episodes, ns) = waits_in(&report, "exits::nap");
        assert!(
            ns + LOST_AT_MOST_NS >= true_ns,
            "{way}: {ns} of {true_ns} ns, {episodes} naps"
        );
        assert!(ns <= true_ns + true_ns / 10, "{way}: {ns} of {true_ns} ns");
    }
}

#[test]
fn after_it_closed_all_its_files() {
    let (report, _) = recorded_as_alone(&["close-fds"]);
    assert_naps(&report, 30);
}

#[test]
fn with_a_child_that_goes_on_without_exec() {
    let (report, _) = recorded_as_alone(&["fork"]);
    // The parent's 30 and 20; the child's 10 are not recorded.
    assert_naps(&report, 50);
    assert_eq!(recorded_programs(&report), ["exits"]);
}

#[test]
fn by_becoming_another_program() {
    fixture("waits", "release", "sleep");
    let (report, _) = recorded_as_alone(&["exec", "sleep"]);
    assert_naps(&report, 30);
    assert_eq!(waits_in(&report, "sleep::inner").0, 200);
    assert_eq!(recorded_programs(&report), ["exits", "sleep"]);
    let pid = |at: usize| &report["processes"][at]["pid"];
    assert_eq!(pid(0), pid(1));
}

#[test]
fn the_program_sees_no_file_of_ours() {
    let folder = Folder::new();
    let list = |command: &mut Command| run(command.args(["sh", "-c", "ls /proc/self/fd | wc -l"])).stdout;
    let alone = list(&mut Command::new("env"));
    let recorded = list(asyncprof(&folder).args(["record", "-q", "--"]));
    assert_eq!(recorded, alone);
}
