//! The report warns of each trouble, at the right place, and of none where there is none.

use serde_json::Value;

use crate::support::fixtures::fixture;
use crate::support::recording::{Folder, asyncprof};
use crate::support::run::{record, report, run, text};

fn recorded(program: &str, args: &[&str]) -> (Folder, Value) {
    let folder = Folder::new();
    let app = fixture("waits", "release", program);
    let ran = record(&folder, &[&["-q", "--", text(&app)], args].concat());
    assert_eq!(ran.code, 0, "{}", ran.stderr);
    let report = report(&folder);
    (folder, report)
}

/// The warning of this code from a recording of this trouble.
fn warning(trouble: &str, code: &str) -> Value {
    let (folder, report) = recorded("troubles", &[trouble]);
    let warnings = report["warnings"].as_array().unwrap();
    let found = warnings.iter().find(|warning| warning["code"] == code);
    let found = found
        .unwrap_or_else(|| panic!("{trouble}: {warnings:#?}"))
        .clone();
    // People are told the same.
    let shown = run(asyncprof(&folder).arg("report")).stdout;
    let words = |text: &str| {
        text.split_whitespace()
            .collect::<Vec<_>>()
            .join(" ")
            .to_lowercase()
    };
    let message = words(found["message"].as_str().unwrap());
    assert!(words(&shown).contains(&message), "{message}\n{shown}");
    found
}

/// The function, and the text of the source line in which it is.
fn place(warning: &Value) -> (String, String) {
    let source = include_str!("../fixtures/waits/src/bin/troubles.rs");
    let file = warning["file"].as_str().unwrap();
    assert!(file.ends_with("troubles.rs"), "{warning:#}");
    let line = warning["line"].as_u64().unwrap() as usize;
    let line = source.lines().nth(line - 1).unwrap().trim();
    (warning["function"].as_str().unwrap().to_owned(), line.to_owned())
}

fn number(warning: &Value, name: &str) -> f64 {
    warning["numbers"][name]
        .as_f64()
        .unwrap_or_else(|| panic!("{warning:#}"))
}

#[test]
fn polls_that_block() {
    let warning = warning("long-polls", "long_polls");
    let (function, line) = place(&warning);
    assert_eq!(function, "troubles::blocks_in_polls");
    assert!(
        line.contains("std::thread::sleep(Duration::from_millis(40))"),
        "{line}"
    );
    // At most one every 50 ms for 600 ms, each of 40 ms.
    assert!((3.0..=13.0).contains(&number(&warning, "polls")), "{warning:#}");
    assert!(number(&warning, "longest_ns") >= 40e6, "{warning:#}");
    assert!(
        number(&warning, "total_ns") >= 0.85 * 40e6 * number(&warning, "polls"),
        "{warning:#}"
    );
}

#[test]
fn tasks_that_spin() {
    let found = warning("spins", "self_wakes");
    assert_eq!(place(&found).0, "troubles::spins");
    assert!(number(&found, "per_second") > 1000.0, "{found:#}");
    let found = warning("yields", "self_wakes");
    let yields = (
        "troubles::yields_all_the_time".to_owned(),
        "yield_now().await;".to_owned(),
    );
    assert_eq!(place(&found), yields);
}

#[test]
fn workers_that_are_hogged() {
    let warning = warning("starved", "starved_workers");
    // What it calls may be inlined, and is then told by its line.
    let (function, line) = place(&warning);
    assert!(
        ["troubles::work", "troubles::hogs_the_worker"].contains(&&*function),
        "{function}"
    );
    assert!(
        line.contains("start.elapsed()") || line.contains("work("),
        "{line}"
    );
    assert_eq!(warning["blockers"][0], "troubles::hogs_the_worker");
    let victims = warning["tasks"].as_array().unwrap();
    assert!(
        victims
            .iter()
            .any(|victim| victim == "troubles::wants_to_be_in_time"),
        "{warning:#}"
    );
    // One hog's poll takes 6 ms.
    assert!(number(&warning, "p99_ns") >= 6e6, "{warning:#}");
}

#[test]
fn locks_with_a_queue() {
    let warning = warning("convoy", "lock_convoy");
    let (function, line) = place(&warning);
    assert_eq!(function, "troubles::holds_the_lock_too_long");
    assert!(line.contains("shared.lock().await"), "{line}");
    assert_eq!(warning["blockers"][0], "troubles::holds_the_lock_too_long");
    assert_eq!(number(&warning, "tasks"), 8.0);
    // Seven of eight at any time, each for at least seven times the 4 ms for which it is held.
    assert!(number(&warning, "mean_ns") >= 0.8 * 7.0 * 4e6, "{warning:#}");
}

