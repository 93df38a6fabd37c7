//! What kind of task each table stands for, told from who polls it.

use std::collections::HashMap;

use asyncprof_core::aggregate::{RawProfile, RawStack};
use asyncprof_core::event::LIBRARY_BLOCKING;
use asyncprof_core::profile::{GroupId, LONGEST_POLLS, Profile, StackId, TaskKind, Waker};

use crate::delays::regard_kinds;

/// Loops of Python's threads that do blocking work. Only such work, and no task, is told of with the stack that calls it.
const PYTHON_POOLS: [&str; 3] = [
    "concurrent.futures.thread._worker",
    "anyio._backends._asyncio.WorkerThread.run",
    "anyio._backends._asyncio.run",
];

/// Tells blocking closures and runtimes' own worker loops from tasks, by who polls them.
pub(crate) fn task_kinds(profile: &mut Profile, raw: &RawProfile, stacks: &HashMap<RawStack, StackId>) {
    let names = |profile: &Profile, stack: Option<&StackId>| -> Vec<String> {
        let frames = stack.map_or(&[][..], |stack| profile.stack(*stack));
        let functions = frames.iter().flat_map(|frame| &profile.frame(*frame).functions);
        functions
            .map(|function| profile.string(function.name).to_owned())
            .collect()
    };
    let mut kinds = HashMap::new();
    for (&table, stack) in &raw.table_stacks {
        // The nearest of the two tells who polls: a pool's thread may itself be a scheduler's.
        let names = names(profile, stacks.get(stack));
        let pool = names
            .iter()
            .rposition(|name| name.contains("tokio::runtime::blocking::pool"));
        let scheduler = names
            .iter()
            .rposition(|name| name.contains("tokio::runtime::scheduler"));
        let is_python = names.iter().any(|name| PYTHON_POOLS.contains(&name.as_str()));
        if pool.is_some() && pool > scheduler || is_python {
            kinds.insert(table, TaskKind::Blocking);
        }
    }
    for (table, stack) in &raw.nested_tables {
        let names = names(profile, stacks.get(stack));
        if names
            .iter()
            .any(|name| name.contains("tokio::runtime::scheduler::multi_thread"))
        {
            kinds.insert(*table, TaskKind::Worker);
        }
    }
    for (group, raw) in profile.groups.iter_mut().zip(&raw.groups) {
        if raw.table == Some(LIBRARY_BLOCKING) {
            group.kind = TaskKind::Blocking;
        } else if let Some(kind) = raw.table.and_then(|table| kinds.get(&(raw.process, table))) {
            group.kind = *kind;
        }
    }
    // A worker's loop wakes on behalf of its driver: that is no task.
    for waker in &mut profile.wakers {
        if let Waker::Task { group, stack } = *waker
            && profile.groups[group.index()].kind == TaskKind::Worker
        {
            *waker = Waker::Thread { stack };
        }
    }
    regard_kinds(&mut profile.delays, &profile.groups);
    // A blocking closure is one long poll by design, a worker's loop even more so: they would take all places.
    let is_long_by_design = |group: GroupId| {
        let kind = profile.groups[group.index()].kind;
        matches!(kind, TaskKind::Worker | TaskKind::Blocking)
    };
    profile
        .longest_polls
        .retain(|poll| !is_long_by_design(poll.group));
    profile
        .longest_polls
        .sort_by_key(|poll| (std::cmp::Reverse(poll.duration_ns), poll.started_ns));
    profile.longest_polls.truncate(LONGEST_POLLS);
}
