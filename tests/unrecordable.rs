//! Commands that cannot be recorded, or not started: one message with what, why and what to do, and the program
//! runs as it does alone.

use std::fs;
use std::os::unix::fs::{PermissionsExt, chown};
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::support::fixtures::{fixture, static_program, strip_all};
use crate::support::recording::{Folder, asyncprof};
use crate::support::run::{Ran, record, report, run, text, waits_in};

/// Records the command; it must have run as alone, with this one message, and a profile of nothing.
fn assert_unobserved(program: &Path, args: &[&str], expected: &[&str]) {
    let folder = Folder::new();
    let alone = run(Command::new(program).args(args).current_dir(folder.path()));
    let recorded = record(&folder, &[&["-q", "--", text(program)], args].concat());
    assert_eq!((recorded.code, &recorded.stdout), (alone.code, &alone.stdout));
    let said: Vec<&str> = recorded.said();
    assert_eq!(said.len(), 1, "{}", recorded.stderr);
    assert_eq!(
        recorded.stderr.lines().count(),
        alone.stderr.lines().count() + 1,
        "{}",
        recorded.stderr
    );
    for part in expected {
        assert!(said[0].contains(part), "{said:?} lacks {part:?}");
    }
    // The readers know why the profile is empty, too.
    let text = run(asyncprof(&folder).arg("report"));
    assert_eq!(text.code, 0);
    assert!(
        text.stdout.contains("No task time recorded") && text.stdout.contains(expected[0]),
        "{}",
        text.stdout
    );
    let picture = run(asyncprof(&folder).arg("flamegraph"));
    assert_eq!(picture.code, 125);
    assert!(picture.said()[0].contains(expected[0]), "{}", picture.stderr);
}

#[test]
fn a_stripped_program() {
    let program = strip_all(&fixture("waits", "release", "exits"));
    assert_unobserved(
        &program,
        &["code"],
        &[
            "ran unobserved: it holds tokio 1.54.1 but no symbols",
            "build it without `strip",
        ],
    );
}

#[test]
fn a_static_program() {
    match static_program() {
        Ok(program) => assert_unobserved(
            &program,
            &[],
            &["it is statically linked", "build it for a target"],
        ),
        Err(why) => println!("skipped: no static program can be built here: {why}"),
    }
}

#[test]
fn a_program_without_tokio() {
    let program = fixture("no-tokio", "release", "no-tokio");
    assert_unobserved(
        &program,
        &[],
        &[
            "neither tokio nor asyncio was found in ",
            "record a program that is built with tokio, or a Python program that imports asyncio",
        ],
    );
}

#[test]
fn a_tokio_outside_the_table() {
    let program = fixture("tokio-1.20", "release", "sleep");
    assert_unobserved(
        &program,
        &[],
        &[
            "it holds tokio 1.20.6, and this asyncprof knows 1.",
            "use one of those",
        ],
    );
}

#[test]
fn a_program_that_exits_at_once() {
    let program = fixture("waits", "release", "exits");
    assert_unobserved(&program, &["at-once"], &["polled no task while it was recorded"]);
}

#[test]
fn a_program_that_runs_with_anothers_rights() {
    let folder = Folder::new();
    let copy = folder.path().join("exits");
    fs::copy(fixture("waits", "release", "exits"), &copy).unwrap();
    let set_user_id = || fs::set_permissions(&copy, fs::Permissions::from_mode(0o4755)).unwrap();

    // It changes nothing if the rights are one's own, and then nothing is said.
    set_user_id();
    let own = record(&folder, &["-q", "--", text(&copy), "code"]);
    assert_eq!((own.code, own.stderr.as_str()), (7, ""));
    assert_eq!(waits_in(&report(&folder), "exits::nap").0, 30);

    if let Err(error) = chown(&copy, Some(65534), None) {
        println!("skipped: a file cannot be given to another user here: {error}");
        return;
    }
    set_user_id();
    let recorded = record(&folder, &["-q", "--", text(&copy), "code"]);
    assert_eq!(
        (recorded.code, recorded.stdout.as_str()),
        (7, "code after 30 naps\n")
    );
    if recorded.stderr.is_empty() {
        println!("skipped: set-user-ID is without effect here (nosuid)");
        return;
    }
    assert_eq!(recorded.said().len(), 1, "{}", recorded.stderr);
    assert!(
        recorded.said()[0].contains("it is set-user-ID or set-group-ID"),
        "{}",
        recorded.stderr
    );
    assert!(
        recorded.said()[0].contains("record a copy without that bit"),
        "{}",
        recorded.stderr
    );
}

