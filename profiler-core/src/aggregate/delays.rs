//! Scheduling delays, and what the thread that took the task at last was doing meanwhile.
//!
//! A task that was ready from `a` until its poll began at `b` on some thread could not begin earlier there because of
//! what ran on that thread between `a` and `b`: that is charged, nanosecond by nanosecond, to those polls, and the
//! rest to nobody (the thread slept, was in the runtime, or the task was meant for another one at first). Only polls
//! without polls nested in them count: a poll that hosts others (a runtime's worker loop) is not what kept anyone.
//!
//! Each thread's last polls are remembered, long and short ones apart, so that one long poll is not forgotten for a
//! queue of short ones behind it. What lies further back is charged to nobody at all.

use std::collections::VecDeque;
use std::hash::{Hash, Hasher};

use super::HashMap;

use super::raw::{RawDelay, RawGroupId, RawStack};
use super::rows::pair;
use super::weight::Weight;
use crate::profile::{State, Stats};

/// Shorter delays are not looked at: a busy program has one at nearly every poll, and nobody notices them.
pub(super) const MIN_DELAY_NS: u64 = 100_000;

/// How many polls of [`MIN_DELAY_NS`] and longer a thread remembers. So many take so long that it costs little to go
/// through them for each delay.
pub(super) const LONG_POLLS: usize = 64;

/// Of shorter ones there are few, because all of a long queue of them are delayed.
pub(super) const SHORT_POLLS: usize = 16;

/// Pairs beyond this number are told apart by their groups only.
const MAX_STACK_PAIRS: usize = 1 << 14;

/// What a poll did: on-cpu or blocked with the stack that its samples found for longest, or running with the await
/// stack at which it ended; stacks by number.
pub(super) type Deed = (State, u32);

/// A poll that is over.
#[derive(Clone, Copy, Debug)]
pub(super) struct PastPoll {
    pub(super) start_ns: u64,
    pub(super) end_ns: u64,
    pub(super) group: RawGroupId,
    pub(super) deed: Deed,
}

/// Polls that ran, by group and what they did; None for the time in which none did.
type Blocker = Option<(RawGroupId, Deed)>;

/// The last polls of one thread.
#[derive(Clone, Debug, Default)]
pub(super) struct PastPolls {
    /// Of [`MIN_DELAY_NS`] and longer.
    long: Last,
    short: Last,
}

/// The last polls of one length, in order.
#[derive(Clone, Debug, Default)]
struct Last {
    polls: VecDeque<Remembered>,
    /// All that ended later are there.
    complete_since_ns: u64,
}

/// With what makes it cheap to add up many: polls that do the same come in rows.
#[derive(Clone, Copy, Debug)]
struct Remembered {
    poll: PastPoll,
    /// So many, up to this one, have done the same.
    alike: usize,
    /// The length of all that there were, up to this one; wraps.
    sum_ns: u64,
}

impl Last {
    fn push(&mut self, poll: PastPoll, most: usize) {
        let length_ns = poll.end_ns.saturating_sub(poll.start_ns);
        let (alike, sum_ns) = match self.polls.back() {
            Some(last) if last.poll.blocker() == poll.blocker() => (last.alike, last.sum_ns),
            Some(last) => (0, last.sum_ns),
            None => (0, 0),
        };
        if self.polls.len() == most
            && let Some(forgotten) = self.polls.pop_front()
        {
            self.complete_since_ns = forgotten.poll.end_ns;
        }
        self.polls.push_back(Remembered {
            poll,
            alike: alike + 1,
            sum_ns: sum_ns.wrapping_add(length_ns),
        });
    }

    /// The first that ended after `from_ns`.
    fn first_after(&self, from_ns: u64) -> usize {
        self.polls
            .partition_point(|remembered| remembered.poll.end_ns <= from_ns)
    }

    /// For how long the polls from `first` to `last` ran after `from_ns`; only the first may have begun earlier.
    fn ran_ns(&self, first: usize, last: usize, from_ns: u64) -> u64 {
        let (Some(first), Some(last)) = (self.polls.get(first), self.polls.get(last)) else {
            return 0;
        };
        let of_first = first.poll.end_ns.saturating_sub(first.poll.start_ns.max(from_ns));
        last.sum_ns.wrapping_sub(first.sum_ns).saturating_add(of_first)
    }

    /// For how long any ran after `from_ns`.
    fn busy_ns(&self, from_ns: u64) -> u64 {
        let last = self.polls.len().wrapping_sub(1);
        self.ran_ns(self.first_after(from_ns), last, from_ns)
    }

