//! Tests of the call tree: its shape as text, and that no nanosecond gets lost.

use std::fmt::Write;

use proptest::prelude::*;

use super::testing::ProfileBuilder;
use super::*;
use crate::profile::{GroupId, Profile, State, TaskKind, Waker};

fn outline(profile: &Profile, options: TreeOptions) -> String {
    let tree = CallTree::new(&Analysis::new(profile, &Rules::default()), &options);
    let mut text = String::new();
    for (id, depth) in tree.walk() {
        let node = tree.node(id);
        writeln!(
            text,
            "{:depth$}{} {}",
            "",
            tree.name(node),
            node.stats.total_ns,
            depth = depth * 2
        )
        .unwrap();
    }
    text
}

fn service() -> Profile {
    let mut builder = ProfileBuilder::new();
    let handler = builder.group("app::handle", TaskKind::Task, 10);
    let root = builder.group("app::main", TaskKind::Root, 1);
    let worker = builder.group("tokio worker", TaskKind::Worker, 2);
    let query = builder.group("app::query", TaskKind::Blocking, 10);
    let sleep = builder.stack(&[
        "tokio::runtime::task::raw::poll",
        "app::handle::{{closure}} @ src/main.rs:18",
        "app::fetch::{{closure}} @ src/main.rs:30",
        "<tokio::time::sleep::Sleep as core::future::future::Future>::poll",
        "<core::task::wake::Waker as core::clone::Clone>::clone",
    ]);
    let join = builder.stack(&[
        "app::handle::{{closure}} @ src/main.rs:20",
        "<tokio::runtime::task::join::JoinHandle<T> as core::future::future::Future>::poll",
    ]);
    let shutdown = builder.stack(&[
        "main",
        "app::main",
        "app::main::{{closure}}",
        "<tokio::sync::oneshot::Receiver<T> as F>::poll",
    ]);
    let done = builder.waker(Waker::Task {
        group: query,
        stack: Default::default(),
    });
    builder.row(handler, sleep, State::Waiting, 10, 100);
    builder.row(handler, join, State::Waiting, 10, 50).waker = done;
    builder.row(handler, join, State::Scheduled, 10, 5);
    builder.row(handler, Default::default(), State::Running, 20, 2);
    builder.row(root, shutdown, State::Waiting, 1, 900);
    builder.row(worker, Default::default(), State::Running, 1, 10_000);
    builder.row(query, Default::default(), State::Running, 10, 45);
    builder.build()
}

#[test]
fn tasks_of_groups() {
    let profile = service();
    let tasks = |inverted| {
        let options = TreeOptions {
            inverted,
            ..TreeOptions::default()
        };
        let tree = CallTree::new(&Analysis::new(&profile, &Rules::default()), &options);
        let counted = tree.nodes.iter().filter(|node| node.tasks > 0);
        counted
            .map(|node| (tree.name(node).to_owned(), node.tasks))
            .collect::<Vec<_>>()
    };
    let expected = [
        ("app::handle", 10),
        ("[root task] app::main", 1),
        ("[blocking task] app::query", 10),
    ];
    assert_eq!(
        tasks(false),
        expected.map(|(name, tasks)| (name.to_owned(), tasks))
    );
    assert_eq!(tasks(true), []);
}

#[test]
fn wall_clock() {
    let expected = "\
all 2940
  app::handle 1590
    app::fetch 1000
      tokio::time::sleep::Sleep::poll 1000
        [timer] 1000
    tokio::runtime::task::join::JoinHandle::poll 550
      [blocking] 500
        [blocking task] app::query 500
          [running] 500
      [scheduled] 50
    [running] 40
  [root task] app::main 900
    tokio::sync::oneshot::Receiver::poll 900
      [channel] 900
  [blocking task] app::query 450
    [running] 450
";
    assert_eq!(outline(&service(), TreeOptions::default()), expected);
}

#[test]
fn inverted_scheduling_delay() {
    let expected = "\
all 50
  [scheduled] 50
    tokio::runtime::task::join::JoinHandle::poll 50
      app::handle 50
";
    assert_eq!(
        outline(
            &service(),
            TreeOptions {
                by: By::Sched,
                inverted: true,
                ..Default::default()
            }
        ),
        expected
    );
}

