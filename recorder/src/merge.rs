//! Makes one of what differs only in machine addresses: a compiler that unrolls a loop makes many spawn sites of
//! one, and two calls of one line are one place to the reader.

use std::collections::{HashMap, HashSet};
use std::hash::Hash;

use asyncprof_core::aggregate::TableId;
use asyncprof_core::profile::{
    Frame, FrameId, Function, Group, GroupId, LabelsId, ModuleId, OpenWait, ProcessId, Profile, Row, StackId,
    State, Stats, StringId, TaskKind, Waker, WakerId, Work,
};

use crate::delays::merge_delays;

/// Merges equal frames, then equal stacks, groups, wakers and rows. Keeps every total. Drops what nothing refers
/// to any more. `tables` has the task table of each group: of another table are futures of another type.
pub(crate) fn merge_equal(profile: &mut Profile, tables: &[Option<TableId>]) {
    let (frames, frame_ids) = merge_frames(&profile.frames);
    profile.frames = frames;

    let stacks = profile.stacks.iter().map(|stack| {
        stack
            .iter()
            .map(|frame| FrameId(frame_ids[frame.index()]))
            .collect()
    });
    let (stacks, stack_ids) = unique(stacks.collect::<Vec<Vec<FrameId>>>());
    profile.stacks = stacks.into_iter().collect();
    let stack_of = |stack: StackId| StackId(stack_ids[stack.index()]);

    let (groups, group_ids) = merge_groups(&profile.groups, tables, stack_of);
    profile.groups = groups;
    renumber(profile, &group_ids, stack_of);
}

/// Merges root tasks of one name: only their first await told them apart. To be called when groups have names.
pub(crate) fn merge_roots(profile: &mut Profile) {
    let mut index = HashMap::<(ProcessId, StringId), u32>::new();
    let mut distinct: Vec<Group> = Vec::new();
    let mut numbers = Vec::with_capacity(profile.groups.len());
    for group in &profile.groups {
        let next = distinct.len() as u32;
        let number = match group.kind {
            TaskKind::Root => *index.entry((group.process, group.name)).or_insert(next),
            _ => next,
        };
        if number == next {
            distinct.push(group.clone());
        } else {
            distinct[number as usize].tasks += group.tasks;
            distinct[number as usize].polls.merge(&group.polls);
        }
        numbers.push(number);
    }
    for group in &mut distinct {
        group.parent = group.parent.map(|parent| GroupId(numbers[parent.index()]));
    }
    profile.groups = distinct;
    renumber(profile, &numbers, |stack| stack);
}

/// Makes all refer to the new groups and stacks, and merges what is equal then.
fn renumber(profile: &mut Profile, group_ids: &[u32], stack_of: impl Fn(StackId) -> StackId) {
    let group_of = |group: GroupId| GroupId(group_ids[group.index()]);
    let wakers = profile.wakers.iter().map(|waker| match *waker {
        Waker::Unknown => Waker::Unknown,
        Waker::Task { group, stack } => Waker::Task {
            group: group_of(group),
            stack: stack_of(stack),
        },
        Waker::Thread { stack } => Waker::Thread {
            stack: stack_of(stack),
        },
    });
    let (wakers, waker_ids) = unique(wakers.collect());
    profile.wakers = wakers;

    for row in &mut profile.rows {
        row.group = group_of(row.group);
        row.stack = stack_of(row.stack);
        row.waker = WakerId(waker_ids[row.waker.index()]);
    }
    profile.rows = merge_rows(std::mem::take(&mut profile.rows));
    for poll in &mut profile.longest_polls {
        poll.group = group_of(poll.group);
        poll.stack = stack_of(poll.stack);
        poll.busy_stack = stack_of(poll.busy_stack);
    }
    for wait in &mut profile.open_waits {
        wait.group = group_of(wait.group);
        wait.stack = stack_of(wait.stack);
    }
    profile.open_waits = merge_open_waits(std::mem::take(&mut profile.open_waits));
    for delay in &mut profile.delays {
        delay.victim = group_of(delay.victim);
        delay.victim_stack = stack_of(delay.victim_stack);
        delay.blocker = delay.blocker.map(group_of);
        delay.blocker_stack = stack_of(delay.blocker_stack);
    }
    profile.delays = merge_delays(std::mem::take(&mut profile.delays));
    for work in &mut profile.work {
        work.group = work.group.map(group_of);
    }
    profile.work = merge_work(std::mem::take(&mut profile.work));
}

