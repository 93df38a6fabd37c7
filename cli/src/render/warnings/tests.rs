//! Each trouble above and below its threshold. The recordings are 10 s long.

use asyncprof_core::profile::{GroupId, Profile, StackId, State, TaskKind, Waker};
use asyncprof_core::view::testing::ProfileBuilder;
use asyncprof_core::view::{Analysis, Rules};

use super::{Warning, warnings, wrapped};
use crate::render::stuck::stuck;

const MS: u64 = 1_000_000;
const US: u64 = 1_000;
const NOWHERE: StackId = StackId(0);

fn of(profile: &Profile) -> Vec<Warning> {
    profile.check().expect("a sound profile");
    let analysis = Analysis::new(profile, &Rules::default());
    warnings(&analysis, &stuck(&analysis))
}

fn codes(profile: &Profile) -> Vec<&'static str> {
    of(profile).iter().map(|warning| warning.code).collect()
}

fn in_work(builder: &mut ProfileBuilder, line: u32, leaf: &str) -> StackId {
    builder.stack(&[&format!("app::work::{{{{closure}}}} @ src/main.rs:{line}"), leaf])
}

const SLEEP: &str = "<tokio::time::sleep::Sleep as core::future::future::Future>::poll";
const WAKE: &str = "core::task::wake::Waker::wake_by_ref";
const LOCK: &str = "tokio::sync::mutex::Mutex<T>::lock::{{closure}}";
const SEND: &str = "tokio::sync::mpsc::bounded::Sender<T>::send::{{closure}}";
const YIELD: &str = "tokio::task::yield_now::yield_now::{{closure}}";

#[test]
fn long_polls_of_tasks() {
    let profile = |kind, polls, each_ns| {
        let mut builder = ProfileBuilder::new();
        let group = builder.group("app::work", kind, 1);
        let place = in_work(&mut builder, 7, SLEEP);
        builder.row(group, NOWHERE, State::Running, polls, each_ns);
        builder.long_poll(group, place, 0, each_ns);
        builder.build()
    };
    let found = of(&profile(TaskKind::Task, 5, 40 * MS));
    assert_eq!(found.len(), 1);
    let Warning {
        code, function, line, ..
    } = &found[0];
    assert_eq!((*code, function.as_str(), *line), ("long_polls", "app::work", 7));
    assert_eq!(found[0].numbers["longest_ns"], 40 * MS);
    assert_eq!(found[0].numbers["polls"], 5);
    assert!(
        found[0].time_ns.abs_diff(200 * MS) < 25 * MS,
        "{}",
        found[0].time_ns
    );
    assert_eq!(codes(&profile(TaskKind::Task, 1, 300 * MS)), ["long_polls"]);
    for (kind, polls, each_ns) in [
        (TaskKind::Task, 1, 12 * MS),
        (TaskKind::Task, 1000, 8 * MS),
        (TaskKind::Blocking, 100, 40 * MS),
        (TaskKind::Worker, 1, 9000 * MS),
        (TaskKind::Root, 10, 100 * MS),
    ] {
        assert!(
            codes(&profile(kind, polls, each_ns)).is_empty(),
            "{kind:?} {polls}"
        );
    }
}

