//! Which files a recording writes, and what becomes of them where they cannot be written.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use asyncprof_core::profile::Profile;

use crate::support::fixtures::fixture;
use crate::support::recording::{Folder, asyncprof};
use crate::support::run::{Ran, record, record_command, run, text};

fn app() -> PathBuf {
    fixture("waits", "release", "exits")
}

fn names(folder: &Path) -> Vec<String> {
    let entries = fs::read_dir(folder).unwrap();
    let mut names: Vec<String> = entries
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    names
}

fn is_picture(path: &Path) -> bool {
    let svg = fs::read_to_string(path).unwrap();
    svg.starts_with("<?xml") && svg.trim_end().ends_with("</svg>")
}

/// The path that a sentence ends with or names before ` instead`.
fn rescued(ran: &Ran) -> PathBuf {
    let sentence = ran
        .said()
        .into_iter()
        .find(|said| said.contains(" is saved to "))
        .expect(&ran.stderr);
    let (_, path) = sentence.rsplit_once(" is saved to ").unwrap();
    path.strip_suffix(" instead").unwrap().into()
}

#[test]
fn both_files_by_default_and_the_former_profile_is_kept() {
    let folder = Folder::new();
    let app = app();
    assert_eq!(record(&folder, &["--", text(&app), "code"]).code, 7);
    assert_eq!(names(folder.path()), ["asyncprof.data", "flamegraph.svg"]);
    assert!(is_picture(&folder.path().join("flamegraph.svg")));
    let first = fs::read(folder.path().join("asyncprof.data")).unwrap();

    let again = record(&folder, &["--", text(&app), "code"]);
    assert_eq!(
        again.said(),
        ["profile: asyncprof.data", "flame graph: flamegraph.svg"]
    );
    assert_eq!(
        names(folder.path()),
        ["asyncprof.data", "asyncprof.data.old", "flamegraph.svg"]
    );
    assert_eq!(fs::read(folder.path().join("asyncprof.data.old")).unwrap(), first);
}

#[test]
fn a_picture_only_or_a_profile_only() {
    let app = app();
    let folder = Folder::new();
    assert_eq!(
        record(&folder, &["-o", "x.svg", "--", text(&app), "code"]).code,
        7
    );
    assert_eq!(names(folder.path()), ["x.svg"]);
    assert!(is_picture(&folder.path().join("x.svg")));

    let folder = Folder::new();
    assert_eq!(
        record(&folder, &["-o", "x.data", "--", text(&app), "code"]).code,
        7
    );
    assert_eq!(names(folder.path()), ["x.data"]);
    Profile::load(folder.path().join("x.data")).unwrap();
}

#[test]
fn quiet_is_silent_and_the_programs_output_is_its_own() {
    let folder = Folder::new();
    let app = app();
    let alone = run(Command::new(&app).arg("panic"));
    let recorded = record(&folder, &["-q", "--", text(&app), "panic"]);
    assert_eq!(recorded.stdout, alone.stdout);
    assert_eq!(recorded.stderr, alone.stderr);
    assert_eq!(recorded.code, alone.code);

    let loud = record(&folder, &["--", text(&app), "code"]);
    assert_eq!(
        loud.stdout, "code after 30 naps\n",
        "the report goes to standard error"
    );
    assert!(
        loud.stderr.contains("Where the task time went"),
        "{}",
        loud.stderr
    );
}

#[test]
fn a_picture_of_an_earlier_recording_is_not_taken_for_this_ones() {
    let folder = Folder::new();
    fs::write(folder.path().join("flamegraph.svg"), "earlier").unwrap();
    let ran = record(&folder, &["--", "true"]);
    assert_eq!(ran.code, 0);
    assert_eq!(names(folder.path()), ["asyncprof.data", "flamegraph.svg.old"]);
    let aside =
        "no flame graph, as there is nothing to draw; the earlier flamegraph.svg is now flamegraph.svg.old";
    assert_eq!(ran.said()[1..], ["profile: asyncprof.data", aside]);
}