/// The distinct values in the order they first come, and for each value its number among them.
fn unique<T: Clone + Eq + Hash>(values: Vec<T>) -> (Vec<T>, Vec<u32>) {
    let mut index = HashMap::new();
    let mut distinct = Vec::new();
    let numbers = values
        .into_iter()
        .map(|value| {
            *index.entry(value).or_insert_with_key(|value| {
                distinct.push(value.clone());
                distinct.len() as u32 - 1
            })
        })
        .collect();
    (distinct, numbers)
}

fn merge_frames(frames: &[Frame]) -> (Vec<Frame>, Vec<u32>) {
    #[derive(PartialEq, Eq, Hash)]
    enum Key<'a> {
        Named(Option<ModuleId>, &'a [Function]),
        /// Nothing but its address tells it.
        Nameless(Option<ModuleId>, u64),
    }
    let mut index = HashMap::new();
    let mut distinct = Vec::new();
    let mut numbers = Vec::with_capacity(frames.len());
    for frame in frames {
        let key = match frame.functions.as_slice() {
            [] => Key::Nameless(frame.module, frame.address),
            functions => Key::Named(frame.module, functions),
        };
        numbers.push(*index.entry(key).or_insert_with(|| {
            distinct.push(frame.clone());
            distinct.len() as u32 - 1
        }));
    }
    (distinct, numbers)
}

fn merge_groups(
    groups: &[Group],
    tables: &[Option<TableId>],
    stack_of: impl Fn(StackId) -> StackId,
) -> (Vec<Group>, Vec<u32>) {
    let table_at = |at: usize| tables.get(at).copied().flatten();
    // Tasks that were never polled have no table: they are of the only type spawned there, if there is only one.
    let mut types = HashMap::<(ProcessId, StackId), HashSet<TableId>>::new();
    for (at, group) in groups.iter().enumerate() {
        let spawned = types
            .entry((group.process, stack_of(group.spawn_stack)))
            .or_default();
        spawned.extend(table_at(at));
    }
    // Parents first: a root task is heard of later than what it spawns, all others come before their children.
    let (roots, others): (Vec<usize>, Vec<usize>) =
        (0..groups.len()).partition(|&at| groups[at].kind == TaskKind::Root);
    let mut index = HashMap::<
        (
            ProcessId,
            TaskKind,
            StackId,
            Option<TableId>,
            Option<GroupId>,
            StringId,
            u32,
        ),
        u32,
    >::new();
    let mut distinct: Vec<Group> = Vec::new();
    let mut numbers = vec![0; groups.len()];
    for at in roots.into_iter().chain(others) {
        let group = &groups[at];
        let parent = group.parent.map(|parent| GroupId(numbers[parent.index()]));
        let spawn_stack = stack_of(group.spawn_stack);
        let only_type = || match types.get(&(group.process, spawn_stack)) {
            Some(types) if types.len() == 1 => types.iter().next().copied(),
            _ => None,
        };
        let table = table_at(at).or_else(only_type);
        // Without a spawn stack nothing says that two groups are one.
        let alone = if spawn_stack == StackId::default() {
            at as u32
        } else {
            u32::MAX
        };
        let number = *index
            .entry((
                group.process,
                group.kind,
                spawn_stack,
                table,
                parent,
                group.name,
                alone,
            ))
            .or_insert_with(|| {
                let counts = (0, 0, 0, 0);
                let (tasks, completed, cancelled, panicked) = counts;
                distinct.push(Group {
                    spawn_stack,
                    parent,
                    polls: Stats::default(),
                    tasks,
                    completed,
                    cancelled,
                    panicked,
                    ..group.clone()
                });
                distinct.len() as u32 - 1
            });
        let merged = &mut distinct[number as usize];
        merged.polls.merge(&group.polls);
        merged.tasks += group.tasks;
        merged.completed += group.completed;
        merged.cancelled += group.cancelled;
        merged.panicked += group.panicked;
        numbers[at] = number;
    }
    (distinct, numbers)
}

