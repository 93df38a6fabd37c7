//! The aggregate itself: a row per (group, stack, state, waker, labels), each with its totals per time window.

use std::hash::{Hash, Hasher};

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
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum RawWaker {
    #[default]
    Unknown,
    /// Woken on a thread that was polling a task of this group, if any, with the stack up to that poll.
    Seen {
        group: Option<RawGroupId>,
        stack: RawStack,
    },
}

/// In one step: it is done for each wake-up.
impl Hash for RawWaker {
    fn hash<H: Hasher>(&self, hasher: &mut H) {
        if let RawWaker::Seen { group, stack } = self {
            let group = group.map_or(u32::MAX, |group| group.group);
            hasher.write_u64(pair(group, stack.number));
        }
    }
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

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Key {
    group: RawGroupId,
    /// Number of the stack, in the group's process.
    stack: u32,
    waker: RawWakerId,
    labels: RawLabelsId,
    state: State,
}

/// In few steps: it is done for each episode. Groups of all processes have numbers of their own.
impl Hash for Key {
    fn hash<H: Hasher>(&self, hasher: &mut H) {
        hasher.write_u64(pair(self.group.group, self.stack));
        hasher.write_u64(pair(self.waker.0, self.labels.0) ^ (self.state as u64) << 29);
    }
}

/// Two numbers as one, so that they are hashed in one step.
pub(super) fn pair(low: u32, high: u32) -> u64 {
    u64::from(high) << 32 | u64::from(low)
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
    /// A thread wakes many tasks from one place.
    last_waker: (RawWaker, RawWakerId),
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
        let key = Key {
            group,
            stack: stack.number,
            waker,
            labels,
            state,
        };
        let at = match self.index.get(&key) {
            Some(&at) => at,
            None => self.begin_row(key),
        };
        let row = &mut self.rows[at as usize];
        let weight = episode.weight.get();
        row.stats
            .add_weighted(episode.end_ns.saturating_sub(episode.start_ns), weight);
        row.open_episodes += u64::from(episode.open) * weight;
        row.windows.add(episode.start_ns, episode.end_ns, weight);
    }

    #[cold]
    fn begin_row(&mut self, key: Key) -> u32 {
        let at = self.rows.len() as u32;
        self.index.insert(key, at);
        self.rows.push(Row::default());
        at
    }

    /// Forgets all but the numbers of the wakers.
    pub(super) fn begin_anew(&mut self) {
        self.index.clear();
        self.rows.clear();
    }

    pub(super) fn waker(&mut self, waker: RawWaker) -> RawWakerId {
        if waker == self.last_waker.0 {
            return self.last_waker.1;
        }
        let next = RawWakerId(self.wakers.len() as u32 + 1);
        let id = match waker {
            RawWaker::Unknown => RawWakerId::default(),
            RawWaker::Seen { .. } => *self.wakers.entry(waker).or_insert(next),
        };
        self.last_waker = (waker, id);
        id
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
            stack: RawStack::new(key.group.process, key.stack),
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
    /// Ascending.
    earlier: Vec<Window>,
    /// Time goes forward: most episodes lie within it.
    last: Window,
}

#[derive(Clone, Copy, Debug, Default)]
struct Window {
    number: u32,
    /// Of parts of it.
    ns: u64,
    /// By how much the number of episodes that cover whole windows changes here.
    change: i64,
}

impl Window {
    fn at(number: u32) -> Window {
        Window {
            number,
            ..Window::default()
        }
    }

    fn add(&mut self, ns: u64, weight: u64) {
        self.ns = self.ns.saturating_add(ns.saturating_mul(weight));
    }
}

impl Windows {
    /// Of (window number, ns in it), ascending.
    pub(super) fn of(totals: impl IntoIterator<Item = (u32, u64)>) -> Windows {
        let mut windows = Windows::default();
        for (number, ns) in totals {
            windows.at(u64::from(number)).add(ns, 1);
        }
        windows
    }

    /// An episode that stands for `weight` of them.
    #[inline]
    pub(super) fn add(&mut self, start_ns: u64, end_ns: u64, weight: u64) {
        let end_ns = end_ns.max(start_ns);
        let last_ns = u64::from(self.last.number) * WINDOW_NS;
        if start_ns >= last_ns && end_ns < last_ns + WINDOW_NS {
            self.last.add(end_ns - start_ns, weight);
        } else {
            self.add_anywhere(start_ns, end_ns, weight);
        }
    }

    #[inline(never)]
    fn add_anywhere(&mut self, start_ns: u64, end_ns: u64, weight: u64) {
        let (first, last) = (start_ns / WINDOW_NS, end_ns / WINDOW_NS);
        if first == last {
            return self.at(first).add(end_ns - start_ns, weight);
        }
        self.at(first).add((first + 1) * WINDOW_NS - start_ns, weight);
        if last > first + 1 {
            self.at(first + 1).change += weight as i64;
            self.at(last).change -= weight as i64;
        }
        self.at(last).add(end_ns - last * WINDOW_NS, weight);
    }

    fn at(&mut self, number: u64) -> &mut Window {
        let number = u32::try_from(number).unwrap_or(u32::MAX); // never above: see MAX_NS
        if number < self.last.number {
            let at = self.earlier.partition_point(|window| window.number < number);
            if self.earlier.get(at).is_none_or(|window| window.number != number) {
                self.earlier.insert(at, Window::at(number));
            }
            return &mut self.earlier[at];
        }
        if number > self.last.number {
            if self.last.ns != 0 || self.last.change != 0 {
                self.earlier.push(self.last);
            }
            self.last = Window::at(number);
        }
        &mut self.last
    }

    pub(super) fn totals(&self) -> Vec<(u32, u64)> {
        let mut totals = Vec::new();
        let mut covering = 0i64;
        let mut at = 0;
        for &Window { number, ns, change } in self.earlier.iter().chain([&self.last]) {
            if covering != 0 {
                totals.extend((at..number).map(|window| (window, covering as u64 * WINDOW_NS)));
            }
            covering += change;
            totals.push((number, ns + covering as u64 * WINDOW_NS));
            at = number + 1;
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
