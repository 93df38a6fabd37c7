//! Programs that link the library: they record themselves, alone and under the command.

use std::fs;
use std::path::PathBuf;

use asyncprof_core::profile::{Profile, Row, StackId, State};

use crate::support::alone::{Alone, load};
use crate::support::fixtures::{fixture, static_fixture, strip_all};
use crate::support::invariants::{self, Quality};
use crate::support::recording::Folder;
use crate::support::run::{record, text};
use crate::support::truth;

pub fn program() -> PathBuf {
    fixture("linked", "release", "linked")
}

const WRITTEN: &str = "obstacle: None\nwritten: true\n";

/// Time and episodes of these rows of the tasks of that name.
fn rows(profile: &Profile, name: &str, wanted: impl Fn(&Row) -> bool) -> (u64, u64) {
    let named = |row: &&Row| profile.string(profile.group(row.group).name) == name;
    let rows = profile.rows.iter().filter(named).filter(|row| wanted(row));
    rows.fold((0, 0), |sum, row| {
        (sum.0 + row.stats.total_ns, sum.1 + row.stats.episodes)
    })
}

fn waits(profile: &Profile, name: &str) -> (u64, u64) {
    rows(profile, name, |row| row.state == State::Waiting)
}

/// What the program's own clock has measured around its awaits, which includes the delay after each: within 2 % and
/// half a millisecond a time.
fn assert_true(profile: &Profile, folder: &Folder) {
    for truth in truth::read(&folder.path().join("truth")) {
        let suspended = rows(profile, &truth.site, |row| match row.state {
            State::Waiting => true,
            State::Scheduled => row.stack != StackId::default(),
            _ => false,
        });
        let slack = truth.total_ns / 50 + truth.episodes * 500_000;
        assert!(
            suspended.0.abs_diff(truth.total_ns) <= slack,
            "{suspended:?} of {truth:?}"
        );
        // The last `recv` may find the channel closed at once.
        let is_told = truth.episodes.saturating_sub(1)..=truth.episodes;
        assert!(is_told.contains(&waits(profile, &truth.site).1), "{truth:?}");
    }
}

#[test]
fn alone_it_writes_a_profile_with_true_waits() {
    let alone = Alone::new(&program(), "waits");
    let profile = alone.good(WRITTEN);
    invariants::check(&profile, Quality::complete(true));
    assert_true(&profile, &alone.folder);
    assert_eq!(profile.processes.len(), 1);
    assert_eq!(profile.processes[0].runtime, "tokio 1.54.1");
    let nap = profile
        .groups
        .iter()
        .find(|group| profile.string(group.name) == "linked::nap");
    let nap = nap.expect("its tasks have their name");
    assert_eq!((nap.tasks, nap.completed), (10, 10));
    // Spawned in a task, which is known, as the spawn was seen; and nothing of ours is in any stack.
    assert!(nap.spawn_stack != StackId::default());
    assert!(
        profile
            .frames
            .iter()
            .flat_map(|frame| &frame.functions)
            .all(|function| { !profile.string(function.name).contains("asyncprof_agent") })
    );
}

#[test]
fn under_the_command_it_joins_its_recording() {
    let folder = Folder::new();
    let own = folder.path().join("a.data");
    let program = program();
    let ran = record(&folder, &["-q", "--", text(&program), "waits", text(&own)]);
    assert_eq!((ran.code, ran.stderr.as_str()), (0, ""));
    assert_eq!(ran.stdout, "obstacle: None\nwritten: false\n");
    assert!(!own.exists(), "the recording is the command's");
    let profile = load(&folder.path().join("asyncprof.data"), &ran);
    assert_eq!(waits(&profile, "linked::nap").1, 200);
}

#[test]
fn started_late_it_sees_what_comes() {
    let alone = Alone::new(&program(), "late");
    let profile = alone.good(WRITTEN);
    assert_true(&profile, &alone.folder);
    assert!(
        (1..=4).contains(&profile.quality.tasks_seen_late),
        "{:?}",
        profile.quality
    );
}