fn merge_rows(rows: Vec<Row>) -> Vec<Row> {
    let mut index = HashMap::<(GroupId, StackId, State, WakerId, LabelsId), usize>::new();
    let mut distinct: Vec<Row> = Vec::new();
    for row in rows {
        let at = *index
            .entry((row.group, row.stack, row.state, row.waker, row.labels))
            .or_insert(distinct.len());
        match distinct.get_mut(at) {
            None => distinct.push(row),
            Some(merged) => {
                merged.stats.merge(&row.stats);
                merged.open_episodes += row.open_episodes;
                merged.windows = merge_windows(&merged.windows, &row.windows).into();
            }
        }
    }
    distinct
}

fn merge_open_waits(waits: Vec<OpenWait>) -> Vec<OpenWait> {
    let mut index = HashMap::<(GroupId, StackId), usize>::new();
    let mut distinct: Vec<OpenWait> = Vec::new();
    for wait in waits {
        let at = *index.entry((wait.group, wait.stack)).or_insert(distinct.len());
        match distinct.get_mut(at) {
            None => distinct.push(wait),
            Some(merged) => {
                merged.tasks += wait.tasks;
                merged.oldest_ns.extend(wait.oldest_ns);
                merged.oldest_ns.sort_unstable_by(|a, b| b.cmp(a));
            }
        }
    }
    distinct
}

fn merge_work(work: Vec<Work>) -> Vec<Work> {
    let mut index = HashMap::<(ProcessId, Option<GroupId>, LabelsId), usize>::new();
    let mut distinct: Vec<Work> = Vec::new();
    for work in work {
        let at = *index
            .entry((work.process, work.group, work.labels))
            .or_insert(distinct.len());
        match distinct.get_mut(at) {
            None => distinct.push(work),
            Some(merged) => {
                merged.units += work.units;
                merged.pieces.merge(&work.pieces);
                merged.windows = merge_windows(&merged.windows, &work.windows);
            }
        }
    }
    distinct
}