#[test]
fn everything_with_the_runtime() {
    let text = outline(
        &service(),
        TreeOptions {
            by: By::Running,
            show_runtime: true,
            ..Default::default()
        },
    );
    assert!(
        text.starts_with("all 10490\n  [worker] tokio worker 10000\n"),
        "{text}"
    );
    let text = outline(
        &service(),
        TreeOptions {
            by: By::Wait,
            show_runtime: true,
            ..Default::default()
        },
    );
    assert!(text.contains("tokio::runtime::task::raw::poll 1000\n"), "{text}");
    assert!(text.contains("core::task::wake::Waker::clone 1000\n"), "{text}");
}

#[test]
fn a_wait_stands_on_who_ended_it() {
    let mut builder = ProfileBuilder::new();
    let consumer = builder.group("app::consume", TaskKind::Task, 1);
    let producer = builder.group("app::produce", TaskKind::Task, 1);
    let receive = builder.stack(&[
        "tokio::runtime::task::raw::poll",
        "app::consume::{{closure}}",
        "app::next::{{closure}}",
        "tokio::sync::mpsc::bounded::Receiver<T>::recv::{{closure}}",
    ]);
    let send = builder.stack(&[
        "app::produce::{{closure}} @ src/main.rs:9",
        "app::publish::{{closure}}",
        "tokio::sync::mpsc::bounded::Sender<T>::send::{{closure}}",
        "tokio::sync::task::atomic_waker::AtomicWaker::wake",
    ]);
    let fire = builder.stack(&["clone3", "tokio::runtime::time::Driver::process_at_time"]);
    let by_task = builder.waker(Waker::Task {
        group: producer,
        stack: send,
    });
    let by_timer = builder.waker(Waker::Thread { stack: fire });
    builder.row(consumer, receive, State::Waiting, 1, 70).waker = by_task;
    builder.row(consumer, receive, State::Waiting, 1, 30).waker = by_timer;
    builder.row(consumer, receive, State::Waiting, 1, 900);
    builder.row(consumer, receive, State::Scheduled, 1, 5).waker = by_task;
    let profile = builder.build();
    let by_wake = |inverted| {
        let by = By::Wake;
        outline(
            &profile,
            TreeOptions {
                by,
                inverted,
                ..Default::default()
            },
        )
    };
    let expected = "\
all 100
  app::consume 100
    app::next 100
      tokio::sync::mpsc::bounded::Receiver::recv 100
        -- woken by -- 100
          tokio::sync::mpsc::bounded::Sender::send 70
            app::publish 70
              app::produce 70
          [timer] 30
";
    assert_eq!(by_wake(false), expected);
    let expected = "\
all 100
  app::produce 70
    app::publish 70
      tokio::sync::mpsc::bounded::Sender::send 70
        -- woken by -- 70
          tokio::sync::mpsc::bounded::Receiver::recv 70
            app::next 70
              app::consume 70
  [timer] 30
    -- woken by -- 30
      tokio::sync::mpsc::bounded::Receiver::recv 30
        app::next 30
          app::consume 30
";
    assert_eq!(by_wake(true), expected);
}

#[test]
fn a_delay_stands_on_what_ran_meanwhile() {
    let mut builder = ProfileBuilder::new();
    let late = builder.group("app::late", TaskKind::Task, 1);
    let hog = builder.group("app::hog", TaskKind::Task, 1);
    let sleep = builder.stack(&["app::late::{{closure}}", "tokio::time::sleep::Sleep::poll"]);
    let read = builder.stack(&["app::hog::{{closure}}", "app::crunch::{{closure}}"]);
    builder.delay((late, sleep), Some((hog, read)), 70);
    builder.delay((late, sleep), None, 10);
    builder.delay((hog, Default::default()), Some((late, sleep)), 5);
    builder.row(late, sleep, State::Scheduled, 1, 80);
    let profile = builder.build();
    let options = TreeOptions {
        by: By::Delay,
        ..Default::default()
    };
    let expected = "\
all 85
  app::late 80
    tokio::time::sleep::Sleep::poll 80
      -- kept waiting by -- 80
        app::hog 70
          app::crunch 70
        [no task] 10
  app::hog 5
    -- kept waiting by -- 5
      app::late 5
        tokio::time::sleep::Sleep::poll 5
";
    assert_eq!(outline(&profile, options), expected);
}

