//! Splits the running of polls into what samples of their threads' stacks have found.
//!
//! A poll that is long enough to be hit for certain is split by its own samples, exactly to its length. Of shorter
//! polls only some are hit, longer ones more often: those of a group are taken together, and their samples split
//! the sum (those with other labels by themselves). Samples that stand for far less time than there is (a thread that did not answer) stand for no more
//! than themselves; the rest stays running, unsplit.

use std::collections::BTreeMap;
use std::hash::{Hash, Hasher};

use super::HashMap;

use super::labels::RawLabelsId;
use super::raw::{RawGroupId, RawStack};
use super::rows::{Episode, RawRow, RawWakerId, Rows, Windows, pair};
use super::weight::Weight;
use crate::profile::{State, Stats};

/// Polls of at least so many sampling periods are hit for certain, whenever the next sample comes.
const CERTAIN_PERIODS: u64 = 2;
/// How many times their own weight samples may stand for: chance alone makes a few samples stand for more or for
/// less, but missing answers must not be made up.
const MAX_SCALE: u64 = 4;
/// Longer polls are charged in parts, so that their samples take bounded memory and lie in their time windows.
const MAX_RUNS: usize = 512;

/// Consecutive samples of one poll that found the same.
#[derive(Clone, Copy, Debug)]
struct Run {
    state: State,
    stack: u32,
    weight_ns: u64,
}

/// The samples of one running poll, in the order of time.
#[derive(Clone, Debug, Default)]
pub(super) struct PollSamples {
    runs: Vec<Run>,
    /// The poll was so long that it has been charged in part.
    is_part: bool,
    /// Weights of what has been charged.
    charged: BTreeMap<(State, u32), u64>,
}

impl PollSamples {
    /// Returns whether the poll should be charged now.
    pub(super) fn add(&mut self, state: State, stack: u32, weight_ns: u64) -> bool {
        match self.runs.last_mut() {
            Some(last) if (last.state, last.stack) == (state, stack) => last.weight_ns += weight_ns,
            _ => self.runs.push(Run {
                state,
                stack,
                weight_ns,
            }),
        }
        self.runs.len() >= MAX_RUNS
    }

    /// Whether the poll was so long that it has been charged in part.
    pub(super) fn is_part(&self) -> bool {
        self.is_part
    }

    /// The poll has been charged up to here, because it is so long or for another reason.
    pub(super) fn charged(&mut self, is_long: bool) {
        self.is_part |= is_long;
        for run in self.runs.drain(..) {
            *self.charged.entry((run.state, run.stack)).or_default() += run.weight_ns;
        }
    }

    fn weight_ns(&self) -> u64 {
        self.runs.iter().map(|run| run.weight_ns).sum()
    }

    /// What was found for longest: (on-cpu or blocked, number of the stack).
    fn heaviest(&self) -> Option<(State, u32)> {
        let mut weights = self.charged.clone();
        for run in &self.runs {
            *weights.entry((run.state, run.stack)).or_default() += run.weight_ns;
        }
        let heaviest = weights.into_iter().max_by_key(|&(_, weight)| weight)?;
        Some(heaviest.0)
    }
}

/// A stretch of running to be charged.
#[derive(Clone, Copy, Debug)]
pub(super) struct Stretch {
    pub(super) group: RawGroupId,
    pub(super) labels: RawLabelsId,
    pub(super) start_ns: u64,
    pub(super) end_ns: u64,
    /// Not seen to end.
    pub(super) open: bool,
    /// A poll from its start to its end.
    pub(super) is_whole: bool,
    /// Part of a poll that is so long that it is charged in parts.
    pub(super) is_part: bool,
    /// Of the task.
    pub(super) weight: Weight,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct PoolKey {
    group: RawGroupId,
    labels: RawLabelsId,
}

/// In one step: it is done for each poll.
impl Hash for PoolKey {
    fn hash<H: Hasher>(&self, hasher: &mut H) {
        hasher.write_u64(pair(self.group.group, self.labels.0));
    }
}

/// Short polls of one group with the same labels.
#[derive(Clone, Debug, Default)]
struct Pool {
    /// Of whole polls: they are polls of the group, too, so each is added to one place only.
    polls: Stats,
    /// Of other stretches.
    parts: Stats,
    windows: Windows,
    open_episodes: u64,
    found: BTreeMap<(State, u32), Found>,
}

/// Samples that found the same, each as often as its task counts.
#[derive(Clone, Copy, Debug, Default)]
struct Found {
    samples: u64,
    /// As in [`Stats::excess`].
    excess: u64,
    /// The time that they stand for.
    weight_ns: u64,
}

impl Found {
    fn add(&mut self, weight_ns: u64, of_task: u64) {
        self.samples += of_task;
        self.excess += of_task * (of_task - 1);
        self.weight_ns = self.weight_ns.saturating_add(weight_ns.saturating_mul(of_task));
    }
}

/// The ring whose thread polls, and when the poll began.
pub(super) type PollKey = (usize, u64);

/// Running, split.
#[derive(Clone, Debug, Default)]
pub(super) struct Running {
    /// 0: nothing is sampled.
    period_ns: u64,
    /// Of the running polls that have any.
    samples: HashMap<PollKey, PollSamples>,
    pools: HashMap<PoolKey, Pool>,
}

impl Running {
    pub(super) fn set_period(&mut self, period_ns: u64) {
        self.period_ns = period_ns;
    }