/// Both ascending, as is the result.
fn merge_windows(a: &[(u32, u64)], b: &[(u32, u64)]) -> Vec<(u32, u64)> {
    let mut merged = Vec::with_capacity(a.len().max(b.len()));
    let (mut a, mut b) = (a.iter().copied().peekable(), b.iter().copied().peekable());
    loop {
        merged.push(match (a.peek().copied(), b.peek().copied()) {
            (Some((window, left)), Some((other, right))) if window == other => {
                a.next();
                b.next();
                (window, left + right)
            }
            (Some(left), Some(right)) if left.0 < right.0 => {
                a.next();
                left
            }
            (Some(left), None) => {
                a.next();
                left
            }
            (_, Some(right)) => {
                b.next();
                right
            }
            (None, None) => return merged,
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use asyncprof_core::profile::{Meta, Process};

    fn named(line: u32, address: u64) -> Frame {
        let function = Function {
            name: StringId(1),
            file: StringId(2),
            line,
        };
        Frame {
            module: None,
            address,
            functions: vec![function],
        }
    }

    #[test]
    fn places_that_differ_in_addresses_only_become_one() {
        let row = |group, stack, ns| {
            let mut stats = Stats::default();
            stats.add(ns);
            let (group, stack, waker) = (GroupId(group), StackId(stack), WakerId(0));
            Row {
                group,
                stack,
                state: State::Waiting,
                waker,
                labels: LabelsId(0),
                stats,
                open_episodes: 1,
                windows: [(0, ns)].into(),
            }
        };
        let group = |spawn| Group {
            spawn_stack: StackId(spawn),
            tasks: 1,
            completed: 1,
            ..Group::default()
        };
        let open = |group, stack, tasks, oldest_ns: &[u64]| OpenWait {
            group: GroupId(group),
            stack: StackId(stack),
            tasks,
            oldest_ns: oldest_ns.to_vec(),
        };
        let mut profile = Profile {
            meta: Meta {
                duration_ns: 100,
                window_ns: 1_000_000_000,
                ..Meta::default()
            },
            processes: vec![Process::default()],
            strings: ["", "app::run", "src/main.rs"].map(String::from).into(),
            frames: vec![named(7, 100), named(7, 200), named(8, 300)],
            stacks: [vec![], vec![FrameId(0)], vec![FrameId(1)], vec![FrameId(2)]]
                .into_iter()
                .collect(),
            groups: vec![
                group(1),
                group(2),
                group(3),
                group(0),
                group(0),
                group(2),
                group(1),
            ],
            wakers: vec![Waker::Unknown],
            rows: vec![
                row(0, 1, 5),
                row(1, 2, 6),
                row(2, 3, 7),
                row(3, 0, 1),
                row(4, 0, 1),
            ],
            open_waits: vec![open(0, 1, 2, &[5]), open(2, 3, 1, &[7]), open(1, 2, 1, &[6])],
            ..Profile::empty()
        };
        let tables = [Some(1), Some(1), Some(1), Some(2), Some(2), Some(3), None];
        merge_equal(&mut profile, &tables);
        assert_eq!(profile.frames.len(), 2);
        assert_eq!(
            profile.groups.iter().map(|group| group.tasks).collect::<Vec<_>>(),
            [2, 1, 1, 1, 1, 1],
            "other places, no place, another type, and one that may be of either"
        );
        assert_eq!(profile.rows.len(), 4);
        let first = &profile.rows[0];
        assert_eq!(
            (first.stats.total_ns, first.stats.episodes, first.open_episodes),
            (11, 2, 2)
        );
        assert_eq!(first.windows[..], [(0, 11)]);
        let open = profile.open_waits.iter();
        assert_eq!(
            open.map(|wait| (wait.tasks, &wait.oldest_ns[..]))
                .collect::<Vec<_>>(),
            [(3, &[6, 5][..]), (1, &[7][..])]
        );
        profile.check().unwrap();
    }

    #[test]
    fn groups_of_one_parent_become_one_and_parents_come_first() {
        let group = |kind, spawn, parent: Option<u32>| Group {
            kind,
            spawn_stack: StackId(spawn),
            parent: parent.map(GroupId),
            tasks: 1,
            ..Group::default()
        };
        let (task, root) = (TaskKind::Task, TaskKind::Root);
        let mut profile = Profile {
            processes: vec![Process::default()],
            strings: ["", "app::run", "src/main.rs"].map(String::from).into(),
            frames: vec![named(7, 100), named(7, 200), named(8, 300)],
            stacks: [vec![], vec![FrameId(0)], vec![FrameId(1)], vec![FrameId(2)]]
                .into_iter()
                .collect(),
            groups: vec![
                group(task, 1, Some(4)),
                group(task, 2, Some(4)),
                group(task, 3, Some(0)),
                group(task, 3, Some(1)),
                group(root, 0, None),
                group(task, 3, None),
            ],
            ..Profile::empty()
        };
        merge_equal(&mut profile, &[Some(1), Some(1), Some(2), Some(2), None, Some(2)]);
        let families: Vec<_> = profile
            .groups
            .iter()
            .map(|group| (group.kind, group.parent, group.tasks))
            .collect();
        let expected = [
            (root, None, 1),
            (task, Some(GroupId(0)), 2),
            (task, Some(GroupId(1)), 2),
            (task, None, 1),
        ];
        assert_eq!(families, expected);
        profile.check().unwrap();
    }

    #[test]
    fn windows_merge_in_order() {
        assert_eq!(
            merge_windows(&[(0, 1), (2, 3)], &[(1, 5), (2, 4), (9, 1)]),
            [(0, 1), (1, 5), (2, 7), (9, 1)]
        );
        assert_eq!(merge_windows(&[], &[]), []);
    }
}