#[test]
fn several_processes_are_told_apart() {
    let mut builder = ProfileBuilder::new();
    let second = builder.process("/usr/bin/other");
    let a = builder.group("a", TaskKind::Task, 1);
    let b = builder.group("b", TaskKind::Task, 1);
    builder.group_mut(b).process = second;
    builder.row(a, Default::default(), State::Running, 1, 2);
    builder.row(b, Default::default(), State::Running, 1, 1);
    let expected = "\
all 3
  app [process 4242] 2
    a 2
      [running] 2
  other [process 0] 1
    b 1
      [running] 1
";
    assert_eq!(outline(&builder.build(), TreeOptions::default()), expected);
}

/// A root task that spawns connections, and connections that spawn jobs, from two places.
fn family() -> Profile {
    let mut builder = ProfileBuilder::new();
    let main = builder.group("app::main", TaskKind::Root, 1);
    let connection = builder.group("app::serve", TaskKind::Task, 2);
    let job = builder.group("app::job", TaskKind::Task, 6);
    let stray = builder.group("app::job", TaskKind::Task, 1);
    let accept = builder.stack(&[
        "main",
        "tokio::runtime::runtime::Runtime::block_on",
        "app::main::{{closure}}",
    ]);
    let accept_loop = builder.stack(&[
        "app::main::{{closure}}",
        "app::accept::{{closure}}",
        "tokio::task::spawn",
    ]);
    let start = builder.stack(&["app::serve::{{closure}}", "app::start_job", "tokio::task::spawn"]);
    for (group, spawn_stack, parent) in [(connection, accept_loop, main), (job, start, connection)] {
        let group = builder.group_mut(group);
        group.spawn_stack = spawn_stack;
        group.parent = Some(parent);
    }
    builder.group_mut(stray).spawn_stack = start;
    let nap = builder.stack(&["app::job::{{closure}}", "tokio::time::sleep::Sleep::poll"]);
    builder.row(main, accept, State::Running, 1, 1);
    builder.row(connection, Default::default(), State::Running, 2, 10);
    builder.row(job, nap, State::Waiting, 6, 100);
    builder.row(stray, nap, State::Waiting, 1, 7);
    builder.build()
}

fn grouped(group_by: GroupBy) -> String {
    outline(
        &family(),
        TreeOptions {
            group_by,
            ..Default::default()
        },
    )
}

#[test]
fn tasks_stand_on_what_spawned_them() {
    let spawn = grouped(GroupBy::Spawn);
    assert!(
        spawn.contains("  app::serve 607\n    app::start_job 607\n      app::job 607\n"),
        "{spawn}"
    );
    let expected = "\
all 628
  [root task] app::main 621
    app::accept 620
      app::serve 620
        app::start_job 600
          app::job 600
            tokio::time::sleep::Sleep::poll 600
              [timer] 600
        [running] 20
    [running] 1
  app::serve 7
    app::start_job 7
      app::job 7
        tokio::time::sleep::Sleep::poll 7
          [timer] 7
";
    assert_eq!(grouped(GroupBy::Tree), expected);
}

#[test]
fn stacks_without_tasks() {
    let expected = "\
all 628
  app::job 607
    tokio::time::sleep::Sleep::poll 607
      [timer] 607
  [running] 20
  app::main 1
    [running] 1
";
    assert_eq!(grouped(GroupBy::None), expected);
    let process = grouped(GroupBy::Process);
    assert!(
        process.starts_with("all 628\n  app [process 4242] 628\n    app::job 607\n"),
        "{process}"
    );
}

#[test]
fn a_parent_is_as_long_as_itself() {
    let profile = family();
    let group_by = GroupBy::Tree;
    let tree = CallTree::new(
        &Analysis::new(&profile, &Rules::default()),
        &TreeOptions {
            group_by,
            ..Default::default()
        },
    );
    let groups = tree.nodes.iter().filter(|node| node.tasks > 0);
    let mut tasks: Vec<_> = groups
        .map(|node| (tree.name(node), node.tasks, node.own_ns))
        .collect();
    tasks.sort();
    let expected = [
        ("[root task] app::main", 1, 1),
        ("app::job", 1, 7),
        ("app::job", 6, 600),
        ("app::serve", 2, 20),
    ];
    assert_eq!(tasks, expected);
}

