//! What a simulated scheduler knows of its tasks: every episode of every task.

use std::collections::BTreeMap;

use crate::aggregate::raw::RawProfile;
use crate::aggregate::rows::RawWaker;
use crate::profile::State;

/// (table or none, spawn stack).
pub(super) type Group = (Option<u16>, u32);
/// (group of the task polled on the waking thread, its stack); None if unknown.
pub(super) type Waker = Option<(Option<Group>, u32)>;

#[derive(Clone, Debug)]
pub(super) struct TrueEpisode {
    pub(super) group: Group,
    pub(super) state: State,
    pub(super) stack: u32,
    pub(super) waker: Waker,
    pub(super) start_ns: u64,
    pub(super) end_ns: u64,
    /// Where it ran.
    pub(super) ring: usize,
    pub(super) open: bool,
}

/// tasks, completed, cancelled, panicked.
pub(super) type TaskCounts = [u64; 4];

#[derive(Debug, Default)]
pub(super) struct Truth {
    pub(super) episodes: Vec<TrueEpisode>,
    pub(super) groups: BTreeMap<Group, TaskCounts>,
    pub(super) seen_late: u64,
    pub(super) splits: u64,
    /// Σ end − begin of all tasks.
    pub(super) lives_ns: u64,
    pub(super) polls: u64,
}

type RowKey = (Group, u8, u32, Waker);
/// ns, episodes, open episodes.
type RowTotals = (u64, u64, u64);

impl Truth {
    pub(super) fn rows(&self) -> BTreeMap<RowKey, RowTotals> {
        let mut rows = BTreeMap::<RowKey, RowTotals>::new();
        for e in &self.episodes {
            let row = rows
                .entry((e.group, e.state as u8, e.stack, e.waker))
                .or_default();
            row.0 += e.end_ns - e.start_ns;
            row.1 += 1;
            row.2 += u64::from(e.open);
        }
        rows
    }
}

/// The rows of a profile in the terms of the truth.
pub(super) fn rows_of(profile: &RawProfile) -> BTreeMap<RowKey, RowTotals> {
    let group = |number: u32| {
        let group = &profile.groups[number as usize];
        (group.table, group.spawn_stack.number)
    };
    let waker = |waker: RawWaker| match waker {
        RawWaker::Unknown => None,
        RawWaker::Seen { group: by, stack } => Some((by.map(|by| group(by.group)), stack.number)),
    };
    let mut rows = BTreeMap::new();
    for row in &profile.rows {
        let waker = waker(profile.wakers[row.waker.0 as usize]);
        let key = (group(row.group.group), row.state as u8, row.stack.number, waker);
        // Groups that only differ in their parents are one here.
        let totals: &mut RowTotals = rows.entry(key).or_default();
        totals.0 += row.stats.total_ns;
        totals.1 += row.stats.episodes;
        totals.2 += row.open_episodes;
    }
    rows
}

pub(super) fn counts_of(profile: &RawProfile) -> BTreeMap<Group, TaskCounts> {
    let mut counts: BTreeMap<Group, TaskCounts> = BTreeMap::new();
    for g in &profile.groups {
        let sums = counts.entry((g.table, g.spawn_stack.number)).or_default();
        let of_group = [g.tasks, g.completed, g.cancelled, g.panicked];
        sums.iter_mut()
            .zip(of_group)
            .for_each(|(sum, count)| *sum += count);
    }
    counts
}

/// The stacks to which a wait belongs that a wake-up with this tag ended, ascending, each with its share.
pub(super) fn shares(registrations: &[(u16, u32)], tag: u16) -> Vec<(u32, u64)> {
    let is_named = |r: &&(u16, u32)| tag != 0 && r.0 == tag;
    let named = registrations.iter().any(|r| is_named(&r));
    let mut shares = BTreeMap::new();
    for (_, stack) in registrations.iter().filter(|r| !named || is_named(r)) {
        *shares.entry(*stack).or_insert(0) += 1;
    }
    if shares.is_empty() {
        shares.insert(0, 1);
    }
    shares.into_iter().collect()
}