fn executable(folder: &Folder, name: &str, content: &[u8]) -> PathBuf {
    let path = folder.path().join(name);
    fs::write(&path, content).unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
    path
}

#[test]
fn what_a_script_runs_is_recorded() {
    let app = fixture("waits", "release", "exits");
    for first_line in ["#!/bin/sh\n", "", "# a shell's script\n"] {
        let folder = Folder::new();
        let script = executable(
            &folder,
            "script",
            format!("{first_line}echo \"$1\"\n{} code\n", text(&app)).as_bytes(),
        );
        let ran = record(&folder, &["-q", "--", text(&script), "hello"]);
        assert_eq!(ran.code, 7, "{first_line:?}: {}", ran.stderr);
        assert_eq!(
            (ran.stdout.as_str(), ran.stderr.as_str()),
            ("hello\ncode after 30 naps\n", "")
        );
        assert_eq!(waits_in(&report(&folder), "exits::nap").0, 30);
    }
}

fn not_started(args: &[&str], folder: &Folder) -> Ran {
    let ran = run(asyncprof(folder).arg("record").args(args));
    assert_eq!(ran.stdout, "");
    assert_eq!(ran.stderr.lines().count(), 1, "{}", ran.stderr);
    assert_eq!(ran.said().len(), 1, "{}", ran.stderr);
    assert!(
        !folder.path().join("asyncprof.data").exists(),
        "{args:?}: nothing ran, nothing is written"
    );
    ran
}

#[test]
fn a_command_that_is_not_there() {
    let folder = Folder::new();
    for (command, why) in [
        ("./app", "./app: no such file; check the path"),
        (
            "no-such-command",
            "no-such-command: command not found; give its path",
        ),
        ("", ": command not found"),
    ] {
        let ran = not_started(&["--", command], &folder);
        assert_eq!(ran.code, 127, "{command}");
        assert!(ran.said()[0].starts_with(why), "{}", ran.stderr);
    }
}

#[test]
fn a_command_that_cannot_be_executed() {
    let folder = Folder::new();
    fs::write(folder.path().join("plain"), "text").unwrap();
    executable(&folder, "binary", b"\x01\x02\0\x03");
    executable(
        &folder,
        "foreign",
        b"\x7fELF\x02\x01\x01\0\0\0\0\0\0\0\0\0\x02\0\xb7\0",
    );
    executable(&folder, "lost", b"#!/no/such/interpreter\n");
    fs::create_dir(folder.path().join("folder")).unwrap();
    for (command, why) in [
        ("./plain", "it has no execute permission; try: chmod +x ./plain"),
        ("./binary", "it is no program for this machine and no script"),
        ("./foreign", "it is no program for this machine"),
        ("./lost", "the interpreter or loader that it names does not exist"),
        ("./folder", "it is a folder; name a program in it"),
        ("/", "it is a folder"),
        ("./plain/app", "Not a directory"),
    ] {
        let ran = not_started(&["--", command], &folder);
        assert_eq!(ran.code, 126, "{command}: {}", ran.stderr);
        assert!(
            ran.said()[0].starts_with(&format!("{command}: cannot be executed: ")),
            "{}",
            ran.stderr
        );
        assert!(ran.said()[0].contains(why), "{}", ran.stderr);
    }
    // As in a shell: what is found in PATH and cannot be executed is not "not found".
    let path = run(asyncprof(&folder)
        .args(["record", "--", "plain"])
        .env("PATH", folder.path()));
    assert_eq!(path.code, 126, "{}", path.stderr);
}
