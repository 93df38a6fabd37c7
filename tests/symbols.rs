//! Stripped programs whose debug files lie elsewhere.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;

use crate::support::fixtures::{fixture, strip_all, strip_debug};
use crate::support::recording::{Folder, asyncprof};
use crate::support::run::{record, report, run, text};

fn program() -> PathBuf {
    fixture("waits", "release", "sleep")
}

/// What `objcopy` makes of the program for its debug file.
fn debug_file(program: &Path, to: &Path) {
    fs::create_dir_all(to.parent().unwrap()).unwrap();
    let mut objcopy = Command::new("objcopy");
    let ran = run(objcopy.arg("--only-keep-debug").arg(program).arg(to));
    assert_eq!(ran.code, 0, "{}", ran.stderr);
}

/// File and line of the awaits of this function.
fn places(report: &Value, function: &str) -> Vec<String> {
    let waits = report["waits"].as_array().unwrap();
    let of_function = waits.iter().filter(|wait| wait["function"] == function);
    of_function
        .map(|wait| format!("{}:{}", wait["file"].as_str().unwrap(), wait["line"]))
        .collect()
}

fn report_with(folder: &Folder, symbols: &Path) -> Value {
    let ran = run(asyncprof(folder).args(["report", "--json", "--symbols", text(symbols)]));
    assert_eq!(ran.code, 0, "{}", ran.stderr);
    serde_json::from_str(&ran.stdout).unwrap()
}

/// The awaits as they are shown of the program itself.
fn expected() -> Vec<String> {
    let folder = Folder::new();
    assert_eq!(record(&folder, &["-q", "--", text(&program())]).code, 0);
    let places = places(&report(&folder), "sleep::inner");
    assert!(
        places.iter().all(|place| place.contains("sleep.rs:")) && !places.is_empty(),
        "{places:?}"
    );
    places
}

#[test]
fn a_stripped_program_is_recorded_with_its_debug_file() {
    let stripped = strip_all(&program());
    let folder = Folder::new();
    let symbols = folder.path().join("symbols");
    debug_file(&program(), &symbols.join("of-sleep"));
    // The stripped one has the same build id, and no names.
    fs::copy(&stripped, symbols.join("a-stripped-one")).unwrap();
    let ran = record(&folder, &["-q", "--symbols", "symbols", "--", text(&stripped)]);
    assert_eq!((ran.code, ran.stderr.as_str()), (0, ""));
    assert_eq!(places(&report(&folder), "sleep::inner"), expected());
}

#[test]
fn names_and_lines_may_come_later() {
    let folder = Folder::new();
    let stripped = strip_debug(&program());
    assert_eq!(record(&folder, &["-q", "--", text(&stripped)]).code, 0);
    let without = report(&folder);
    assert!(
        places(&without, "sleep::inner")
            .iter()
            .all(|place| !place.contains("sleep.rs"))
    );

    let symbols = folder.path().join("symbols");
    let modules = run(Command::new("readelf").arg("-n").arg(&stripped)).stdout;
    let build_id = modules
        .lines()
        .find_map(|line| line.trim().strip_prefix("Build ID: "));
    let (first, rest) = build_id.expect("linkers give one").split_at(2);
    debug_file(
        &program(),
        &symbols.join(format!(".build-id/{first}/{rest}.debug")),
    );
    let with = report_with(&folder, &symbols);
    assert_eq!(places(&with, "sleep::inner"), expected());
    let notes = with["quality"]["notes"].to_string();
    assert!(!notes.contains("no line tables"), "{notes}");
}

#[test]
fn another_programs_debug_file_is_not_used() {
    let folder = Folder::new();
    let symbols = folder.path().join("symbols");
    debug_file(
        &fixture("waits", "release", "exits"),
        &symbols.join("sleep.debug"),
    );
    let stripped = strip_all(&program());
    let ran = record(
        &folder,
        &["-q", "--symbols", text(&symbols), "--", text(&stripped)],
    );
    assert!(ran.said()[0].contains("but no symbols"), "{}", ran.stderr);
    let missing = record(&folder, &["--symbols", "nowhere", "--", "true"]);
    assert_eq!(missing.code, 125);
    assert!(
        missing.said()[0].starts_with("cannot read the folder nowhere: No such file"),
        "{}",
        missing.stderr
    );
}