#[test]
fn what_cannot_be_written_where_it_should_is_saved_elsewhere() {
    let app = app();
    for (output, why) in [
        (".", "it is a folder"),
        ("no/such/x.data", "No such file or directory"),
        ("no/such/x.svg", "No such file or directory"),
        ("/proc/x.data", "No such file or directory"),
        ("/dev/full", ""),
    ] {
        let (folder, temporary) = (Folder::new(), Folder::new());
        let ran = run(
            record_command(&folder, &["-q", "-o", output, "--", text(&app), "code"])
                .env("TMPDIR", temporary.path()),
        );
        assert_eq!(
            (ran.code, ran.stdout.as_str()),
            (7, "code after 30 naps\n"),
            "{output}"
        );
        // Said at once, where it can be known, and at the end.
        let expected = if why.is_empty() { 1 } else { 2 };
        assert_eq!(ran.said().len(), expected, "{output}: {}", ran.stderr);
        assert!(
            ran.said()[0].contains(output) && ran.said()[0].contains(why),
            "{output}: {}",
            ran.stderr
        );
        let saved = rescued(&ran);
        assert!(saved.starts_with(temporary.path()), "{output}: {}", ran.stderr);
        if output.ends_with("svg") {
            assert!(is_picture(&saved));
        } else {
            Profile::load(&saved).unwrap();
        }
        assert!(
            names(folder.path()).is_empty(),
            "{output}: {:?}",
            names(folder.path())
        );
    }
}

#[test]
fn what_can_be_saved_nowhere_is_a_failure_of_ours() {
    let folder = Folder::new();
    let ran = run(
        record_command(&folder, &["-q", "-o", "/dev/full", "--", text(&app()), "code"])
            .env("TMPDIR", "/proc"),
    );
    assert_eq!(ran.stdout, "code after 30 naps\n");
    assert_eq!(ran.code, 125);
    assert_eq!(ran.said().len(), 1, "{}", ran.stderr);
    assert!(
        ran.said()[0].starts_with("the profile is lost: cannot save the profile to /dev/full: "),
        "{}",
        ran.stderr
    );
    assert_eq!(ran.stderr.matches("No space left").count(), 1, "{}", ran.stderr);
}

#[test]
fn a_full_disk_keeps_nothing_half_written() {
    let (folder, temporary) = (Folder::new(), Folder::new());
    let disk = folder.path().join("disk");
    fs::create_dir(&disk).unwrap();
    let mounted = Command::new("mount")
        .args(["-t", "tmpfs", "-o", "size=4k", "none"])
        .arg(&disk)
        .output();
    if !mounted.is_ok_and(|output| output.status.success()) {
        println!("skipped: a small file system cannot be mounted here (it takes root)");
        return;
    }
    let app = app();
    let recorded = ["disk/x.data", "disk/x.svg"].map(|output| {
        let mut command = record_command(&folder, &["-q", "-o", output, "--", text(&app), "code"]);
        run(command.env("TMPDIR", temporary.path()))
    });
    let left = names(&disk);
    assert!(Command::new("umount").arg(&disk).status().unwrap().success());
    assert!(left.is_empty(), "{left:?}");
    for ran in recorded {
        assert_eq!(ran.code, 7);
        assert_eq!(ran.said().len(), 1, "{}", ran.stderr);
        assert!(
            ran.said()[0].contains("No space left on device"),
            "{}",
            ran.stderr
        );
        assert!(rescued(&ran).starts_with(temporary.path()));
    }
}

#[test]
fn standard_output_is_the_programs() {
    let folder = Folder::new();
    let ran = record(&folder, &["-o", "-", "--", "echo", "hello"]);
    assert_eq!((ran.code, ran.stdout.as_str()), (125, ""));
    assert_eq!(ran.said().len(), 1);
    assert!(names(folder.path()).is_empty());
}

#[test]
fn the_agent_goes_where_it_can_be_written() {
    let (folder, temporary) = (Folder::new(), Folder::new());
    let ran = run(record_command(&folder, &["-q", "--", text(&app()), "code"])
        .env("XDG_CACHE_HOME", "/proc/none")
        .env("TMPDIR", temporary.path()));
    assert_eq!((ran.code, ran.stderr.as_str()), (7, ""));
    assert_eq!(names(temporary.path()).len(), 1);

    let nowhere = run(asyncprof(&folder)
        .args(["record", "--", "echo", "hello"])
        .env("XDG_CACHE_HOME", "/proc/none")
        .env("TMPDIR", "/proc/none"));
    assert_eq!((nowhere.code, nowhere.stdout.as_str()), (125, ""));
    assert_eq!(nowhere.said().len(), 1, "{}", nowhere.stderr);
}
