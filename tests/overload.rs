//! More than is taken in, or may be spent: what is left out, and that it is told.

use asyncprof_core::profile::Profile;

use crate::support::fixtures::fixture;
use crate::support::invariants::{self, Quality};
use crate::support::observed::{chance, storm};
use crate::support::recording::Recording;

/// Estimates of tasks, their ends and their polls, each of which is `truth` and must be within what the coins allow.
fn assert_estimated(profile: &Profile, truth: u64) {
    let storm = storm(profile);
    let chance = chance([&storm]);
    let names = profile
        .groups
        .iter()
        .map(|group| (profile.string(group.name), group.kind, group.tasks));
    assert!(storm.tasks > 0, "{:?}", names.collect::<Vec<_>>());
    for estimate in [storm.tasks, storm.completed, storm.polls.episodes] {
        assert!(
            estimate.abs_diff(truth) <= chance,
            "{estimate} of {truth}, ± {chance}"
        );
    }
}

fn cost(profile: &Profile) -> f64 {
    profile.quality.overhead_ns as f64 / profile.quality.program_cpu_ns as f64
}

/// Paced for four seconds and more. It takes half of one to be noticed, that it costs twice as much. What the task that
/// spawns them does, and taps that write nothing, are less than half of it.
#[test]
fn the_cost_is_held_where_it_was_asked_for() {
    let program = fixture("waits", "release", "storm");
    let args = ["400000", "10", "3"];
    let free = Recording::new(&[], &program, &args).profile();
    let allowed = cost(&free) * 0.55;
    let percent = format!("{}%", allowed * 100.0);
    let held = Recording::new(&["--max-overhead", &percent], &program, &args).profile();
    invariants::check(&held, Quality::lossy());
    let told = (cost(&held), allowed, &held.quality, &free.quality);
    assert!(cost(&held) < allowed * 1.35, "{told:?}");
    assert!(held.quality.tasks_left_out > 0, "{told:?}");
    if held.quality.events_lost == 0 {
        let storm = storm(&held);
        assert!(storm.tasks.abs_diff(400_000) <= chance([&storm]), "{storm:?}");
    }
}

/// Paced for five seconds.
#[test]
fn what_costs_too_much_is_left_out_and_estimated() {
    const TASKS: u64 = 400_000;
    let program = fixture("waits", "release", "storm");
    let recording = Recording::new(&["--max-overhead", "0%"], program, &["400000", "10"]);
    let profile = recording.profile();
    invariants::check(&profile, Quality::lossy());
    let quality = &profile.quality;
    assert!(
        quality.overhead_ns > 0 && quality.overhead_ns < quality.program_cpu_ns,
        "{quality:?}"
    );
    assert!(
        quality.tasks_left_out > 0 && quality.heaviest_task >= 2,
        "{quality:?}"
    );
    let told = format!("(1 in {} at times)", quality.heaviest_task);
    assert!(recording.stderr().contains(&told), "{}", recording.stderr());
    assert!(
        recording.stderr().contains("of the program's CPU time"),
        "{}",
        recording.stderr()
    );
    let kinds = profile.groups.iter().map(|group| group.tasks).sum::<u64>();
    assert_eq!(quality.tasks_recorded + quality.tasks_left_out, kinds);
    if quality.events_lost == 0 {
        assert_estimated(&profile, TASKS);
    }
}

/// Each thousand of tasks is more than these rings hold.
#[test]
fn of_what_does_not_fit_a_part_is_left_out() {
    let program = fixture("waits", "release", "storm");
    let recording = Recording::with_ring_words(1 << 12, program, &["400000", "10"]);
    let profile = recording.profile();
    invariants::check(&profile, Quality::lossy());
    let quality = &profile.quality;
    assert!(
        quality.events_lost > 0 && quality.tasks_left_out > 0,
        "{quality:?}"
    );
    let storm = storm(&profile);
    assert!(storm.tasks <= 400_000 + chance([&storm]), "{storm:?}");
    assert!(storm.tasks > 0, "{:?}", profile.groups);
}

#[test]
fn without_need_nothing_is_left_out() {
    let program = fixture("waits", "release", "storm");
    let recording = Recording::new(&["--max-overhead", "100%"], program, &["50000", "10"]);
    let profile = recording.profile();
    let quality = &profile.quality;
    if quality.events_lost == 0 {
        assert_eq!(
            (quality.tasks_left_out, quality.stacks_left_out),
            (0, 0),
            "{quality:?}"
        );
        let storm = storm(&profile);
        assert_eq!(storm.tasks, 50_000);
    }
}