    pub(super) fn period_ns(&self) -> u64 {
        self.period_ns
    }

    pub(super) fn samples(&mut self, poll: PollKey) -> &mut PollSamples {
        self.samples.entry(poll).or_default()
    }

    #[inline]
    pub(super) fn take_samples(&mut self, poll: PollKey) -> Option<PollSamples> {
        if self.samples.is_empty() {
            return None;
        }
        self.samples.remove(&poll)
    }

    /// What a running poll's samples have found for longest.
    #[inline]
    pub(super) fn heaviest(&self, poll: PollKey) -> Option<(State, u32)> {
        if self.samples.is_empty() {
            return None;
        }
        self.samples.get(&poll)?.heaviest()
    }

    /// Returns whether a whole poll was counted with it.
    pub(super) fn charge(
        &mut self,
        rows: &mut Rows,
        stretch: Stretch,
        samples: Option<&PollSamples>,
    ) -> bool {
        let length_ns = stretch.end_ns - stretch.start_ns;
        let is_short = !stretch.is_part && length_ns < self.period_ns.saturating_mul(CERTAIN_PERIODS);
        if is_short {
            let key = PoolKey {
                group: stretch.group,
                labels: stretch.labels,
            };
            let pool = self.pools.entry(key).or_default();
            #[cfg(test)]
            rows.probe
                .episodes
                .push(stretch.episode(State::Running, 0, stretch.start_ns..stretch.end_ns));
            let weight = stretch.weight.get();
            let stats = match stretch.is_whole {
                true => &mut pool.polls,
                false => &mut pool.parts,
            };
            stats.add_weighted(length_ns, weight);
            pool.windows.add(stretch.start_ns, stretch.end_ns, weight);
            pool.open_episodes += u64::from(stretch.open) * weight;
            for run in samples.into_iter().flat_map(|samples| &samples.runs) {
                let found = pool.found.entry((run.state, run.stack)).or_default();
                found.add(run.weight_ns, weight);
            }
            return stretch.is_whole;
        }
        let mut from_ns = stretch.start_ns;
        if let Some(samples) = samples {
            let weight_ns = samples.weight_ns();
            let split_ns = scaled(length_ns, weight_ns);
            let mut passed_ns = 0;
            for run in &samples.runs {
                passed_ns += run.weight_ns;
                let to_ns = stretch.start_ns + share(split_ns, passed_ns, weight_ns);
                rows.add(stretch.episode(run.state, run.stack, from_ns..to_ns));
                from_ns = to_ns;
            }
        }
        if from_ns < stretch.end_ns || samples.is_none_or(|samples| samples.runs.is_empty()) {
            rows.add(stretch.episode(State::Running, 0, from_ns..stretch.end_ns));
        }
        false
    }

