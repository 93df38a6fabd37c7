//! Profiles for property tests: any that [`Profile::check`] accepts, small enough to shrink.

use proptest::collection::{btree_map, vec};
use proptest::prelude::*;

use super::model::*;
use super::stats::Stats;

const WINDOW_NS: u64 = 1_000_000_000;
const WINDOWS: u32 = 50;

/// How many entries each table has; what refers to it picks below that.
#[derive(Clone, Copy, Debug)]
struct Sizes {
    processes: u32,
    modules: u32,
    strings: u32,
    frames: u32,
    stacks: u32,
    groups: u32,
    wakers: u32,
    label_sets: u32,
}

pub(crate) fn profile() -> impl Strategy<Value = Profile> {
    (
        1..3u32,
        1..4u32,
        1..6u32,
        1..8u32,
        1..8u32,
        1..5u32,
        1..5u32,
        1..4u32,
    )
        .prop_map(
            |(processes, modules, strings, frames, stacks, groups, wakers, label_sets)| Sizes {
                processes,
                modules,
                strings,
                frames,
                stacks,
                groups,
                wakers,
                label_sets,
            },
        )
        .prop_flat_map(tables)
}

fn tables(sizes: Sizes) -> impl Strategy<Value = Profile> {
    let exactly = |n: u32| n as usize..=n as usize;
    let described = (
        meta(),
        quality(),
        vec(process(), exactly(sizes.processes)),
        vec(module(), exactly(sizes.modules)),
    );
    let named = (
        vec(text(), exactly(sizes.strings - 1)),
        vec(frame(sizes), exactly(sizes.frames)),
        vec(
            vec((0..sizes.frames).prop_map(FrameId), 0..6),
            exactly(sizes.stacks - 1),
        ),
    );
    let measured = (
        vec(group(sizes), exactly(sizes.groups)),
        vec(waker(sizes), exactly(sizes.wakers - 1)),
        vec(row(sizes), 0..12),
        vec(long_poll(sizes), 0..4),
        vec(open_wait(sizes), 0..4),
        vec(delay(sizes), 0..4),
        vec(vec(label(sizes), 0..3), exactly(sizes.label_sets - 1)),
        vec(work(sizes), 0..4),
    );
    (described, named, measured).prop_map(|(described, named, measured)| {
        let (meta, quality, processes, modules) = described;
        let (strings, frames, stacks) = named;
        let (groups, wakers, rows, longest_polls, open_waits, delays, label_sets, work) = measured;
        let mut profile = Profile {
            meta,
            quality,
            processes,
            modules,
            frames,
            groups,
            rows,
            longest_polls,
            open_waits,
            delays,
            work,
            ..Profile::empty()
        };
        for (at, group) in profile.groups.iter_mut().enumerate() {
            group.parent = group.parent.filter(|parent| parent.index() < at);
        }
        profile.strings.extend(strings);
        profile.stacks.extend(stacks);
        profile.wakers.extend(wakers);
        profile.label_sets.extend(label_sets);
        profile
    })
}

fn text() -> impl Strategy<Value = String> {
    prop_oneof!["[a-z:<>{}#0-9 ]{0,30}", any::<String>()]
}

fn meta() -> impl Strategy<Value = Meta> {
    (text(), vec(text(), 0..4), any::<u64>()).prop_map(|(asyncprof_version, command, started_unix_ns)| Meta {
        asyncprof_version,
        command,
        started_unix_ns,
        duration_ns: u64::from(WINDOWS) * WINDOW_NS,
        window_ns: WINDOW_NS,
    })
}