#[test]
fn tasks_that_wake_themselves() {
    let profile = |leaf, wakes, each_ns, of_others| {
        let mut builder = ProfileBuilder::new();
        let group = builder.group("app::work", TaskKind::Task, 1);
        let other = builder.group("app::other", TaskKind::Task, 1);
        let wake = in_work(&mut builder, 9, leaf);
        let own = builder.waker(Waker::Task { group, stack: wake });
        let others = builder.waker(Waker::Task {
            group: other,
            stack: wake,
        });
        builder.row(group, NOWHERE, State::Running, wakes, each_ns);
        builder.row(group, NOWHERE, State::Scheduled, wakes, 200).waker = own;
        builder.row(group, wake, State::Scheduled, of_others, 200).waker = others;
        builder.row(group, wake, State::Waiting, of_others, 50 * US).waker = others;
        builder.build()
    };
    let found = of(&profile(WAKE, 100_000, 2 * US, 10));
    assert_eq!(found.len(), 1);
    assert_eq!((found[0].code, found[0].line), ("self_wakes", 9));
    assert_eq!(found[0].numbers["self_wakes"], 100_000);
    assert!(codes(&profile(WAKE, 100, 2 * US, 10)).is_empty(), "now and then");
    assert!(
        codes(&profile(WAKE, 900, 5 * MS, 0)).is_empty(),
        "it works in between"
    );
    assert!(
        codes(&profile(WAKE, 100_000, 2 * US, 150_000)).is_empty(),
        "mostly woken by others"
    );
    let fair = "futures_util::stream::futures_unordered::FuturesUnordered<Fut>::poll_next";
    assert!(
        codes(&profile(fair, 100_000, 2 * US, 10)).is_empty(),
        "a library's doing"
    );
}

#[test]
fn tasks_of_one_name_that_wake_each_other_do_not_wake_themselves() {
    let mut builder = ProfileBuilder::new();
    let group = builder.group("app::work", TaskKind::Task, 2);
    let place = in_work(&mut builder, 9, LOCK);
    let own = builder.waker(Waker::Task { group, stack: place });
    builder.row(group, NOWHERE, State::Running, 100_000, 2 * US);
    builder.row(group, place, State::Scheduled, 100_000, 200).waker = own;
    builder.row(group, place, State::Waiting, 100_000, 5 * US).waker = own;
    assert!(codes(&builder.build()).is_empty());
}

#[test]
fn tasks_that_give_way_all_the_time() {
    let profile = |leaf| {
        let mut builder = ProfileBuilder::new();
        let group = builder.group("app::work", TaskKind::Task, 1);
        let place = in_work(&mut builder, 11, leaf);
        let defer = builder.stack(&["tokio::runtime::scheduler::defer::Defer::wake"]);
        let scheduler = builder.waker(Waker::Thread { stack: defer });
        builder.row(group, NOWHERE, State::Running, 100_000, 2 * US);
        builder.row(group, place, State::Scheduled, 100_000, 200).waker = scheduler;
        builder.row(group, place, State::Waiting, 100_000, 200).waker = scheduler;
        builder.build()
    };
    let found = of(&profile(YIELD));
    assert_eq!(found.len(), 1);
    assert_eq!((found[0].code, found[0].line), ("self_wakes", 11));
    assert!(codes(&profile(SLEEP)).is_empty());
}

/// A victim that was ready `times` times for `each_ns`, of which `share` tenths were behind the hog.
fn delayed(times: u64, each_ns: u64, share: u64) -> Profile {
    let mut builder = ProfileBuilder::new();
    let victim = builder.group("app::late", TaskKind::Task, 1);
    let hog = builder.group("app::hog", TaskKind::Task, 1);
    let place = in_work(&mut builder, 13, YIELD);
    builder.row(victim, NOWHERE, State::Scheduled, times, each_ns);
    for _ in 0..times {
        builder.delay((victim, NOWHERE), Some((hog, place)), each_ns * share / 10);
        builder.delay((victim, NOWHERE), None, each_ns * (10 - share) / 10);
    }
    builder.build()
}

#[test]
fn starved_workers() {
    let found = of(&delayed(100, 20 * MS, 9));
    assert_eq!(found.len(), 1);
    let warning = &found[0];
    assert_eq!((warning.code, warning.line), ("starved_workers", 13));
    assert_eq!(
        (&warning.tasks, &warning.blockers),
        (&vec!["app::late".to_owned()], &vec!["app::hog".to_owned()])
    );
    assert_eq!(warning.numbers["scheduled_ns"], 2000 * MS);
    assert!(codes(&delayed(10, 20 * MS, 9)).is_empty(), "seldom");
    assert!(codes(&delayed(1000, 2 * MS, 9)).is_empty(), "not for long");
    assert!(codes(&delayed(100, 20 * MS, 2)).is_empty(), "no processor");
}