#[test]
fn turned_off_it_does_nothing() {
    let alone = Alone::with(&program(), "waits", &[("ASYNCPROF", "off")]);
    assert_eq!(alone.ran.stdout, "obstacle: None\nwritten: false\n");
    assert!(!alone.folder.path().join("a.data").exists());
}

#[test]
fn bad_input_is_an_error_and_changes_nothing() {
    let alone = Alone::new(&program(), "errors");
    assert_eq!((alone.ran.code, alone.ran.stderr.as_str()), (0, ""));
    let said: Vec<(&str, &str)> = alone
        .ran
        .stdout
        .lines()
        .filter_map(|line| line.split_once(": "))
        .collect();
    let expected = [
        ("rate", "1000000 looks a second are too many"),
        ("overhead", "recording cannot cost 1.5 of the CPU time"),
        ("window", "a part of 0ns in 8 files cannot be"),
        ("files", "a part of 1s in 0 files cannot be"),
        ("folder", "it is a folder"),
        ("missing", "No such file or directory"),
        ("signal", "signal 9 cannot be handled"),
        ("snapshot", "this process is not being recorded"),
        ("twice", "asyncprof::start works once in a process"),
        ("obstacle", "None"),
        ("written", "true"),
        ("again", "asyncprof::start works once in a process"),
    ];
    assert_eq!(said.len(), expected.len(), "{said:?}");
    for ((what, found), (wanted, part)) in said.iter().zip(expected) {
        assert!(
            *what == wanted && found.contains(part),
            "{what}: {found}, not {part}"
        );
    }
    assert_eq!(waits(&alone.profile(), "linked::nap").1, 30);
}

#[test]
fn a_forked_child_is_not_recorded_and_disturbs_nothing() {
    let alone = Alone::new(&program(), "fork");
    let stdout = &alone.ran.stdout;
    for line in [
        "child: this process was forked from a recorded one",
        "child: this process is not being recorded",
        "child: None",
        "child ended: 0",
    ] {
        assert!(stdout.contains(line), "{stdout}");
    }
    assert_eq!(waits(&alone.profile(), "linked::nap").1, 200);
}

#[test]
fn the_guard_may_go_inside_a_task_or_a_panic() {
    let alone = Alone::new(&program(), "in-task");
    assert_eq!(waits(&alone.good("written: true\n"), "linked::nap").1, 200);
    let alone = Alone::new(&program(), "panic");
    assert_eq!(alone.ran.stdout, "panicked: true, written: true\n");
    assert_eq!(alone.ran.code, 0);
    assert_eq!(waits(&alone.profile(), "linked::nap").1, 200);
}

#[test]
fn on_a_signal_it_writes_the_profile_so_far() {
    let alone = Alone::new(&program(), "signal");
    let stdout = format!("own handler\nwritten on the signal\n{WRITTEN}");
    let whole = alone.good(&stdout);
    let first = load(&alone.folder.path().join("a.first"), &alone.ran);
    assert_eq!(waits(&first, "linked::nap").1, 200);
    assert_eq!(waits(&whole, "linked::nap").1, 400);
}

