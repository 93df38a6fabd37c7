//! Event loops in more than one place: threads, processes, interpreters, one after the other. Each nap of each is there.

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::PermissionsExt;

use asyncprof_core::profile::{ProcessId, Profile, Row, State};

use crate::support::fixtures::fixture;
use crate::support::pythons::{Python, assert_whole, functions, pythons, recorded, script, sum};
use crate::support::recording::{Folder, Recording};
use crate::support::run::{record, recorded_programs, report, text, waits_in};

fn is_nap(profile: &Profile, row: &Row) -> bool {
    row.state == State::Waiting && functions(profile, row).contains(&"loops.nap")
}

fn naps(profile: &Profile) -> u64 {
    sum(profile, |row| is_nap(profile, row)).0
}

fn assert_naps(python: &Python, way: &str, processes: usize) {
    let recording = recorded(python, "loops.py", &[way]);
    let place = format!("{way} in {}: {}", python.version, recording.stderr());
    assert_eq!(recording.output.stdout, b"done\n", "{place}");
    let profile = recording.profile();
    // From 3.14 on the server that forks imports what its children will need.
    let naps_there = profile.rows.iter().filter(|row| is_nap(&profile, row));
    let of: BTreeSet<ProcessId> = naps_there.map(|row| profile.group(row.group).process).collect();
    assert_eq!(of.len(), processes, "{place}");
    assert_eq!(naps(&profile), 100, "{place}");
    assert_whole(&profile, &place);
}

#[test]
fn one_after_the_other_and_in_threads() {
    for python in pythons() {
        assert_naps(python, "again", 1);
        assert_naps(python, "threads", 1);
    }
}

#[test]
fn in_children_of_multiprocessing() {
    for python in pythons() {
        for method in ["fork", "spawn", "forkserver"] {
            assert_naps(python, method, 4);
        }
    }
}

/// asyncio of 3.8 does not work in more than one interpreter of a process.
#[test]
fn in_several_interpreters_of_a_process() {
    for python in pythons().iter().filter(|python| python.minor >= 9) {
        assert_naps(python, "interpreters", 1);
    }
}

#[test]
fn python_and_tokio_start_each_other() {
    let tokio = fixture("waits", "release", "exits");
    fixture("waits", "release", "sleep");
    for python in pythons() {
        let recording = recorded(python, "loops.py", &["starts", text(&tokio), "spawn", "sleep"]);
        assert!(recording.output.status.success(), "{}", recording.stderr());
        let profile = recording.profile();
        let runtimes: Vec<&str> = profile
            .processes
            .iter()
            .map(|process| process.runtime.split(' ').next().unwrap())
            .collect();
        assert_eq!(runtimes, ["asyncio", "tokio", "tokio"], "{}", python.version);
        assert_eq!(naps(&profile), 100, "{}", python.version);

        // A script, started through its first line.
        let folder = Folder::new();
        let program = folder.path().join("loops.py");
        let source = fs::read_to_string(script("loops.py")).unwrap();
        fs::write(&program, format!("#!{}\n{source}", text(&python.program))).unwrap();
        fs::set_permissions(&program, fs::Permissions::from_mode(0o755)).unwrap();
        let ran = record(&folder, &["-q", "--", text(&tokio), "spawn", text(&program)]);
        assert_eq!(ran.code, 0, "{}", ran.stderr);
        let report = report(&folder);
        assert_eq!(recorded_programs(&report)[0], "exits");
        assert_eq!(recorded_programs(&report).len(), 2);
        assert_eq!(waits_in(&report, "loops.nap").0, 100, "{}", python.version);
    }
}

#[test]
fn a_program_without_asyncio_is_told_so() {
    for python in pythons() {
        let recording = Recording::new(&[], &python.program, &["-c", "print('done')"]);
        assert_eq!(recording.output.stdout, b"done\n");
        let said = recording.stderr();
        assert!(
            said.contains("neither tokio nor asyncio was found in ")
                && said.contains("a Python program that imports asyncio"),
            "{said}"
        );
    }
}