#[test]
fn channels_without_room() {
    let warning = warning("full-channel", "full_channel");
    let (function, line) = place(&warning);
    assert_eq!(function, "troubles::produces_fast");
    assert!(line.contains("sender.send(1).await"), "{line}");
    assert_eq!(warning["blockers"][0], "troubles::consumes_slowly");
    assert!(
        number(&warning, "total_ns") >= 0.5 * number(&warning, "senders_ns"),
        "{warning:#}"
    );
}

#[test]
fn tasks_that_never_come_back() {
    let warning = warning("stuck", "stuck");
    assert_eq!(place(&warning).0, "troubles::waits_for_nobody");
    assert_eq!(number(&warning, "tasks"), 1.0);
    assert!(number(&warning, "longest_ns") >= 600e6, "{warning:#}");
}

/// A machine that is busy takes the processor away from a poll, or a worker, for as long as any trouble would. That
/// does not happen time after time.
#[test]
fn nothing_is_wrong_with_healthy_programs() {
    const ATTEMPTS: usize = 4;
    for (program, args) in [
        ("troubles", &["healthy"][..]),
        ("sleep", &[]),
        ("tcp", &[]),
        ("joins", &[]),
        ("locks", &[]),
        ("blocking", &[]),
    ] {
        let warnings = || recorded(program, args).1["warnings"].clone();
        let all: Vec<Value> = (0..ATTEMPTS)
            .map(|_| warnings())
            .take_while(|warnings| warnings != &Value::Array(Vec::new()))
            .collect();
        assert!(all.len() < ATTEMPTS, "{program}: {all:#?}");
    }
}

/// Four closures of 50 ms, one after the other on one thread: the second waits for one, the third for two, …
#[test]
fn closures_wait_behind_closures() {
    let (_folder, report) = recorded("troubles", &["small-pool"]);
    // Named after what its samples found, or else after where it was spawned.
    let is_closure = |name: &Value| {
        let name = name.as_str().unwrap_or_default();
        name.starts_with("[blocking task]") && name.ends_with("troubles::queues_for_the_pool")
    };
    let delays = report["delays"].as_array().unwrap();
    let pairs = delays.iter().filter(|delay| is_closure(&delay["blocker"]));
    let (mut episodes, mut total_ns) = (0, 0);
    for pair in pairs {
        assert!(
            is_closure(&pair["task"]),
            "no task waits for a closure's thread: {pair}"
        );
        episodes += pair["episodes"].as_u64().unwrap();
        total_ns += pair["total_ns"].as_u64().unwrap();
    }
    assert_eq!(episodes, 3, "{delays:#?}");
    // Σ 50, 100, 150 ms, and as much more as a busy machine takes.
    assert!((300_000_000..=900_000_000).contains(&total_ns), "{total_ns}");
}

#[test]
fn what_ran_meanwhile_is_drawn_and_listed() {
    let (folder, report) = recorded("troubles", &["starved"]);
    let hogs = "troubles::hogs_the_worker";
    let delays = report["delays"].as_array().unwrap();
    let behind = |task: &str, blocker: &str| -> u64 {
        let pair = delays
            .iter()
            .filter(|delay| delay["task"] == task && delay["blocker"] == blocker);
        pair.map(|delay| delay["total_ns"].as_u64().unwrap()).sum()
    };
    let scheduled = |task: &str| -> u64 {
        let groups = report["groups"].as_array().unwrap();
        let group = groups.iter().find(|group| group["name"] == task).unwrap();
        group["scheduled_ns"].as_u64().unwrap()
    };
    for task in [hogs, "troubles::wants_to_be_in_time"] {
        // The only worker did nothing else, but for the little that the runtime itself takes.
        let (behind, scheduled) = (behind(task, hogs), scheduled(task));
        assert!(
            behind <= scheduled && behind >= scheduled / 10 * 8,
            "{task}: {behind} of {scheduled}"
        );
    }
    let svg = run(asyncprof(&folder).args(["flamegraph", "--by", "delay", "-o", "-"]));
    assert_eq!(svg.code, 0, "{}", svg.stderr);
    for frame in [
        "-- kept waiting by --",
        hogs,
        "troubles::wants_to_be_in_time",
        "yield_now",
    ] {
        assert!(svg.stdout.contains(frame), "{frame}");
    }
}