    /// How long each ran after `from_ns`.
    fn add_shares(&self, from_ns: u64, shares: &mut Vec<(Blocker, u64)>) {
        let begin = self.first_after(from_ns);
        let mut end = self.polls.len();
        while end > begin {
            let last = &self.polls[end - 1];
            let first = end.saturating_sub(last.alike).max(begin);
            let ns = self.ran_ns(first, end - 1, from_ns);
            let blocker = last.poll.blocker();
            match shares.iter_mut().find(|share| share.0 == blocker) {
                Some(share) => share.1 += ns,
                None => shares.push((blocker, ns)),
            }
            end = first;
        }
    }
}

impl PastPoll {
    fn blocker(&self) -> Blocker {
        Some((self.group, self.deed))
    }
}

impl PastPolls {
    pub(super) fn push(&mut self, poll: PastPoll) {
        match poll.end_ns.saturating_sub(poll.start_ns) >= MIN_DELAY_NS {
            true => self.long.push(poll, LONG_POLLS),
            false => self.short.push(poll, SHORT_POLLS),
        }
    }

    /// How long each ran from then on up to now; `shares` is cleared.
    fn since(&self, from_ns: u64, now_ns: u64, shares: &mut Vec<(Blocker, u64)>) {
        shares.clear();
        self.long.add_shares(from_ns, shares);
        self.short.add_shares(from_ns, shares);
        let known_ns = from_ns
            .max(self.long.complete_since_ns)
            .max(self.short.complete_since_ns);
        let busy_ns = if known_ns == from_ns {
            shares.iter().map(|share| share.1).sum()
        } else {
            self.long.busy_ns(known_ns) + self.short.busy_ns(known_ns)
        };
        shares.push((None, now_ns.saturating_sub(known_ns).saturating_sub(busy_ns)));
        shares.retain(|share| share.1 > 0);
    }
}

/// A task that was ready and is being polled now.
#[derive(Clone, Copy, Debug)]
pub(super) struct Victim {
    pub(super) group: RawGroupId,
    pub(super) weight: Weight,
    /// Number of the await stack whose wake-up made it ready.
    pub(super) stack: u32,
    pub(super) ready_ns: u64,
    pub(super) polled_ns: u64,
}

/// Who was delayed, with the number of the await stack whose wake-up made it ready, and by whom.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Pair {
    victim: RawGroupId,
    stack: u32,
    blocker: Blocker,
}

/// In few steps: it is done for each delay. Groups of all processes have numbers of their own.
impl Hash for Pair {
    fn hash<H: Hasher>(&self, hasher: &mut H) {
        hasher.write_u64(pair(self.victim.group, self.stack));
        if let Some((group, (state, stack))) = self.blocker {
            hasher.write_u64(pair(group.group, stack) ^ (state as u64) << 29);
        }
    }
}

/// The delays of each victim and blocker.
#[derive(Clone, Debug, Default)]
pub(super) struct Delays {
    pairs: HashMap<Pair, Stats>,
    /// Of one delay; here, so that its memory is used again.
    shares: Vec<(Blocker, u64)>,
}

impl Delays {
    pub(super) fn add(&mut self, victim: Victim, thread: &PastPolls) {
        let Victim {
            group: victim,
            weight,
            stack,
            ready_ns,
            polled_ns,
        } = victim;
        if polled_ns.saturating_sub(ready_ns) < MIN_DELAY_NS {
            return;
        }
        thread.since(ready_ns, polled_ns, &mut self.shares);
        for &(blocker, ns) in &self.shares {
            let mut pair = Pair {
                victim,
                stack,
                blocker,
            };
            if self.pairs.len() >= MAX_STACK_PAIRS && !self.pairs.contains_key(&pair) {
                pair.stack = 0;
                pair.blocker = blocker.map(|(group, _)| (group, Deed::default()));
            }
            let stats = self.pairs.entry(pair).or_default();
            stats.add_weighted(ns, weight.get());
        }
    }

    pub(super) fn begin_anew(&mut self) {
        self.pairs.clear();
    }

    /// In a fixed order.
    pub(super) fn finish(self) -> Vec<RawDelay> {
        let mut pairs: Vec<_> = self.pairs.into_iter().collect();
        pairs.sort_unstable_by_key(|(pair, _)| *pair);
        let delay = |(pair, stats): (Pair, Stats)| {
            let Pair {
                victim,
                stack,
                blocker,
            } = pair;
            let (blocker_state, blocker_stack) = blocker.map_or_else(Deed::default, |(_, deed)| deed);
            RawDelay {
                victim,
                victim_stack: RawStack::new(victim.process, stack),
                blocker: blocker.map(|(group, _)| group),
                blocker_state,
                blocker_stack: blocker.map_or_else(RawStack::default, |(group, _)| {
                    RawStack::new(group.process, blocker_stack)
                }),
                stats,
            }
        };
        pairs.into_iter().map(delay).collect()
    }
}
