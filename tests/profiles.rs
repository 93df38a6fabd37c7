//! `flamegraph` and `report` on good profiles and on files that are none.

use std::fs;
use std::path::PathBuf;
use std::sync::OnceLock;

use serde_json::Value;

use crate::support::fixtures::fixture;
use crate::support::recording::{Folder, asyncprof};
use crate::support::run::{Ran, record, run, text};

/// A profile with waits of several kinds.
fn profile() -> &'static [u8] {
    static PROFILE: OnceLock<Vec<u8>> = OnceLock::new();
    PROFILE.get_or_init(|| {
        let folder = Folder::new();
        let ran = record(&folder, &["-q", "--", text(&fixture("waits", "release", "tcp"))]);
        assert_eq!(ran.code, 0, "{}", ran.stderr);
        fs::read(folder.path().join("asyncprof.data")).unwrap()
    })
}

fn folder_with(name: &str, content: &[u8]) -> Folder {
    let folder = Folder::new();
    fs::write(folder.path().join(name), content).unwrap();
    folder
}

fn asyncprof_in(folder: &Folder, args: &[&str]) -> Ran {
    run(asyncprof(folder).args(args))
}

#[test]
fn a_picture_of_each_kind_of_time() {
    let folder = folder_with("asyncprof.data", profile());
    for by in ["wall", "wait", "io", "sched", "running"] {
        let file = format!("{by}.svg");
        let ran = asyncprof_in(&folder, &["flamegraph", "--by", by, "-o", &file]);
        assert_eq!((ran.code, ran.stdout.as_str()), (0, ""), "{by}: {}", ran.stderr);
        assert_eq!(ran.stderr, format!("flame graph: {file}\n"));
        let written = fs::read_to_string(folder.path().join(&file)).unwrap();
        let shown = asyncprof_in(&folder, &["flamegraph", "--by", by, "-o", "-"]);
        assert_eq!((shown.code, shown.stderr.as_str()), (0, ""), "{by}");
        assert_eq!(shown.stdout, written, "{by}");
        assert!(written.contains("tcp::"), "{by}");
        if by == "wait" || by == "io" {
            assert_eq!(written.contains("tcp::think"), by == "wait", "a timer is no I/O");
        }
    }
    for options in [
        &["--inverted"][..],
        &["--show-runtime"],
        &["--min-width", "5"],
        &["--title", "Day & night"],
    ] {
        let ran = asyncprof_in(&folder, &[&["flamegraph", "-o", "-"], options].concat());
        assert_eq!(ran.code, 0, "{options:?}: {}", ran.stderr);
        assert!(ran.stdout.trim_end().ends_with("</svg>"));
        assert_eq!(ran.stdout.contains("Day &amp; night"), options[0] == "--title");
    }
}

#[test]
fn a_picture_with_each_way_of_grouping() {
    let folder = Folder::new();
    let ran = record(
        &folder,
        &["-q", "--", text(&fixture("waits", "release", "blocking"))],
    );
    assert_eq!(ran.code, 0, "{}", ran.stderr);
    for (by, is_grouped, is_under_main) in [
        ("task", true, false),
        ("spawn", true, false),
        ("tree", true, true),
        ("process", true, false),
        ("none", false, false),
    ] {
        let ran = asyncprof_in(&folder, &["flamegraph", "--group-by", by, "-o", "-"]);
        assert_eq!((ran.code, ran.stderr.as_str()), (0, ""), "{by}");
        // Only where tasks are told apart is said how many there are of each.
        assert_eq!(ran.stdout.contains("ms each ("), is_grouped, "{by}");
        // All tasks descend from the root task, and its frame is as wide as all.
        let title = ran
            .stdout
            .split("<title>")
            .find(|title| title.starts_with("[root task]"));
        assert_eq!(
            title.is_some_and(|title| title.contains(", 100.0 %")),
            is_under_main,
            "{by}: {title:?}"
        );
        assert_eq!(ran.stdout.contains("[process "), by == "process", "{by}");
    }
}

#[test]
fn a_report_as_text_and_as_data() {
    let folder = folder_with("other.data", profile());
    let text = asyncprof_in(&folder, &["report", "other.data"]);
    assert_eq!((text.code, text.stderr.as_str()), (0, ""));
    assert!(text.stdout.contains("tcp::ask"), "{}", text.stdout);
    assert!(text.stdout.contains("\nQuality: "), "{}", text.stdout);
    let data = asyncprof_in(&folder, &["report", "--json", "--limit", "1", "other.data"]);
    let data: Value = serde_json::from_str(&data.stdout).unwrap();
    assert_eq!(data["waits"].as_array().unwrap().len(), 1);
    let states = data["states"].as_array().unwrap();
    let sum: u64 = states
        .iter()
        .map(|state| state["total_ns"].as_u64().unwrap())
        .sum();
    assert_eq!(data["task_time_ns"], sum);
}

/// Both readers say the same one sentence and fail.
fn assert_refused(folder: &Folder, file: &str, why: &str) {
    let sentence = format!("cannot read {file}: ");
    for command in ["report", "flamegraph"] {
        let ran = asyncprof_in(folder, &[command, file]);
        assert_eq!((ran.code, ran.stdout.as_str()), (125, ""), "{command} {file}");
        assert_eq!(ran.stderr.lines().count(), 1, "{}", ran.stderr);
        let said = ran.said()[0];
        assert!(
            said.starts_with(&sentence) && said.contains(why),
            "{command} {file}: {said}"
        );
        assert!(
            said.contains("; ") || said.contains("record one with"),
            "no advice: {said}"
        );
        assert!(!folder.path().join("flamegraph.svg").exists());
    }
}

#[test]
fn files_that_are_no_profile_are_refused() {
    let folder = Folder::new();
    assert_refused(&folder, "asyncprof.data", "No such file or directory");
    assert_refused(&folder, ".", "name the profile in that folder");
    let whole = profile();
    let changed = |at: usize, byte: u8| {
        let mut bytes = whole.to_vec();
        bytes[at] = byte;
        bytes
    };
    let middle = whole.len() / 2;
    let cases: [(Vec<u8>, &str); 9] = [
        (Vec::new(), "truncated (0 of"),
        (b"asyn".to_vec(), "truncated"),
        (
            b"perf script of another tool".to_vec(),
            "not an asyncprof profile",
        ),
        (
            fs::read(PathBuf::from(env!("CARGO_BIN_EXE_asyncprof"))).unwrap(),
            "not an asyncprof profile",
        ),
        (whole[..middle].to_vec(), "truncated"),
        (whole[..whole.len() - 1].to_vec(), "truncated"),
        (
            changed(middle, !whole[middle]),
            "damaged (its checksum does not match)",
        ),
        (changed(8, 200), "format version 200"),
        ([whole, b"more"].concat(), "bytes after its end"),
    ];
    for (bytes, why) in cases {
        assert_refused(&folder_with("x.data", &bytes), "x.data", why);
    }
}

#[test]
fn a_damaged_file_never_makes_a_panic() {
    let whole = profile();
    let folder = Folder::new();
    for at in (0..whole.len()).step_by(whole.len() / 25) {
        let mut bytes = whole.to_vec();
        bytes[at] ^= 0x55;
        fs::write(folder.path().join("x.data"), &bytes).unwrap();
        let ran = asyncprof_in(&folder, &["report", "x.data"]);
        assert_eq!(
            (ran.code, ran.stderr.lines().count()),
            (125, 1),
            "byte {at}: {}",
            ran.stderr
        );
    }
}
