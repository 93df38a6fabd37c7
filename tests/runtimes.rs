//! Every way to run a task with tokio: each is there once, with its whole life. (Runtimes of one thread, `LocalSet` on
//! one, panics, and thousands of runtimes in turn are in `accuracy` and `outcomes`.)

use std::sync::LazyLock;

use asyncprof_core::profile::{Group, Profile, Row, StackId, State, TaskKind, WakerId};

use crate::support::fixtures::fixture;
use crate::support::invariants::{self, Quality};
use crate::support::observed::tasks_named;
use crate::support::recording::Recording;
use crate::support::truth::{self, Truth};

struct Recorded {
    profile: Profile,
    truth: Vec<Truth>,
}

static RECORDED: LazyLock<Recorded> = LazyLock::new(|| {
    let recording = Recording::new(&[], fixture("waits", "release", "runtimes"), &[]);
    let stdout = String::from_utf8_lossy(&recording.output.stdout).into_owned();
    assert_eq!(
        stdout,
        "16 roots\n5 local\n10 in place\nmoved true\naborted 5\nshut down\n"
    );
    let truth = truth::read(&recording.folder.path().join("truth"));
    let profile = recording.profile();
    invariants::check(&profile, Quality::complete(true));
    Recorded { profile, truth }
});

fn tasks(kind: TaskKind, name: &str) -> Group {
    tasks_named(&RECORDED.profile, kind, &format!("runtimes::{name}"))
}

fn truth(site: &str) -> &'static Truth {
    let mut all = RECORDED.truth.iter();
    all.find(|truth| truth.site == format!("runtimes::{site}"))
        .expect(site)
}

/// Time and episodes of all tasks of this name in such rows.
fn rows(name: &str, wanted: impl Fn(&Row) -> bool) -> (u64, u64) {
    let profile = &RECORDED.profile;
    let named = |row: &&Row| profile.string(profile.group(row.group).name) == format!("runtimes::{name}");
    let rows = profile.rows.iter().filter(named).filter(|row| wanted(row));
    rows.fold((0, 0), |sum, row| {
        (sum.0 + row.stats.total_ns, sum.1 + row.stats.episodes)
    })
}

fn time(name: &str, state: State) -> (u64, u64) {
    rows(name, |row| row.state == state)
}

/// What a clock around their awaits measures: waiting, and scheduled after that.
fn suspended_ns(name: &str) -> u64 {
    let is_first = |row: &Row| row.stack == StackId::default();
    rows(name, |row| match row.state {
        State::Waiting => true,
        State::Scheduled => !is_first(row),
        _ => false,
    })
    .0
}

/// What the program measured, and 2 % and half a millisecond a time for what the machine does between two readings.
fn assert_agrees(found_ns: u64, truth: &Truth) {
    let slack = truth.total_ns / 50 + truth.episodes * 500_000;
    assert!(
        found_ns.abs_diff(truth.total_ns) <= slack,
        "{found_ns} of {truth:?}"
    );
}

fn assert_tasks(name: &str, tasks_completed_cancelled: [u64; 3]) {
    let group = tasks(TaskKind::Task, name);
    let found = [group.tasks, group.completed, group.cancelled];
    assert_eq!(
        found, tasks_completed_cancelled,
        "{name}: {:?}",
        RECORDED.profile.groups
    );
    assert_eq!(group.panicked, 0);
}

#[test]
fn several_runtimes_at_once() {
    for name in ["in_one_runtime", "in_other_runtime"] {
        assert_tasks(name, [5, 5, 0]);
        assert_eq!(time(name, State::Waiting).1, 50, "{name}");
        assert_agrees(suspended_ns(name), truth(name));
    }
}

/// Regression: all root tasks of a process were of one group, named after the one that took longest.
#[test]
fn block_on_in_many_threads() {
    let name = "block_on_in_threads";
    assert_eq!(
        tasks(TaskKind::Root, name).tasks,
        16,
        "{:?}",
        RECORDED.profile.groups
    );
    // Its scheduling delays are in its running time.
    let truth = truth("root_of_thread");
    let (waited_ns, slack) = (time(name, State::Waiting).0, truth.total_ns / 50 + 160 * 500_000);
    assert!(waited_ns <= truth.total_ns + slack, "{waited_ns} of {truth:?}");
    assert!(rows(name, |_| true).0 >= truth.total_ns - slack, "{truth:?}");
    // What a root task does between its last waker and its end looks like one more, of which nobody wakes it.
    assert_eq!(rows(name, |row| row.waker != WakerId::default()).1, 160);
}

#[test]
fn local_tasks_beside_a_runtime_of_several_threads() {
    assert_tasks("local", [5, 5, 0]);
    assert_eq!(time("local", State::Waiting).1, 5);
    assert_agrees(suspended_ns("local"), truth("local"));
}

/// The worker goes to another thread, the poll stays one.
#[test]
fn block_in_place() {
    assert_tasks("in_place", [1, 1, 0]);
    assert_eq!(time("in_place", State::Waiting).1, 10);
    assert_agrees(suspended_ns("in_place"), truth("in_place"));
    let running = rows("in_place", |row| {
        !matches!(row.state, State::Waiting | State::Scheduled)
    });
    assert_agrees(running.0, truth("in_place, blocked"));
}

#[test]
fn a_task_that_moves_between_workers_lives_once() {
    assert_tasks("hop", [1, 1, 0]);
    let hops = truth("hop");
    assert_eq!(time("hop", State::Waiting).1, hops.episodes);
    assert_eq!(time("hop", State::Scheduled).1, hops.episodes + 1);
    let first = 1_000_000_000; // from the spawn to the first poll: whatever the machine needs
    let (life_ns, _) = rows("hop", |_| true);
    assert!(
        (hops.total_ns..hops.total_ns + first).contains(&(life_ns + 1_000_000)),
        "{life_ns} of {hops:?}"
    );
}

#[test]
fn tasks_that_are_aborted_before_their_first_poll() {
    let name = |group: &&Group| {
        RECORDED
            .profile
            .string(group.name)
            .ends_with("runtimes::abort_unpolled")
    };
    let groups = RECORDED.profile.groups.iter().filter(name);
    let counts = groups.filter(|group| group.kind == TaskKind::Task);
    let counts = counts.fold([0; 3], |sum, group| {
        [
            sum[0] + group.tasks,
            sum[1] + group.completed,
            sum[2] + group.cancelled,
        ]
    });
    assert_eq!(counts, [5, 0, 5], "{:?}", RECORDED.profile.groups);
}

#[test]
fn tasks_alive_when_their_runtime_ends() {
    assert_tasks("alive_at_shutdown", [5, 0, 5]);
    let (ns, waits) = time("alive_at_shutdown", State::Waiting);
    assert_eq!(waits, 5);
    assert!(
        ns >= 4 * truth("leave_alive").total_ns,
        "{ns}: from the nap's begin to the end"
    );
    let open: u64 = RECORDED.profile.open_waits.iter().map(|wait| wait.tasks).sum();
    assert_eq!(open, 0, "they were dropped: {:?}", RECORDED.profile.open_waits);
}
