//! The aggregate itself: a row per (group, stack, state, waker, labels), each with its totals per time window.

use super::HashMap;

use super::labels::RawLabelsId;
use super::raw::{RawGroupId, RawStack};
use super::weight::Weight;
use crate::profile::{State, Stats};

/// Length of a time window.
pub const WINDOW_NS: u64 = 1_000_000_000;

/// Later than any recording can be (136 years): times are clamped here, so that every window has a number.
pub(super) const MAX_NS: u64 = u32::MAX as u64 * WINDOW_NS;

/// Number of an interned [`RawWaker`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct RawWakerId(pub u32);

/// What ended a wait.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum RawWaker {
    #[default]
    Unknown,
    /// Woken on a thread that was polling a task of this group, if any, with the stack up to that poll.
    Seen {
        group: Option<RawGroupId>,
        stack: RawStack,
    },
}

/// One row of the aggregate.
#[derive(Clone, Debug)]
pub struct RawRow {
    pub group: RawGroupId,
    pub stack: RawStack,
    pub state: State,
    pub waker: RawWakerId,
    pub labels: RawLabelsId,
    pub stats: Stats,
    /// Episodes not seen to end: cut off by the end of the recording, or by a loss of events.
    pub open_episodes: u64,
    pub(super) windows: Windows,
}