    /// What short polls add to the rows, and (`polls_of`) to the polls of each group.
    pub(super) fn finish(self, mut polls_of: impl FnMut(RawGroupId, &Stats)) -> Vec<RawRow> {
        let rows = |(key, pool): (PoolKey, Pool)| {
            polls_of(key.group, &pool.polls);
            pool.rows(key.group, key.labels)
        };
        self.pools.into_iter().flat_map(rows).collect()
    }
}

impl Stretch {
    fn episode(&self, state: State, stack: u32, range: std::ops::Range<u64>) -> Episode {
        Episode {
            group: self.group,
            stack: RawStack::new(self.group.process, stack),
            state,
            waker: RawWakerId::default(),
            labels: self.labels,
            start_ns: range.start,
            end_ns: range.end,
            open: self.open && range.end == self.end_ns,
            weight: self.weight,
        }
    }
}

impl Pool {
    fn rows(self, group: RawGroupId, labels: RawLabelsId) -> Vec<RawRow> {
        let row = |state, stack, stats, open_episodes, windows| RawRow {
            group,
            stack: RawStack::new(group.process, stack),
            state,
            waker: RawWakerId::default(),
            labels,
            stats,
            open_episodes,
            windows,
        };
        let mut all = self.polls;
        all.merge(&self.parts);
        let weight_ns: u64 = self.found.values().map(|found| found.weight_ns).sum();
        let total_ns = all.total_ns;
        let split_ns = scaled(total_ns, weight_ns);
        if split_ns == 0 {
            return vec![row(State::Running, 0, all, self.open_episodes, self.windows)];
        }
        let mut rest = self.windows.totals();
        let mut rows = Vec::new();
        let mut passed_ns = 0;
        for ((state, stack), found) in self.found {
            // Of each window its part of what is split, and of that the part that this sample's weight has.
            let part = |ns, passed_ns| share(share(ns, split_ns, total_ns), passed_ns, weight_ns);
            let of_window = |(window, ns)| {
                (
                    window,
                    part(ns, passed_ns + found.weight_ns) - part(ns, passed_ns),
                )
            };
            let own: Vec<(u32, u64)> = self.windows.totals().into_iter().map(of_window).collect();
            for (rest, own) in rest.iter_mut().zip(&own) {
                rest.1 -= own.1;
            }
            passed_ns += found.weight_ns;
            let own_ns = own.iter().map(|window| window.1).sum();
            if own_ns > 0 {
                rows.push(row(
                    state,
                    stack,
                    Stats::even(found.samples, found.excess, own_ns),
                    0,
                    Windows::of(own),
                ));
            }
        }
        let rest_ns = rest.iter().map(|window| window.1).sum();
        if rest_ns > 0 {
            let stats = Stats::even(all.episodes, all.excess, rest_ns);
            rows.push(row(
                State::Running,
                0,
                stats,
                self.open_episodes,
                Windows::of(rest),
            ));
        }
        rows
    }
}

/// How much of the time samples of this weight stand for.
fn scaled(length_ns: u64, weight_ns: u64) -> u64 {
    if weight_ns.saturating_mul(MAX_SCALE) >= length_ns {
        length_ns
    } else {
        weight_ns
    }
}

/// `ns · part / whole`, rounded down; 0 of nothing.
fn share(ns: u64, part: u64, whole: u64) -> u64 {
    let product = u128::from(ns) * u128::from(part);
    product.checked_div(u128::from(whole)).unwrap_or(0) as u64
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const PERIOD_NS: u64 = 1_000_000;
    const GROUP: RawGroupId = RawGroupId { process: 0, group: 0 };

    /// A poll's length in ns, and its samples: state, stack, weight in ns.
    type Poll = (u64, Vec<(State, u32, u64)>);

    fn totals(polls: &[Poll]) -> BTreeMap<(State, u32), u64> {
        let (mut rows, mut running) = (Rows::default(), Running::default());
        running.set_period(PERIOD_NS);
        let mut at_ns = 0;
        for (length_ns, samples) in polls {
            let mut of_poll = PollSamples::default();
            for &(state, stack, weight_ns) in samples {
                of_poll.add(state, stack, weight_ns);
            }
            let stretch = Stretch {
                group: GROUP,
                labels: RawLabelsId::default(),
                start_ns: at_ns,
                end_ns: at_ns + length_ns,
                open: false,
                is_whole: true,
                is_part: false,
                weight: Weight::default(),
            };
            running.charge(&mut rows, stretch, Some(&of_poll));
            at_ns += length_ns;
        }
        let (rows, _) = rows.finish();
        let mut totals = BTreeMap::new();
        for row in rows.into_iter().chain(running.finish(|_, _| {})) {
            assert_eq!(
                row.windows().iter().map(|window| window.1).sum::<u64>(),
                row.stats.total_ns
            );
            *totals.entry((row.state, row.stack.number)).or_default() += row.stats.total_ns;
        }
        totals
    }

    #[test]
    fn a_long_poll_is_split_to_its_exact_length() {
        let samples = vec![
            (State::OnCpu, 1, PERIOD_NS),
            (State::OnCpu, 1, PERIOD_NS),
            (State::Blocked, 2, PERIOD_NS),
        ];
        let totals = totals(&[(3_300_003, samples)]);
        assert_eq!(totals[&(State::OnCpu, 1)], 2_200_002);
        assert_eq!(totals[&(State::Blocked, 2)], 1_100_001);
        assert_eq!(totals.len(), 2);
    }

    #[test]
    fn short_polls_share_their_samples() {
        let mut polls = vec![(100_000, vec![]); 19];
        polls.push((100_000, vec![(State::OnCpu, 1, PERIOD_NS)]));
        polls.push((100_000, vec![(State::Blocked, 2, PERIOD_NS)]));
        let totals = totals(&polls);
        assert_eq!(totals[&(State::OnCpu, 1)], 1_050_000);
        assert_eq!(totals[&(State::Blocked, 2)], 1_050_000);
    }

    #[test]
    fn what_was_not_answered_is_not_made_up() {
        let totals = totals(&[(100 * PERIOD_NS, vec![(State::OnCpu, 1, PERIOD_NS)])]);
        assert_eq!(totals[&(State::OnCpu, 1)], PERIOD_NS);
        assert_eq!(totals[&(State::Running, 0)], 99 * PERIOD_NS);
    }

    proptest! {
        #[test]
        fn the_parts_add_up(polls in prop::collection::vec(
            (0..5_000_000_000u64, prop::collection::vec((prop::bool::ANY, 1..4u32, 1..9 * PERIOD_NS), 0..6)), 0..20,
        )) {
            let polls: Vec<_> = polls
                .into_iter()
                .map(|(length_ns, samples)| {
                    let state = |blocked| if blocked { State::Blocked } else { State::OnCpu };
                    let samples: Vec<_> = samples.into_iter().map(|(b, stack, ns)| (state(b), stack, ns)).collect();
                    (length_ns, samples)
                })
                .collect();
            let sum: u64 = polls.iter().map(|poll| poll.0).sum();
            prop_assert_eq!(totals(&polls).values().sum::<u64>(), sum);
        }
    }
}