fn quality() -> impl Strategy<Value = Quality> {
    (
        any::<[u64; 16]>(),
        any::<(u32, u32, u32)>(),
        text(),
        vec(text(), 0..3),
    )
        .prop_map(|(counts, frames, clock, notes)| {
            let [
                events,
                events_lost,
                threads_lost,
                stacks_lost,
                tasks_seen_late,
                wakes_unseen,
                waits_split,
                samples,
                labels_lost,
                tasks_recorded,
                tasks_left_out,
                heaviest_task,
                tasks_cut_short,
                stacks_left_out,
                overhead_ns,
                program_cpu_ns,
            ] = counts;
            Quality {
                events,
                events_lost,
                threads_lost,
                stacks_lost,
                tasks_seen_late,
                wakes_unseen,
                waits_split,
                frames_total: u64::from(frames.0.max(frames.1)),
                frames_unsymbolised: u64::from(frames.0.min(frames.1)),
                sampling_hz: frames.2,
                samples,
                labels_lost,
                tasks_recorded,
                tasks_left_out,
                heaviest_task,
                tasks_cut_short,
                stacks_left_out,
                overhead_ns,
                program_cpu_ns,
                clock,
                notes,
            }
        })
}

fn process() -> impl Strategy<Value = Process> {
    (any::<[u32; 4]>(), text(), any::<u64>(), text()).prop_map(
        |(numbers, executable, started_ns, runtime)| {
            let [pid, parent_pid, task_tables, waker_tables] = numbers;
            Process {
                pid,
                parent_pid,
                executable,
                started_ns,
                runtime,
                task_tables,
                waker_tables,
            }
        },
    )
}

fn module() -> impl Strategy<Value = Module> {
    (text(), "[0-9a-f]{0,40}").prop_map(|(path, build_id)| Module { path, build_id })
}

fn frame(sizes: Sizes) -> impl Strategy<Value = Frame> {
    let string = || (0..sizes.strings).prop_map(StringId);
    let function =
        (string(), string(), any::<u32>()).prop_map(|(name, file, line)| Function { name, file, line });
    (
        prop::option::of((0..sizes.modules).prop_map(ModuleId)),
        any::<u64>(),
        vec(function, 0..4),
    )
        .prop_map(|(module, address, functions)| Frame {
            module,
            address,
            functions,
        })
}

fn group(sizes: Sizes) -> impl Strategy<Value = Group> {
    let kind = prop_oneof![
        Just(TaskKind::Task),
        Just(TaskKind::Root),
        Just(TaskKind::Blocking),
        Just(TaskKind::Worker)
    ];
    let ended = any::<(u32, u32, u32, u32)>();
    let parent = prop::option::of(0..sizes.groups);
    let place = (0..sizes.processes, 0..sizes.strings, 0..sizes.stacks, parent);
    (place, kind, ended, stats()).prop_map(
        |((process, name, spawn_stack, parent), kind, (completed, cancelled, panicked, alive), polls)| {
            let [completed, cancelled, panicked, alive] =
                [completed, cancelled, panicked, alive].map(u64::from);
            Group {
                process: ProcessId(process),
                name: StringId(name),
                kind,
                spawn_stack: StackId(spawn_stack),
                parent: parent.map(GroupId),
                polls,
                tasks: completed + cancelled + panicked + alive,
                completed,
                cancelled,
                panicked,
            }
        },
    )
}

fn waker(sizes: Sizes) -> impl Strategy<Value = Waker> {
    let stack = || (0..sizes.stacks).prop_map(StackId);
    prop_oneof![
        Just(Waker::Unknown),
        ((0..sizes.groups).prop_map(GroupId), stack())
            .prop_map(|(group, stack)| Waker::Task { group, stack }),
        stack().prop_map(|stack| Waker::Thread { stack }),
    ]
}

