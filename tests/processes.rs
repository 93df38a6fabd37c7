//! Programs that start programs: each with tokio is a process of its own in the profile, the others run past it.

use crate::support::fixtures::fixture;
use crate::support::recording::{Folder, asyncprof};
use crate::support::run::{record, record_command, recorded_programs, report, run, text, waits_in};

#[test]
fn programs_side_by_side() {
    let app = fixture("waits", "release", "exits");
    let folder = Folder::new();
    let script = format!("{0} code & {0} code; wait", text(&app));
    let ran = record(&folder, &["--", "sh", "-c", &script]);
    assert_eq!(
        (ran.code, ran.stdout.as_str()),
        (0, "code after 30 naps\ncode after 30 naps\n")
    );
    assert!(
        ran.stderr.contains("2 processes"),
        "the shell does not count: {}",
        ran.stderr
    );
    let report = report(&folder);
    assert_eq!(recorded_programs(&report), ["exits", "exits"]);
    let pid = |at: usize| report["processes"][at]["pid"].as_u64().unwrap();
    assert_ne!(pid(0), pid(1));
    assert_eq!(waits_in(&report, "exits::nap").0, 60);
    // Each process has tasks of its own.
    let groups = report["groups"].as_array().unwrap();
    for pid in [pid(0), pid(1)] {
        let naps = groups
            .iter()
            .filter(|group| group["pid"] == pid && group["name"] == "exits::nap_in_task");
        assert_eq!(naps.count(), 1, "{groups:#?}");
    }
}

#[test]
fn programs_one_after_the_other() {
    let app = fixture("waits", "release", "exits");
    for program in ["sleep", "tcp"] {
        fixture("waits", "release", program);
    }
    let folder = Folder::new();
    let ran = record(&folder, &["-q", "--", text(&app), "spawn", "sleep", "tcp"]);
    assert_eq!((ran.code, ran.stderr.as_str()), (0, ""));
    let report = report(&folder);
    assert_eq!(recorded_programs(&report), ["exits", "sleep", "tcp"]);
    assert_eq!(waits_in(&report, "exits::nap").0, 30);
    assert_eq!(waits_in(&report, "sleep::inner").0, 200);
    assert_eq!(waits_in(&report, "tcp::think").0, 100);
}

#[test]
fn short_processes_by_the_hundred_leave_room_for_the_last() {
    let app = fixture("waits", "release", "exits");
    let folder = Folder::new();
    // More than there are places for processes, and some of them with tokio.
    let script = format!(
        "i=0; while [ $i -lt 26 ]; do {0} at-once; for j in 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20; do \
         /bin/true; done; i=$((i+1)); done; {0} code",
        text(&app)
    );
    let ran = record(&folder, &["-q", "--", "sh", "-c", &script]);
    assert_eq!(
        (ran.code, ran.stdout.as_str(), ran.stderr.as_str()),
        (7, "code after 30 naps\n", "")
    );
    let report = report(&folder);
    assert_eq!(
        recorded_programs(&report),
        vec!["exits"; 27],
        "{:#}",
        report["quality"]
    );
    assert_eq!(waits_in(&report, "exits::nap").0, 30);
}

#[test]
fn many_programs_without_tokio_make_one_sentence() {
    let folder = Folder::new();
    let ran = record(
        &folder,
        &[
            "--",
            "sh",
            "-c",
            "for i in $(seq 300); do /bin/true; done; /bin/ls > /dev/null",
        ],
    );
    assert_eq!((ran.code, ran.stdout.as_str()), (0, ""));
    assert_eq!(ran.stderr.lines().count(), 3, "{}", ran.stderr);
    assert!(
        ran.said()[0].contains("neither tokio nor asyncio was found in "),
        "{}",
        ran.stderr
    );
    assert!(ran.said()[0].contains("/true"), "{}", ran.stderr);
    assert!(recorded_programs(&report(&folder)).is_empty());
}

#[test]
fn a_program_that_cannot_be_tapped_beside_one_that_can() {
    let (known, unknown) = (
        fixture("waits", "release", "exits"),
        fixture("tokio-1.20", "release", "sleep"),
    );
    let folder = Folder::new();
    let script = format!("{1}; {1}; {0} code", text(&known), text(&unknown));
    let ran = record(&folder, &["--", "sh", "-c", &script]);
    assert_eq!(ran.code, 7, "{}", ran.stderr);
    let told: Vec<&str> = ran
        .stderr
        .lines()
        .filter(|line| line.contains("ran unobserved"))
        .collect();
    assert_eq!(told.len(), 1, "{}", ran.stderr);
    assert!(
        told[0].contains("sleep (2 processes) ran unobserved: it holds tokio 1.20.6"),
        "{}",
        told[0]
    );
    assert_eq!(recorded_programs(&report(&folder)), ["exits"]);
}

#[test]
fn full_buffers_are_counted_and_the_program_runs_on() {
    let app = fixture("waits", "release", "pingpong");
    let alone = run(std::process::Command::new(&app).arg("100"));
    let folder = Folder::new();
    let mut command = record_command(&folder, &["--", text(&app), "100"]);
    let ran = run(command.env("ASYNCPROF_TEST_RING_WORDS", "64"));
    assert_eq!((ran.code, &ran.stdout), (alone.code, &alone.stdout));
    let quality = ran
        .stderr
        .lines()
        .find(|line| line.starts_with("Quality: "))
        .expect(&ran.stderr);
    assert!(quality.contains(" events lost (buffer full)"), "{quality}");
    let report = report(&folder);
    assert!(report["quality"]["events_lost"].as_u64().unwrap() > 0);
    let picture = run(asyncprof(&folder).args(["flamegraph", "-o", "-"]));
    assert_eq!(picture.code, 0, "{}", picture.stderr);
}