#[test]
fn parts_of_a_recording_add_up_and_are_bounded_in_number() {
    let alone = Alone::new(&program(), "windows");
    assert_eq!((alone.ran.code, alone.ran.stdout.as_str()), (0, WRITTEN));
    let entries = fs::read_dir(alone.folder.path()).unwrap().flatten();
    let mut files: Vec<PathBuf> = entries
        .map(|entry| entry.path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "data"))
        .collect();
    files.sort();
    assert_eq!(files.len(), 2, "{files:?}");
    let [whole, rest] = [0, 1].map(|at| load(&files[at], &alone.ran));
    invariants::check(&whole, Quality::complete(true));
    invariants::check(&rest, Quality::complete(true));
    assert_eq!(whole.meta.duration_ns, 1_000_000_000);
    assert!(rest.meta.duration_ns < 1_500_000_000, "{}", rest.meta.duration_ns);
    assert!(whole.meta.started_unix_ns + 1_000_000_000 <= rest.meta.started_unix_ns + 1_000);
    // Ten tasks do nothing but nap, all along: a second of each, in all states together.
    let nap = rows(&whole, "linked::nap", |_| true);
    assert!(nap.0.abs_diff(10_000_000_000) < 1_000_000, "{nap:?}");
    let first_window: u64 = whole
        .rows
        .iter()
        .flat_map(|row| &row.windows)
        .map(|&(window, _)| u64::from(window))
        .max()
        .unwrap();
    assert_eq!(first_window, 0);
}

/// 200,000 tasks, the first of which are recorded one by one.
#[test]
fn what_may_cost_nothing_is_left_out() {
    let profile = Alone::new(&program(), "held").good(WRITTEN);
    invariants::check(&profile, Quality::lossy());
    let quality = &profile.quality;
    assert!(quality.overhead_ns > 0, "{quality:?}");
    assert!(quality.overhead_ns < quality.program_cpu_ns, "{quality:?}");
    assert!(quality.heaviest_task >= 4, "{quality:?}");
    assert!(quality.tasks_left_out > quality.tasks_recorded, "{quality:?}");
}

#[test]
fn a_snapshot_shows_the_tree_of_live_tasks() {
    let alone = Alone::new(&program(), "snapshot");
    assert_eq!((alone.ran.code, alone.ran.stderr.as_str()), (0, ""));
    let lines: Vec<&str> = alone.ran.stdout.lines().collect();
    assert!(lines[0].starts_with("2 tasks alive, 2 listed"), "{lines:?}");
    let after = |start: &str, wanted: &str| {
        let mut rest = lines.iter().skip_while(|line| !line.starts_with(start));
        assert!(rest.any(|line| line.contains(wanted)), "{wanted} in {lines:#?}");
    };
    after("1 × linked::holds", "waiting [channel] for ");
    after("1 × linked::holds", "linked::holds at src/main.rs:");
    after("  1 × linked::child", "waiting [timer] for ");
    after("  1 × linked::child", "linked::child at src/main.rs:");
    assert!(
        alone
            .ran
            .stdout
            .ends_with("after: this process is not being recorded\n")
    );
}

#[test]
fn a_stripped_program_records_what_it_can() {
    let alone = Alone::new(&strip_all(&program()), "waits");
    assert_eq!((alone.ran.code, alone.ran.stderr.as_str()), (0, ""));
    assert!(
        alone.ran.stdout.contains("it holds tokio 1.54.1 but no symbols"),
        "{}",
        alone.ran.stdout
    );
    let notes = alone.profile().quality.notes;
    assert!(
        notes
            .iter()
            .any(|note| note.contains("tokio's tasks are not seen: it holds tokio")),
        "{notes:?}"
    );
}

#[test]
fn a_static_program() {
    let program = match static_fixture("linked", "linked-static") {
        Ok(program) => program,
        Err(why) => return println!("skipped: no static program can be built here: {why}"),
    };
    let alone = Alone::new(&program, "waits");
    let profile = alone.good(WRITTEN);
    assert_true(&profile, &alone.folder);
    assert!(
        profile
            .quality
            .notes
            .iter()
            .any(|note| note.contains("statically linked"))
    );

    let folder = Folder::new();
    let own = folder.path().join("a.data");
    let ran = record(&folder, &["-q", "--", text(&program), "waits", text(&own)]);
    assert_eq!((ran.code, ran.stderr.as_str()), (0, ""));
    assert_eq!(ran.stdout, "obstacle: None\nwritten: false\n");
    let profile = load(&folder.path().join("asyncprof.data"), &ran);
    assert_eq!(waits(&profile, "linked_static::nap").1, 200);
}