fn row(sizes: Sizes) -> impl Strategy<Value = Row> {
    let state = prop_oneof![
        Just(State::Scheduled),
        Just(State::Running),
        Just(State::OnCpu),
        Just(State::Blocked),
        Just(State::Waiting),
        Just(State::Lost)
    ];
    let windows = btree_map(0..WINDOWS, 0..=WINDOW_NS * 100, 0..5);
    (
        (
            0..sizes.groups,
            0..sizes.stacks,
            0..sizes.wakers,
            0..sizes.label_sets,
        ),
        state,
        stats(),
        any::<u64>(),
        windows,
    )
        .prop_map(
            |((group, stack, waker, labels), state, stats, open, windows)| Row {
                group: GroupId(group),
                stack: StackId(stack),
                state,
                waker: WakerId(waker),
                labels: LabelsId(labels),
                open_episodes: open % (stats.episodes + 1),
                stats,
                windows: windows.into_iter().collect(),
            },
        )
}

fn label(sizes: Sizes) -> impl Strategy<Value = Label> {
    let string = || (0..sizes.strings).prop_map(StringId);
    (string(), string()).prop_map(|(key, value)| Label { key, value })
}

fn work(sizes: Sizes) -> impl Strategy<Value = Work> {
    let windows = btree_map(0..WINDOWS, 1..1000u64, 0..5);
    let place = (
        0..sizes.processes,
        prop::option::of(0..sizes.groups),
        0..sizes.label_sets,
    );
    (place, stats(), windows).prop_map(|((process, group, labels), pieces, windows)| Work {
        process: ProcessId(process),
        group: group.map(GroupId),
        labels: LabelsId(labels),
        units: windows.values().sum(),
        pieces,
        windows: windows.into_iter().collect(),
    })
}

fn stats() -> impl Strategy<Value = Stats> {
    let durations = vec(prop_oneof![0..1_000u64, 0..WINDOW_NS * 100], 0..10);
    durations.prop_map(|durations| {
        let mut stats = Stats::default();
        durations.iter().for_each(|&duration_ns| stats.add(duration_ns));
        stats
    })
}

fn long_poll(sizes: Sizes) -> impl Strategy<Value = LongPoll> {
    let place = (0..sizes.groups, 0..sizes.stacks);
    let busy = (
        prop_oneof![Just(State::OnCpu), Just(State::Blocked)],
        0..sizes.stacks,
    );
    (place, prop::option::of(busy), any::<u32>(), any::<u32>()).prop_map(
        |((group, stack), busy, started_ns, duration_ns)| {
            let (busy, busy_stack) = busy.unwrap_or_default();
            LongPoll {
                group: GroupId(group),
                stack: StackId(stack),
                busy,
                busy_stack: StackId(busy_stack),
                started_ns: started_ns.into(),
                duration_ns: duration_ns.into(),
            }
        },
    )
}

fn delay(sizes: Sizes) -> impl Strategy<Value = Delay> {
    let stack = || (0..sizes.stacks).prop_map(StackId);
    let group = || (0..sizes.groups).prop_map(GroupId);
    let blocker = prop::option::of((group(), stack()));
    let state = prop_oneof![Just(State::Running), Just(State::OnCpu), Just(State::Blocked)];
    (group(), stack(), blocker, state, vec(0..WINDOW_NS, 1..5)).prop_map(
        |(victim, victim_stack, blocker, blocker_state, durations)| {
            let mut stats = Stats::default();
            durations.iter().for_each(|&duration_ns| stats.add(duration_ns));
            let (blocker, blocker_stack) = blocker.unzip();
            Delay {
                victim,
                victim_stack,
                blocker,
                blocker_state,
                blocker_stack: blocker_stack.unwrap_or_default(),
                stats,
            }
        },
    )
}

fn open_wait(sizes: Sizes) -> impl Strategy<Value = OpenWait> {
    let ages = vec(0..=u64::from(WINDOWS) * WINDOW_NS, 0..5);
    (0..sizes.groups, 0..sizes.stacks, any::<u32>(), ages).prop_map(|(group, stack, more, mut oldest_ns)| {
        oldest_ns.sort_unstable_by(|a, b| b.cmp(a));
        OpenWait {
            group: GroupId(group),
            stack: StackId(stack),
            tasks: oldest_ns.len() as u64 + u64::from(more) + 1,
            oldest_ns,
        }
    })
}
