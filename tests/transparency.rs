//! A program under `record` prints what it prints alone, byte for byte, and ends as it ends alone.

use std::process::Command;

use crate::support::fixtures::{fixture, strip_all};
use crate::support::recording::{Folder, Recording};

fn is_the_same_when_recorded(package: &str, profile: &str, program: &str, args: &[&str]) {
    let path = fixture(package, profile, program);
    let folder = Folder::new();
    let alone = Command::new(&path)
        .args(args)
        .current_dir(folder.path())
        .output()
        .unwrap();
    let recorded = Recording::new(&["-q"], &path, args).output;
    assert_eq!(recorded.status.code(), alone.status.code(), "{program} {args:?}");
    assert_eq!(recorded.stdout, alone.stdout, "{program} {args:?}");
    assert_eq!(
        String::from_utf8_lossy(&recorded.stderr),
        String::from_utf8_lossy(&alone.stderr)
    );
}

#[test]
fn programs_that_wait() {
    for program in [
        "sleep",
        "current_thread",
        "tcp",
        "channels",
        "locks",
        "joins",
        "blocking",
        "branches",
        "dynfut",
    ] {
        is_the_same_when_recorded("waits", "release", program, &[]);
    }
}

#[test]
fn programs_with_very_many_tasks_or_threads() {
    for program in ["storm", "threads", "pingpong"] {
        is_the_same_when_recorded("waits", "release", program, &[]);
    }
}

#[test]
fn programs_that_end_otherwise() {
    is_the_same_when_recorded("waits", "release", "outcomes", &[]);
    for way in ["code", "panic", "fork"] {
        is_the_same_when_recorded("waits", "release", "exits", &[way]);
    }
}

#[test]
fn other_versions_of_tokio() {
    for package in ["tokio-1.47", "tokio-1.38", "tokio-1.28"] {
        is_the_same_when_recorded(package, "release", "joins", &[]);
    }
}

/// Nothing can be told of it, so nothing is touched.
#[test]
fn a_program_without_symbols() {
    let path = strip_all(&fixture("waits", "release", "joins"));
    let alone = Command::new(&path).output().unwrap();
    let recorded = Recording::new(&["-q"], &path, &[]).output;
    assert_eq!(recorded.status.code(), alone.status.code());
    assert_eq!(recorded.stdout, alone.stdout);
}

/// An unknown version is left alone, and said so, once.
#[test]
fn a_tokio_that_we_do_not_know() {
    let path = fixture("tokio-1.20", "release", "sleep");
    let alone = Command::new(&path).output().unwrap();
    let recording = Recording::new(&["-q"], &path, &[]);
    assert_eq!(recording.output.status.code(), alone.status.code());
    assert_eq!(recording.output.stdout, alone.stdout);
    let said = recording.stderr();
    assert_eq!(said.matches("1.20.6").count(), 1, "{said}");
    assert!(said.contains("1.23 to 1.54"), "{said}");
}
