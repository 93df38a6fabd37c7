//! Polls that keep a worker for so long that others notice: blocking calls, or work without an await.

use std::collections::{BTreeMap, HashMap};

use asyncprof_core::profile::{GroupId, Stats, TaskKind};
use asyncprof_core::view::Analysis;

use super::{Warning, named};
use crate::render::blocking::{BlockingPlace, blocking_place};
use crate::render::units;
use crate::render::words::Runtime;

/// A hundred times what a poll should take at most: all that is ready on this worker waits that long.
const LONG_NS: u64 = 10_000_000;

/// One or two of them may be the operating system's doing, that took the processor away in the midst of a poll.
const MIN_POLLS: u64 = 3;

/// For so long it hardly does.
const VERY_LONG_NS: u64 = 100_000_000;

pub(super) fn warnings(analysis: &Analysis<'_>) -> Vec<Warning> {
    // Closures of spawn_blocking are meant to block, and of a root task no poll is seen.
    let mut tasks: BTreeMap<String, (GroupId, Stats)> = BTreeMap::new();
    for (id, group) in analysis.profile.groups_with_ids() {
        if group.kind == TaskKind::Task && group.polls.max_ns >= LONG_NS {
            let tasks = tasks.entry(analysis.group_label(id));
            let (_, stats) = tasks.or_insert_with(|| (id, Stats::default()));
            stats.merge(&group.polls);
        }
    }
    let mut places = places(analysis);
    let warning = |(task, (group, stats)): (String, (GroupId, Stats))| {
        let place = places.remove(&task);
        warning(task, &stats, place, Runtime::of_group(analysis.profile, group))
    };
    tasks.into_iter().filter_map(warning).collect()
}

/// The place where the long polls of each task took most time.
fn places(analysis: &Analysis<'_>) -> HashMap<String, BlockingPlace> {
    let mut by_place: BTreeMap<(String, BlockingPlace), u64> = BTreeMap::new();
    for poll in &analysis.profile.longest_polls {
        if poll.duration_ns >= LONG_NS {
            let key = (
                analysis.group_label(poll.group),
                blocking_place(analysis, poll.deed()),
            );
            *by_place.entry(key).or_default() += poll.duration_ns;
        }
    }
    let mut by_time: Vec<_> = by_place.into_iter().collect();
    by_time.sort_by_key(|&(_, ns)| ns);
    by_time.into_iter().map(|(key, _)| key).collect()
}

fn warning(task: String, stats: &Stats, place: Option<BlockingPlace>, runtime: Runtime) -> Option<Warning> {
    let long = || stats.histogram().filter(|&(middle_ns, _)| middle_ns >= LONG_NS);
    // The longest is one of them, wherever the middle of its bucket lies.
    let polls = long().map(|(_, polls)| polls).sum::<u64>().max(1);
    if polls < MIN_POLLS && stats.max_ns < VERY_LONG_NS {
        return None;
    }
    let total_ns = long().fold(0_u64, |sum, (ns, polls)| {
        sum.saturating_add(ns.saturating_mul(polls))
    });
    let time_ns = total_ns.clamp(stats.max_ns, stats.total_ns);
    let place_words = place
        .as_ref()
        .map_or_else(String::new, |place| format!(", {}", place.words()));
    let place = place.unwrap_or_default();
    Some(Warning {
        code: "long_polls",
        message: format!(
            "long polls: {} kept its {} for up to {} at a time ({} over 10 ms, {} in all){place_words}",
            named(&task),
            runtime.worker(),
            units::duration(stats.max_ns),
            units::counted(polls, "poll"),
            units::duration(time_ns),
        ),
        advice: runtime.either(
            "move what blocks into spawn_blocking, or give way between pieces of work",
            "move what blocks into asyncio.to_thread, or give way between pieces of work (await asyncio.sleep(0))",
        ),
        function: place.function.unwrap_or_default(),
        file: place.file,
        line: place.line,
        tasks: vec![task],
        blockers: Vec::new(),
        time_ns,
        numbers: BTreeMap::from([
            ("polls", polls),
            ("longest_ns", stats.max_ns),
            ("total_ns", time_ns),
        ]),
    })
}
