//! What machines and users do to a recording: nothing in it may become absurd, and it stays small.

use std::fs;
use std::thread;
use std::time::Duration;

use asyncprof_core::profile::{Profile, TaskKind};
use libc::{SIGCONT, SIGINT, SIGSTOP};

use crate::support::fixtures::fixture;
use crate::support::invariants::{self, Quality};
use crate::support::observed::{chance, storm, tasks_named};
use crate::support::recording::Folder;
use crate::support::run::{Running, record_command, signal, text, wait_until};

const PAUSE: Duration = Duration::from_millis(300);

fn load(folder: &Folder) -> Profile {
    Profile::load(folder.path().join("asyncprof.data")).expect("it was saved")
}

fn children_of(pid: u32) -> Vec<u32> {
    let children = fs::read_to_string(format!("/proc/{pid}/task/{pid}/children")).unwrap_or_default();
    let children = children.split_whitespace();
    children.map(|child| child.parse().expect("a number")).collect()
}

/// A program that naps for ever is stopped and goes on; `whom` picks the one that is stopped.
fn recorded_with_a_pause(whom: impl Fn(u32, u32) -> u32) -> Profile {
    let folder = Folder::new();
    let app = fixture("waits", "release", "exits");
    let running = Running::start(&mut record_command(&folder, &["-q", "--", text(&app), "forever"]));
    running.wait_for_stdout("forever after 30 naps");
    let [child] = children_of(running.pid())[..] else {
        panic!("the recorder runs the program and nothing else");
    };
    let stopped = whom(running.pid(), child);
    signal(stopped, SIGSTOP);
    thread::sleep(PAUSE);
    signal(stopped, SIGCONT);
    let state = || fs::read_to_string(format!("/proc/{child}/status")).unwrap_or_default();
    wait_until("it goes on", || !state().contains("State:\tT"));
    thread::sleep(PAUSE);
    signal(child, SIGINT);
    running.finish();
    let profile = load(&folder);
    invariants::check(&profile, Quality::complete(true));
    for row in &profile.rows {
        assert!(row.stats.max_ns <= profile.meta.duration_ns, "{row:?}");
        assert!(row.stats.total_ns >= row.stats.max_ns, "{row:?}");
    }
    profile
}

/// The life of the one task that naps, and its longest episode.
fn life(profile: &Profile) -> (u64, u64) {
    let naps = |group| profile.string(profile.group(group).name) == "exits::nap_in_task";
    let rows: Vec<_> = profile.rows.iter().filter(|row| naps(row.group)).collect();
    let life_ns = rows.iter().map(|row| row.stats.total_ns).sum();
    (
        life_ns,
        rows.iter().map(|row| row.stats.max_ns).max().expect("it naps"),
    )
}

fn assert_whole_life(profile: &Profile) {
    assert_eq!(
        tasks_named(profile, TaskKind::Task, "exits::nap_in_task").tasks,
        2,
        "the first 30 naps, and the rest"
    );
    // One follows the other, and they nap for 300 ms, the pause, and as long again.
    let (life_ns, _) = life(profile);
    let least = 2 * PAUSE.as_nanos() as u64 + 300_000_000;
    assert!(
        (least..=profile.meta.duration_ns).contains(&life_ns),
        "{life_ns} of {}",
        profile.meta.duration_ns
    );
}

#[test]
fn a_program_that_is_stopped_for_a_while() {
    let profile = recorded_with_a_pause(|_, program| program);
    assert_whole_life(&profile);
    let (_, longest_ns) = life(&profile);
    // The pause is a part of what it interrupted, and may have come between two states.
    assert!(longest_ns >= PAUSE.as_nanos() as u64 / 3, "{longest_ns}");
}

#[test]
fn a_recorder_that_is_stopped_for_a_while() {
    let profile = recorded_with_a_pause(|recorder, _| recorder);
    assert_whole_life(&profile);
}

/// Runs it to its end: the profile, and the most memory that our process had at any time.
fn recorded_with_peak(program: &str, args: &[&str]) -> (Profile, u64) {
    let folder = Folder::new();
    let app = fixture("waits", "release", program);
    let arguments = [&["-q", "--", text(&app)], args].concat();
    let running = Running::start(&mut record_command(&folder, &arguments));
    let mut peak_kb = 0;
    wait_until("it ends", || {
        let status = fs::read_to_string(format!("/proc/{}/status", running.pid())).unwrap_or_default();
        let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
        let peak = peak.and_then(|peak| peak.trim().strip_suffix(" kB")?.parse().ok());
        peak_kb = peak_kb.max(peak.unwrap_or(0));
        peak.is_none()
    });
    assert_eq!(running.finish().code, 0);
    let profile = load(&folder);
    invariants::check(&profile, Quality::lossy());
    (profile, peak_kb * 1024)
}

fn all_tasks(profile: &Profile) -> (u64, u64) {
    let tasks = profile.groups.iter().filter(|group| group.kind == TaskKind::Task);
    tasks.fold((0, 0), |sum, group| {
        (sum.0 + group.tasks, sum.1 + group.completed)
    })
}

const MOST_BYTES: u64 = 200_000_000;

/// Paced so that the sampler keeps up; where the machine does not let it, that is told.
#[test]
fn a_million_tasks_are_counted_in_little_memory() {
    let (profile, peak) = recorded_with_peak("storm", &["1000000", "1"]);
    assert!(peak < MOST_BYTES, "{peak} bytes");
    let (tasks, completed) = all_tasks(&profile);
    match (profile.quality.events_lost, profile.quality.tasks_left_out) {
        // They, and the one that spawns them.
        (0, 0) => assert_eq!((tasks, completed), (1_000_001, 1_000_001)),
        _ => assert!(tasks <= 1_000_001 + chance(&profile.groups), "{tasks}"),
    }
}

/// Regression: events of a storm that is too much for the aggregator were held without limit. Now they are lost, and that
/// is told.
#[test]
fn bug_a_storm_filled_our_memory() {
    let (profile, peak) = recorded_with_peak("storm", &["3000000"]);
    assert!(peak < MOST_BYTES, "{peak} bytes");
    let storm = storm(&profile);
    assert!(
        storm.completed <= storm.tasks && storm.tasks <= 3_000_000 + chance([&storm]),
        "{storm:?}"
    );
}

/// Each of 4096 places in the program spawns tasks of its own.
#[test]
fn very_many_places_that_spawn() {
    let (profile, peak) = recorded_with_peak("places", &["12", "40960"]);
    assert!(peak < MOST_BYTES, "{peak} bytes");
    if (profile.quality.events_lost, profile.quality.tasks_left_out) == (0, 0) {
        let groups: Vec<_> = profile.groups.iter().filter(|group| group.tasks == 10).collect();
        assert_eq!(groups.len(), 4096);
        assert!(groups.iter().all(|group| group.completed == 10));
    }
}