/// A batch that joins workers, which join helpers; and a walk that joins itself.
fn joins() -> Profile {
    let mut builder = ProfileBuilder::new();
    const JOIN: &str = "<tokio::runtime::task::join::JoinHandle<T> as core::future::future::Future>::poll";
    let [batch, worker, helper, walk] = ["app::batch", "app::work", "app::help", "app::walk"]
        .map(|name| builder.group(name, TaskKind::Task, 1));
    let [in_batch, in_worker, in_walk] = [
        "app::batch::{{closure}}",
        "app::work::{{closure}}",
        "app::walk::{{closure}}",
    ]
    .map(|function| builder.stack(&[function, JOIN]));
    let nap = builder.stack(&["app::help::{{closure}}", "tokio::time::sleep::Sleep::poll"]);
    let [by_worker, by_helper, by_walk] = [worker, helper, walk].map(|group| {
        let stack = Default::default();
        builder.waker(Waker::Task { group, stack })
    });
    builder.row(batch, in_batch, State::Waiting, 1, 1000).waker = by_worker;
    builder.row(worker, in_worker, State::Waiting, 1, 20).waker = by_helper;
    builder.row(worker, Default::default(), State::Running, 1, 10);
    builder.row(helper, nap, State::Waiting, 1, 5);
    builder.row(helper, Default::default(), State::Running, 1, 2);
    builder.row(walk, in_walk, State::Waiting, 1, 4).waker = by_walk;
    builder.build()
}

#[test]
fn a_wait_goes_on_in_what_the_awaited_task_did() {
    // Thirds and sevenths: no nanosecond may get lost.
    let expected = "\
all 1041
  app::batch 1000
    tokio::runtime::task::join::JoinHandle::poll 1000
      [join] 1000
        app::work 1000
          tokio::runtime::task::join::JoinHandle::poll 667
            [join] 667
              app::help 667
                tokio::time::sleep::Sleep::poll 477
                  [timer] 477
                [running] 190
          [running] 333
  app::work 30
    tokio::runtime::task::join::JoinHandle::poll 20
      [join] 20
        app::help 20
          tokio::time::sleep::Sleep::poll 15
            [timer] 15
          [running] 5
    [running] 10
  app::help 7
    tokio::time::sleep::Sleep::poll 5
      [timer] 5
    [running] 2
  app::walk 4
    tokio::runtime::task::join::JoinHandle::poll 4
      [join] 4
        app::walk (again) 4
";
    let by = |group_by, inverted| {
        let options = TreeOptions {
            group_by,
            inverted,
            ..Default::default()
        };
        outline(&joins(), options)
    };
    assert_eq!(by(GroupBy::Tree, false), expected);
    let plain = [
        by(GroupBy::Task, false),
        by(GroupBy::Tree, true),
        by(GroupBy::None, false),
    ];
    for plain in plain {
        assert!(
            !plain.contains("app::work 1000") && !plain.contains("(again)"),
            "{plain}"
        );
    }
}

#[test]
fn only_a_blocking_task_explains_a_wait_for_a_file() {
    let outline_of = |kind| {
        let mut builder = ProfileBuilder::new();
        let reader = builder.group("app::read", TaskKind::Task, 1);
        let other = builder.group("app::other", kind, 1);
        let stack = builder.stack(&[
            "app::read::{{closure}}",
            "tokio::fs::read::{{closure}}",
            "<tokio::runtime::task::join::JoinHandle<T> as core::future::future::Future>::poll",
        ]);
        let stack_of_wake = Default::default();
        let waker = builder.waker(Waker::Task {
            group: other,
            stack: stack_of_wake,
        });
        builder.row(reader, stack, State::Waiting, 1, 9).waker = waker;
        builder.row(other, Default::default(), State::Running, 1, 3);
        outline(&builder.build(), TreeOptions::default())
    };
    let by_blocking = outline_of(TaskKind::Blocking);
    assert!(by_blocking.contains("[io] 9\n"), "{by_blocking}");
    assert!(
        by_blocking.contains("[blocking task] app::other 9\n"),
        "{by_blocking}"
    );
    let by_task = outline_of(TaskKind::Task);
    assert!(!by_task.contains("app::other 9\n"), "{by_task}");
}

#[test]
fn lines_of_a_frame_are_kept() {
    let profile = service();
    let analysis = Analysis::new(&profile, &Rules::default());
    let tree = CallTree::new(&analysis, &TreeOptions::default());
    let handler = tree.node(tree.root().children[0]);
    let lines: Vec<_> = handler
        .places
        .iter()
        .map(|&(place, ns)| (analysis.place_text(place), ns))
        .collect();
    assert_eq!(
        lines,
        [
            ("src/main.rs:18".to_owned(), 1000),
            ("src/main.rs:20".to_owned(), 550)
        ]
    );
}

