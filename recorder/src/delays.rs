//! What ran while tasks were ready: from raw numbers, by kinds of tasks, and merged.

use std::collections::HashMap;

use asyncprof_core::aggregate::{RawDelay, RawStack};
use asyncprof_core::profile::{Delay, Group, GroupId, StackId, State, TaskKind};

/// The profile's delays for the raw ones.
pub(crate) fn delays(raw: &[RawDelay], mut stack_of: impl FnMut(RawStack) -> StackId) -> Vec<Delay> {
    let delay = |raw: &RawDelay| Delay {
        victim: GroupId(raw.victim.group),
        victim_stack: stack_of(raw.victim_stack),
        blocker: raw.blocker.map(|blocker| GroupId(blocker.group)),
        blocker_state: raw.blocker_state,
        blocker_stack: stack_of(raw.blocker_stack),
        stats: raw.stats.clone(),
    };
    raw.iter().map(delay).collect()
}

/// To be called when the kinds of groups are known. A worker's loop is no task, neither kept nor keeping; a blocking
/// closure keeps its pool's thread from other closures, but no task from a worker.
pub(crate) fn regard_kinds(delays: &mut Vec<Delay>, groups: &[Group]) {
    let kind = |group: GroupId| groups[group.index()].kind;
    delays.retain(|delay| kind(delay.victim) != TaskKind::Worker);
    for delay in delays {
        let victim = kind(delay.victim);
        let is_none = |blocker: &mut GroupId| match kind(*blocker) {
            TaskKind::Worker => true,
            TaskKind::Blocking => victim != TaskKind::Blocking,
            TaskKind::Task | TaskKind::Root => false,
        };
        if delay.blocker.take_if(is_none).is_some() {
            delay.blocker_state = State::default();
            delay.blocker_stack = StackId::default();
        }
    }
}

/// One entry per victim and blocker, in the order in which they first come.
pub(crate) fn merge_delays(delays: Vec<Delay>) -> Vec<Delay> {
    let mut index = HashMap::<(GroupId, StackId, Option<GroupId>, State, StackId), usize>::new();
    let mut distinct: Vec<Delay> = Vec::new();
    for delay in delays {
        let key = (
            delay.victim,
            delay.victim_stack,
            delay.blocker,
            delay.blocker_state,
            delay.blocker_stack,
        );
        let at = *index.entry(key).or_insert(distinct.len());
        match distinct.get_mut(at) {
            None => distinct.push(delay),
            Some(merged) => merged.stats.merge(&delay.stats),
        }
    }
    distinct
}

#[cfg(test)]
mod tests {
    use super::*;
    use asyncprof_core::profile::Stats;

    #[test]
    fn only_tasks_keep_tasks_and_only_closures_keep_closures() {
        let group = |kind| Group {
            kind,
            ..Group::default()
        };
        let groups = [TaskKind::Task, TaskKind::Blocking, TaskKind::Worker].map(group);
        let delay = |victim, blocker: Option<u32>, ns| {
            let mut stats = Stats::default();
            stats.add(ns);
            Delay {
                victim: GroupId(victim),
                blocker: blocker.map(GroupId),
                blocker_stack: StackId(u32::from(blocker.is_some())),
                stats,
                ..Delay::default()
            }
        };
        let mut delays = vec![
            delay(0, Some(0), 1),
            delay(0, Some(1), 2),
            delay(0, None, 3),
            delay(0, Some(2), 4),
            delay(1, Some(1), 5),
            delay(2, Some(0), 6),
            delay(0, Some(0), 7),
        ];
        regard_kinds(&mut delays, &groups);
        let merged = merge_delays(delays);
        let told: Vec<_> = merged
            .iter()
            .map(|delay| {
                let blocker = delay.blocker.map(|group| group.0);
                (
                    delay.victim.0,
                    blocker,
                    delay.blocker_stack.0,
                    delay.stats.total_ns,
                )
            })
            .collect();
        assert_eq!(told, [(0, Some(0), 1, 8), (0, None, 0, 9), (1, Some(1), 1, 5)]);
    }
}
