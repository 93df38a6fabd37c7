//! asyncio's tasks and what they wait for: each wait is linked to the child whose end has ended it, and to the work
//! that was given to a thread.

use asyncprof_core::profile::{Profile, Row, State, TaskKind};
use asyncprof_core::view::{Analysis, CallTree, Kind, NodeId, Rules, TreeOptions};

use crate::support::observed::tasks_named;
use crate::support::pythons::{self, Python, expected, functions, python_with_packages, pythons, waits};

fn recorded(python: &Python, program: &str, args: &[&str]) -> Profile {
    let recording = pythons::recorded(python, program, args);
    assert_eq!(recording.output.stdout, b"done\n", "{}", recording.stderr());
    let profile = recording.profile();
    assert_eq!(profile.quality.events_lost, 0, "{}", python.version);
    profile
}

fn assert_linked(profile: &Profile, python: &Python) {
    for shape in [
        "gathers",
        "gathers_gathered",
        "waits",
        "waits_for_first",
        "waits_for",
        "shields",
        "shields_for",
        "joins",
        "joins_own",
        "first_completed",
        "groups",
    ] {
        if shape == "groups" && python.minor < 11 {
            continue;
        }
        // From 3.12 on `wait_for` makes no task of its own.
        let wait = match shape {
            "waits_for" if python.minor >= 12 => (Kind::Timer, "(no task)", 3),
            _ => (Kind::Join, "links.slow", 3),
        };
        let found = waits(profile, &format!("links.{shape}"));
        assert_eq!(found, expected(&[wait]), "{shape} in {}", python.version);
    }
    let of_main = waits(profile, "links.main");
    let is_join = |(kind, ender): &(Kind, String)| *kind == Kind::Join && ender != "(no task)";
    assert!(of_main.keys().all(is_join), "{}: {of_main:?}", python.version);
}

#[test]
fn waits_are_linked_to_the_child_that_ended_them() {
    for python in pythons() {
        assert_linked(&recorded(python, "links.py", &[]), python);
    }
}

#[test]
fn waits_are_linked_on_uvloop() {
    match python_with_packages() {
        Ok(python) => assert_linked(&recorded(&python, "links.py", &["uvloop"]), &python),
        Err(why) => eprintln!("skipped: {why}"),
    }
}

/// Time of a group's rows in one of the states, in a function if one is given.
fn spent(profile: &Profile, group: &str, states: &[State], function: Option<&str>) -> u64 {
    let is_meant = |row: &&Row| {
        profile.string(profile.group(row.group).name) == group
            && states.contains(&row.state)
            && function.is_none_or(|name| functions(profile, row).contains(&name))
    };
    let rows = profile.rows.iter().filter(is_meant);
    rows.map(|row| row.stats.total_ns).sum()
}

/// What the picture shows below the waits of a function.
fn continued(profile: &Profile, function: &str) -> Vec<String> {
    let analysis = Analysis::new(profile, &Rules::default());
    let tree = CallTree::new(&analysis, &TreeOptions::default());
    let mut below = Vec::new();
    for (id, _) in tree.walk() {
        let line = std::iter::successors(Some(id), |&at| (at != NodeId::ROOT).then(|| tree.node(at).parent));
        let mut names = line.map(|at| tree.name(tree.node(at)));
        if tree.node(id).is_continued && names.any(|name| name == function) {
            below.push(tree.name(tree.node(id)).to_owned());
        }
    }
    below
}

/// In each of three rounds four pieces queue up for two threads, two are followed by one that is cancelled in the queue,
/// and three go alone, one of them after its task was cancelled; at last one fails.
#[test]
fn work_in_threads_is_a_task_of_its_own() {
    const LENGTH_NS: u64 = 50_000_000;
    for python in pythons() {
        let profile = recorded(python, "workers.py", &[]);
        let version = &python.version;
        for (name, pieces, ends) in [
            ("workers.sleeps", 21, (18, 3, 0)),
            ("workers.spins", 3, (3, 0, 0)),
            ("workers.holds", 3, (3, 0, 0)),
            ("time.sleep", 3, (3, 0, 0)),
            ("workers.fails", 1, (0, 0, 1)),
        ] {
            let work = tasks_named(&profile, TaskKind::Blocking, name);
            let found = (work.completed, work.cancelled, work.panicked);
            assert_eq!((work.tasks, found), (pieces, ends), "{name} in {version}");
        }
        assert_eq!(profile.quality.tasks_seen_late, 0, "{version}");

        // As long as two pieces run, two more wait for their threads, or the one that is cancelled.
        let queued_ns = spent(&profile, "workers.sleeps", &[State::Scheduled], None);
        assert!(queued_ns > 9 * LENGTH_NS * 95 / 100, "{version}: {queued_ns}");
        let busy = [State::Running, State::OnCpu, State::Blocked];
        let ran_ns = spent(&profile, "workers.sleeps", &busy, None);
        assert!(ran_ns > 18 * LENGTH_NS * 95 / 100, "{version}: {ran_ns}");
        // On a busy machine whoever samples may not run for the length of a whole piece.
        for (work, pieces) in [("workers.sleeps", 18), ("workers.spins", 3)] {
            let seen_ns = spent(&profile, work, &[State::OnCpu, State::Blocked], Some(work));
            assert!(
                seen_ns > pieces * LENGTH_NS * 3 / 10,
                "{work} in {version}: {seen_ns}"
            );
        }

        for (function, found) in [
            // Those that are cancelled, are by the task that does so.
            (
                "asks",
                &[("workers.sleeps", 18), ("workers.main", 6), ("workers.fails", 1)][..],
            ),
            ("moves", &[("workers.spins", 3)]),
            ("builtin", &[("time.sleep", 3)]),
        ] {
            let ended_by = |&(ender, number)| (Kind::Blocking, ender, number);
            let found: Vec<_> = found.iter().map(ended_by).collect();
            let in_function = waits(&profile, &format!("workers.{function}"));
            assert_eq!(in_function, expected(&found), "{function} in {version}");
        }
        let below = continued(&profile, "workers.asks");
        for name in ["[blocking task] workers.sleeps", "[blocked]", "[scheduled]"] {
            assert!(
                below.iter().any(|below| below == name),
                "{name} in {version}: {below:?}"
            );
        }
    }
}