#[test]
fn deep_stacks_do_not_overflow_ours() {
    let mut builder = ProfileBuilder::new();
    let group = builder.group("deep", TaskKind::Task, 1);
    let stack = builder.stack(&["app::recurse::{async_fn#0}"; 100_000]);
    builder.row(group, stack, State::Waiting, 1, 7);
    let tree = CallTree::new(
        &Analysis::new(&builder.build(), &Rules::default()),
        &TreeOptions::default(),
    );
    assert_eq!(tree.nodes.len(), 100_003);
    assert_eq!(tree.root().stats.total_ns, 7);
}

const FUNCTIONS: [&str; 9] = [
    "tokio::runtime::task::join::JoinHandle<T>::poll",
    "tokio::runtime::task::raw::poll",
    "app::a::{{closure}}",
    "app::b::{async_fn#0} @ src/b.rs:3",
    "app::a::{{closure}}::{{closure}}",
    "tokio::time::sleep::Sleep::poll",
    "hyper::proto::h1::conn::poll",
    "tokio::sync::batch_semaphore::Acquire::poll",
    "core::task::wake::Waker::clone",
];

fn any_profile() -> impl Strategy<Value = Profile> {
    let stack = prop::collection::vec(0..FUNCTIONS.len(), 0..8);
    let row = (0..4_u32, 0..6_usize, 0..4_usize, 0..4_u64, 0..1_000_000_u64);
    (prop::collection::vec(stack, 6), prop::collection::vec(row, 0..40)).prop_map(|(stacks, rows)| {
        let mut builder = ProfileBuilder::new();
        for kind in [
            TaskKind::Task,
            TaskKind::Root,
            TaskKind::Blocking,
            TaskKind::Worker,
        ] {
            builder.group("app::a", kind, 1);
        }
        let stacks: Vec<_> = stacks
            .iter()
            .map(|stack| builder.stack(&stack.iter().map(|&at| FUNCTIONS[at]).collect::<Vec<_>>()))
            .collect();
        // Each spawned the next.
        for at in 1..4_u32 {
            let group = builder.group_mut(GroupId(at));
            group.spawn_stack = stacks[at as usize];
            group.parent = Some(GroupId(at - 1));
        }
        let wakers = [
            Default::default(),
            builder.waker(Waker::Task {
                group: GroupId(2),
                stack: stacks[0],
            }),
            builder.waker(Waker::Thread { stack: stacks[1] }),
        ];
        for (group, stack, state, episodes, ns) in rows {
            let state = [State::Running, State::Scheduled, State::Waiting, State::Lost][state];
            builder
                .row(GroupId(group), stacks[stack], state, episodes, ns)
                .waker = wakers[ns as usize % wakers.len()];
        }
        builder.build()
    })
}

proptest! {
    #[test]
    fn widths_add_up(profile in any_profile(), show_runtime: bool, inverted: bool, by in 0..6_usize, group_by in 0..5_usize, min_share in 0.0..0.3) {
        let group_by = [GroupBy::Task, GroupBy::Spawn, GroupBy::Tree, GroupBy::Process, GroupBy::None][group_by];
        let by = [By::Wall, By::Wait, By::Io, By::Sched, By::Cpu, By::Wake][by];
        let analysis = Analysis::new(&profile, &Rules::default());
        let tree = CallTree::new(&analysis, &TreeOptions { by, show_runtime, inverted, group_by, exact_names: false, min_share });
        let selected = || analysis.rows(show_runtime).filter(|(row, activity)| by.selects(row, *activity));
        prop_assert_eq!(tree.root().stats.total_ns, selected().map(|(row, _)| row.stats.total_ns).sum::<u64>());
        prop_assert_eq!(tree.root().stats.episodes, selected().map(|(row, _)| row.stats.episodes).sum::<u64>());
        for node in &tree.nodes {
            let below: u64 = node.children.iter().map(|&child| tree.node(child).stats.total_ns).sum();
            prop_assert_eq!(node.stats.total_ns, node.self_ns + below);
            prop_assert_eq!(node.stats.total_ns, node.shares.total_ns());
            if !inverted && matches!(node.kind, FrameKind::State(_)) && !node.children.is_empty() {
                // Waits in the same frame whose waker was not seen, or did nothing, do not go on.
                prop_assert!(node.children.iter().all(|&child| tree.node(child).is_continued));
            }
        }
        prop_assert_eq!(tree.walk().count(), tree.nodes.len());
    }
}
