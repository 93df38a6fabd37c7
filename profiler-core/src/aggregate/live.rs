//! The tasks that live now, one by one.

use std::cmp::Reverse;

use super::aggregator::Aggregator;
use super::labels::RawLabelsId;
use super::raw::{RawGroupId, RawProfile, RawStack};
use super::rows::{Episode, RawWakerId, Rows};
use super::weight::Weight;
use crate::profile::State;

/// A task that lives.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RawLiveTask {
    pub group: RawGroupId,
    /// The runtime's id; 0 for the future under `block_on`.
    pub id: u64,
    pub state: State,
    /// Where it waits, or was woken, or left off.
    pub stack: RawStack,
    pub in_state_ns: u64,
}

impl Aggregator {
    /// At most so many of the tasks that live now, those that have been in their state for longest; and what gives
    /// them names: a profile with an open episode for each of them, and no other.
    pub fn live(&self, now_ns: u64, most: usize) -> (RawProfile, Vec<RawLiveTask>) {
        let ordinary = self.tasks.iter().map(|(key, task)| {
            let (state, stack) = task.state_and_stack();
            let since_ns = self.in_state_since(key, task.since_ns());
            (since_ns, task.group, task.id, state, stack)
        });
        let roots = self.roots.values().map(|root| {
            let (state, stack) = root.state_and_stack();
            (root.since_ns(), root.group(), 0, state, stack)
        });
        let live = ordinary
            .chain(roots)
            .map(|(since_ns, group, id, state, stack)| RawLiveTask {
                group,
                id,
                state,
                stack: RawStack::new(group.process, stack),
                in_state_ns: now_ns.saturating_sub(since_ns),
            });
        let mut live: Vec<RawLiveTask> = live.collect();
        live.sort_unstable_by_key(|task| (Reverse(task.in_state_ns), task.group, task.id));
        live.truncate(most);
        let mut rows = Rows::default();
        for task in &live {
            rows.add(Episode {
                group: task.group,
                stack: task.stack,
                state: task.state,
                waker: RawWakerId::default(),
                labels: RawLabelsId::default(),
                start_ns: now_ns.saturating_sub(task.in_state_ns),
                end_ns: now_ns,
                open: true,
                weight: Weight::default(),
            });
        }
        let (rows, wakers) = rows.finish();
        let raw = RawProfile {
            rows,
            wakers,
            groups: self.tally.groups.clone(),
            longest_polls: Vec::new(),
            open_waits: Vec::new(),
            delays: Vec::new(),
            table_stacks: self.table_stacks.clone(),
            nested_tables: self.nested_tables.clone(),
            table_names: self.table_names.clone(),
            label_sets: vec![Vec::new()],
            work: Vec::new(),
            counts: self.tally.counts,
            begun_ns: 0,
        };
        (raw, live)
    }
}