/// The same in the words of asyncio.
#[test]
fn event_loops_and_their_words() {
    let said = |mut profile: Profile| {
        profile.processes[0].runtime = "asyncio (CPython 3.13.0)".into();
        let mut found = of(&profile);
        assert_eq!(found.len(), 1);
        let Warning { message, advice, .. } = found.remove(0);
        assert!(!format!("{message} {advice}").contains("worker"), "{message}");
        (message, advice)
    };
    let mut builder = ProfileBuilder::new();
    let group = builder.group("app.work", TaskKind::Task, 1);
    builder.row(group, NOWHERE, State::Running, 5, 40 * MS);
    let (message, advice) = said(builder.build());
    assert!(
        message.starts_with("long polls: app.work kept its event loop for up to 40"),
        "{message}"
    );
    assert!(advice.contains("asyncio.to_thread"), "{advice}");
    let (message, advice) = said(delayed(100, 20 * MS, 9));
    assert!(message.starts_with("busy event loop: "), "{message}");
    assert!(advice.contains("asyncio.to_thread"), "{advice}");
    let put = "asyncio.queues.Queue.put @ /usr/lib/python3.13/asyncio/queues.py:125";
    let (message, _) = said(queue(1, put, MS));
    assert!(message.starts_with("full channel: "), "{message}");
}

/// `tasks` tasks wait 8 s each at this leaf, 80 times, until a task of the other group ends each wait.
fn queue(tasks: u64, leaf: &str, running_ns: u64) -> Profile {
    let mut builder = ProfileBuilder::new();
    let group = builder.group("app::work", TaskKind::Task, tasks);
    let other: GroupId = builder.group("app::other", TaskKind::Task, 1);
    let place = in_work(&mut builder, 15, leaf);
    let waker = builder.waker(Waker::Task {
        group: other,
        stack: NOWHERE,
    });
    builder
        .row(group, place, State::Waiting, 80 * tasks, 100 * MS)
        .waker = waker;
    builder.row(group, NOWHERE, State::Running, tasks, running_ns);
    builder.build()
}

#[test]
fn queues_at_locks() {
    let found = of(&queue(8, LOCK, MS));
    assert_eq!(found.len(), 1);
    assert_eq!((found[0].code, found[0].line), ("lock_convoy", 15));
    assert_eq!(found[0].blockers, ["app::other"]);
    assert!(
        found[0].message.contains("on average 6.4 of 8 tasks"),
        "{}",
        found[0].message
    );
    assert!(codes(&queue(2, LOCK, MS)).is_empty());
    assert!(codes(&queue(8, SLEEP, MS)).is_empty());
}

#[test]
fn full_channels() {
    let found = of(&queue(1, SEND, MS));
    assert_eq!(found.len(), 1);
    assert_eq!((found[0].code, found[0].line), ("full_channel", 15));
    assert_eq!(found[0].blockers, ["app::other"]);
    let receive = "tokio::sync::mpsc::bounded::Receiver<T>::recv::{{closure}}";
    assert!(
        codes(&queue(8, receive, MS)).is_empty(),
        "an empty channel is no trouble"
    );
}

#[test]
fn text_is_wrapped_at_words() {
    let word = "word ".repeat(50);
    let text = wrapped(&word, "  ", "    ");
    assert!(text.lines().all(|line| line.chars().count() <= super::LINE_WIDTH));
    assert_eq!(text.split_whitespace().count(), 50);
    let figures = wrapped(&"up to 10.5 ms or ".repeat(20), "", "");
    assert_eq!(figures.matches("10.5 ms").count(), 20, "{figures}");
    let long = "x".repeat(200);
    assert_eq!(
        wrapped(&format!("a {long} b"), "", " "),
        format!("a\n {long}\n b\n")
    );
}
