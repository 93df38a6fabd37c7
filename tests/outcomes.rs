//! Every task is counted, and counted as what became of it.

use asyncprof_core::profile::{Group, Profile, Row, State, TaskKind};

use crate::support::fixtures::fixture;
use crate::support::invariants::{self, Quality};
use crate::support::observed::{chance, storm, tasks_named};
use crate::support::recording::Recording;
use crate::support::truth::{self, Truth};

fn group(profile: &Profile, name: &str) -> Group {
    tasks_named(profile, TaskKind::Task, name)
}

fn ends(group: &Group) -> [u64; 4] {
    [group.tasks, group.completed, group.panicked, group.cancelled]
}

#[test]
fn each_task_ends_as_it_did() {
    let recording = Recording::new(&[], fixture("waits", "release", "outcomes"), &[]);
    let profile = recording.profile();
    invariants::check(&profile, Quality::complete(true));
    for (name, expected) in [
        ("spawned in outcomes::all_others", [5, 5, 0, 0]),
        ("outcomes::panics", [5, 0, 5, 0]),
        ("outcomes::aborted_while_waiting", [5, 0, 0, 5]),
        // Dropped with their runtime, before their first poll.
        ("spawned in outcomes::dropped_at_shutdown", [5, 0, 0, 5]),
        // Alive at the end: `pending` keeps no waker, so there is nothing to name them after.
        ("spawned in outcomes::stick", [5, 0, 0, 0]),
    ] {
        assert_eq!(
            ends(&group(&profile, name)),
            expected,
            "{name}: {:?}",
            profile.groups
        );
    }
}

#[test]
fn a_task_that_is_stuck_waits_until_the_end_of_the_recording() {
    let recording = Recording::new(&[], fixture("waits", "release", "outcomes"), &[]);
    let profile = recording.profile();
    let name = |row: &&Row| profile.string(profile.group(row.group).name);
    let is_stuck = |row: &&_| name(row) == "spawned in outcomes::stick";
    let waits = profile.rows.iter().filter(|row| row.state == State::Waiting);
    let (mut open, mut total_ns) = (0, 0);
    for row in waits.filter(is_stuck) {
        (open, total_ns) = (open + row.open_episodes, total_ns + row.stats.total_ns);
    }
    assert_eq!(open, 5);
    assert!(total_ns >= 5 * 99_000_000, "each for its 100 ms: {total_ns}");
}

/// Regression: a runtime that shuts down marks a task cancelled which is done but not yet let go. The last task to end
/// is the one whose end ends the program.
#[test]
fn a_finished_task_is_not_cancelled_by_the_shutdown_that_follows() {
    let program = fixture("waits", "lto", "dynfut");
    for _ in 0..8 {
        let recording = Recording::new(&[], &program, &[]);
        let profile = recording.profile();
        let task = group(&profile, "dynfut::relay_often");
        assert_eq!(ends(&task), [1, 1, 0, 0], "{:?}", profile.groups);
    }
}

/// Regression: `block_on` leaves copies of its waker's table, and wake-ups through the other copy were of no branch;
/// dropping such a waker looked like the end of `block_on`.
#[test]
fn a_root_task_lives_as_long_as_its_block_on() {
    let joined = ["await_child", "short_nap", "long_nap", "read_byte", "quick_timer"];
    for (package, profile, program, sites) in [
        ("tokio-1.47", "release", "joins", &joined[..]),
        (
            "waits",
            "dev",
            "current_thread",
            &["spawned_tasks", "local_tasks"],
        ),
        (
            "waits",
            "release",
            "current_thread",
            &["spawned_tasks", "local_tasks"],
        ),
    ] {
        let recording = Recording::new(&[], fixture(package, profile, program), &[]);
        let profile = recording.profile();
        let roots = profile.groups.iter().filter(|group| group.kind == TaskKind::Root);
        let tasks: u64 = roots.map(|group| group.tasks).sum();
        assert!(
            (1..=2).contains(&tasks),
            "{program}: {tasks}, where there are `main` and perhaps the shutdown"
        );
        let is_root = |row: &&Row| profile.group(row.group).kind == TaskKind::Root;
        let root_ns: u64 = (profile.rows.iter().filter(is_root))
            .map(|row| row.stats.total_ns)
            .sum();
        // One after the other, and the root task waits for them all.
        let is_joined = |truth: &&Truth| sites.iter().any(|site| truth.site.ends_with(site));
        let truth = truth::read(&recording.folder.path().join("truth"));
        let truth_ns: u64 = truth.iter().filter(is_joined).map(|truth| truth.total_ns).sum();
        assert!(
            root_ns as f64 > 0.98 * truth_ns as f64,
            "{program}: {root_ns} of {truth_ns} ns"
        );
    }
}