impl RawRow {
    /// (window number, ns in it), ascending, without empty ones.
    pub fn windows(&self) -> Vec<(u32, u64)> {
        self.windows.totals()
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
struct Key {
    group: RawGroupId,
    stack: RawStack,
    state: State,
    waker: RawWakerId,
    labels: RawLabelsId,
}

#[derive(Clone, Debug, Default)]
struct Row {
    stats: Stats,
    open_episodes: u64,
    windows: Windows,
}

/// All rows.
#[derive(Clone, Debug, Default)]
pub(super) struct Rows {
    index: HashMap<Key, u32>,
    rows: Vec<Row>,
    wakers: HashMap<RawWaker, RawWakerId>,
    #[cfg(test)]
    pub(super) probe: Probe,
}

/// What tests want to know beside the totals.
#[cfg(test)]
#[derive(Clone, Debug, Default)]
pub(super) struct Probe {
    pub(super) episodes: Vec<Episode>,
    /// Per group: Σ weight · (end − begin) of its tasks.
    pub(super) lives_ns: HashMap<RawGroupId, i128>,
}

#[cfg(test)]
impl Probe {
    pub(super) fn begun(&mut self, group: RawGroupId, weight: Weight, at_ns: u64) {
        *self.lives_ns.entry(group).or_default() -= i128::from(at_ns) * i128::from(weight.get());
    }

    pub(super) fn ended(&mut self, group: RawGroupId, weight: Weight, at_ns: u64) {
        *self.lives_ns.entry(group).or_default() += i128::from(at_ns) * i128::from(weight.get());
    }
}

/// One episode of a task in one state.
#[derive(Clone, Copy, Debug)]
pub(super) struct Episode {
    pub(super) group: RawGroupId,
    pub(super) stack: RawStack,
    pub(super) state: State,
    pub(super) waker: RawWakerId,
    pub(super) labels: RawLabelsId,
    pub(super) start_ns: u64,
    pub(super) end_ns: u64,
    /// Not seen to end: cut off by the end of the recording, or by a loss of events.
    pub(super) open: bool,
    pub(super) weight: Weight,
}

impl Rows {
    pub(super) fn add(&mut self, episode: Episode) {
        #[cfg(test)]
        self.probe.episodes.push(episode);
        let Episode {
            group,
            stack,
            state,
            waker,
            labels,
            ..
        } = episode;
        let next = self.rows.len() as u32;
        let key = Key {
            group,
            stack,
            state,
            waker,
            labels,
        };
        let at = self.index.get(&key).copied().unwrap_or_else(|| {
            self.index.insert(key, next);
            self.rows.push(Row::default());
            next
        });
        let row = &mut self.rows[at as usize];
        let weight = episode.weight.get();
        row.stats
            .add_weighted(episode.end_ns.saturating_sub(episode.start_ns), weight);
        row.open_episodes += u64::from(episode.open) * weight;
        row.windows.add(episode.start_ns, episode.end_ns, weight);
    }

    /// Forgets all but the numbers of the wakers.
    pub(super) fn begin_anew(&mut self) {
        self.index.clear();
        self.rows.clear();
    }

    pub(super) fn waker(&mut self, waker: RawWaker) -> RawWakerId {
        if waker == RawWaker::Unknown {
            return RawWakerId::default();
        }
        self.wakers.get(&waker).copied().unwrap_or_else(|| {
            let next = RawWakerId(self.wakers.len() as u32 + 1);
            self.wakers.insert(waker, next);
            next
        })
    }

    pub(super) fn finish(self) -> (Vec<RawRow>, Vec<RawWaker>) {
        let mut wakers = vec![RawWaker::Unknown; self.wakers.len() + 1];
        for (waker, id) in self.wakers {
            wakers[id.0 as usize] = waker;
        }
        let mut rows: Vec<(u32, Key)> = self.index.into_iter().map(|(key, at)| (at, key)).collect();
        rows.sort_unstable_by_key(|row| row.0);
        let finished = |(row, (_, key)): (Row, (u32, Key))| RawRow {
            group: key.group,
            stack: key.stack,
            state: key.state,
            waker: key.waker,
            labels: key.labels,
            stats: row.stats,
            open_episodes: row.open_episodes,
            windows: row.windows,
        };
        (self.rows.into_iter().zip(rows).map(finished).collect(), wakers)
    }
}

/// Time per window, in constant time per episode however long it is: the windows it covers whole are kept as the
/// changes of their number.
#[derive(Clone, Debug, Default)]
pub(super) struct Windows {
    /// Per window: ns of parts of it, and by how much the number of episodes that cover it whole changes here.
    entries: Vec<(u32, u64, i64)>,
}

impl Windows {
    /// Of (window number, ns in it), ascending.
    pub(super) fn of(totals: impl IntoIterator<Item = (u32, u64)>) -> Windows {
        let entries = totals.into_iter().map(|(window, ns)| (window, ns, 0)).collect();
        Windows { entries }
    }

    /// An episode that stands for `weight` of them.
    pub(super) fn add(&mut self, start_ns: u64, end_ns: u64, weight: u64) {
        let end_ns = end_ns.max(start_ns);
        let (first, last) = (start_ns / WINDOW_NS, end_ns / WINDOW_NS);
        let mut add = |window, ns: u64| {
            let sum = &mut self.entry(window).1;
            *sum = sum.saturating_add(ns.saturating_mul(weight));
        };
        if first == last {
            return add(first, end_ns - start_ns);
        }
        add(first, (first + 1) * WINDOW_NS - start_ns);
        add(last, end_ns - last * WINDOW_NS);
        if last > first + 1 {
            self.entry(first + 1).2 += weight as i64;
            self.entry(last).2 -= weight as i64;
        }
    }

    fn entry(&mut self, window: u64) -> &mut (u32, u64, i64) {
        let window = u32::try_from(window).unwrap_or(u32::MAX); // never above: see MAX_NS
        // Time goes forward: nearly always the last one.
        let at = match self.entries.last() {
            Some(last) if last.0 == window => self.entries.len() - 1,
            Some(last) if last.0 < window => {
                self.entries.push((window, 0, 0));
                self.entries.len() - 1
            }
            _ => match self.entries.binary_search_by_key(&window, |entry| entry.0) {
                Ok(at) => at,
                Err(at) => {
                    self.entries.insert(at, (window, 0, 0));
                    at
                }
            },
        };
        &mut self.entries[at]
    }

    pub(super) fn totals(&self) -> Vec<(u32, u64)> {
        let mut totals = Vec::new();
        let mut covering = 0i64;
        let mut at = 0;
        for &(window, ns, change) in &self.entries {
            if covering != 0 {
                totals.extend((at..window).map(|window| (window, covering as u64 * WINDOW_NS)));
            }
            covering += change;
            totals.push((window, ns + covering as u64 * WINDOW_NS));
            at = window + 1;
        }
        totals.retain(|&(_, ns)| ns != 0);
        totals
    }
}

#[cfg(test)]
mod window_tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn windows_hold_what_a_naive_split_gives(episodes in prop::collection::vec((0..20 * WINDOW_NS, 0..9 * WINDOW_NS, 1..9u64), 0..30)) {
            let mut windows = Windows::default();
            let mut naive = std::collections::BTreeMap::new();
            for (start, length, weight) in episodes {
                windows.add(start, start + length, weight);
                for window in start / WINDOW_NS..=(start + length) / WINDOW_NS {
                    let overlap = (start + length).min((window + 1) * WINDOW_NS) - start.max(window * WINDOW_NS);
                    *naive.entry(window as u32).or_insert(0) += overlap * weight;
                }
            }
            naive.retain(|_, ns| *ns != 0);
            prop_assert_eq!(windows.totals(), naive.into_iter().collect::<Vec<_>>());
        }
    }
}