/// So few that one ring holds all their events, however seldom it is drained.
#[test]
fn a_storm_of_tasks_is_counted_to_the_last() {
    let recording = Recording::new(&[], fixture("waits", "release", "storm"), &["20000"]);
    let profile = recording.profile();
    invariants::check(&profile, Quality::complete(true));
    let storm = storm(&profile);
    assert_eq!(ends(&storm), [20_000, 20_000, 0, 0]);
}

/// Where the machine lets the sampler keep up, and where not it is told.
#[test]
fn a_long_storm_is_counted_or_its_losses_are_told() {
    let recording = Recording::new(&[], fixture("waits", "release", "storm"), &[]);
    let profile = recording.profile();
    invariants::check(&profile, Quality::lossy());
    let storm = storm(&profile);
    let told = recording.stderr();
    match (profile.quality.events_lost, profile.quality.tasks_left_out) {
        (0, 0) => assert_eq!(ends(&storm), [100_000, 100_000, 0, 0]),
        (0, _) => assert!(told.contains("of an estimated"), "{told}"),
        _ => assert!(told.contains("lost"), "{told}"),
    }
}

/// Small rings lose events; the profile says how many, and makes nothing up.
#[test]
fn a_storm_that_is_too_much_is_told() {
    let program = fixture("waits", "release", "storm");
    let recording = Recording::with_ring_words(1 << 10, program, &[]);
    let profile = recording.profile();
    invariants::check(&profile, Quality::lossy());
    assert!(profile.quality.events_lost > 0, "{:?}", profile.quality);
    let tasks = profile.groups.iter().filter(|group| group.kind == TaskKind::Task);
    let tasks: u64 = tasks.map(|group| group.tasks).sum();
    assert!(
        tasks <= 100_001 + chance(&profile.groups),
        "{tasks} of 100 000 tasks and the one that spawns them"
    );
    let report = recording.stderr();
    assert!(report.contains("lost"), "{report}");
}

/// Sixty-four tasks that do nothing but wake each other: every wake-up has its wait.
#[test]
fn each_round_of_ping_pong_is_seen() {
    let recording = Recording::new(&[], fixture("waits", "release", "pingpong"), &["400"]);
    let profile = recording.profile();
    invariants::check(&profile, Quality::complete(true));
    for name in ["pingpong::ping_all", "pingpong::pong_all"] {
        assert_eq!(ends(&group(&profile, name)), [32, 32, 0, 0], "{name}");
    }
    let waits = |name: &str| -> u64 {
        let of_group =
            |row: &&Row| row.state == State::Waiting && profile.string(profile.group(row.group).name) == name;
        let rows = profile.rows.iter().filter(of_group);
        rows.map(|row| row.stats.episodes).sum()
    };
    // Nearly each question and each answer is waited for; a few are there already.
    for name in ["pingpong::ping_all", "pingpong::pong_all"] {
        let waits = waits(name);
        assert!((6_400..=26_000).contains(&waits), "{name}: {waits}");
    }
}

#[test]
fn threads_come_and_go_and_none_is_lost() {
    let recording = Recording::new(&[], fixture("waits", "release", "threads"), &[]);
    let profile = recording.profile();
    invariants::check(&profile, Quality::complete(true));
    assert_eq!(ends(&group(&profile, "threads::short_life")), [3000, 3000, 0, 0]);
    let roots = tasks_named(&profile, TaskKind::Root, "threads::run_small_runtime");
    assert_eq!(roots.tasks, 3000);
}
