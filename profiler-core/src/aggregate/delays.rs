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

use super::HashMap;

use super::raw::{RawDelay, RawGroupId, RawStack};
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
    polls: VecDeque<PastPoll>,
    /// All that ended later are there.
    complete_since_ns: u64,
}

impl Last {
    fn push(&mut self, poll: PastPoll, most: usize) {
        if self.polls.len() == most
            && let Some(forgotten) = self.polls.pop_front()
        {
            self.complete_since_ns = forgotten.end_ns;
        }
        self.polls.push_back(poll);
    }

    /// The polls that ran after `from_ns`, latest first.
    fn since(&self, from_ns: u64) -> impl Iterator<Item = &PastPoll> {
        self.polls
            .iter()
            .rev()
            .take_while(move |poll| poll.end_ns > from_ns)
    }
}

impl PastPolls {
    pub(super) fn push(&mut self, poll: PastPoll) {
        match poll.end_ns.saturating_sub(poll.start_ns) >= MIN_DELAY_NS {
            true => self.long.push(poll, LONG_POLLS),
            false => self.short.push(poll, SHORT_POLLS),
        }
    }

    /// How long each ran between the two instants; `shares` is cleared.
    fn between(&self, from_ns: u64, to_ns: u64, shares: &mut Vec<(Blocker, u64)>) {
        shares.clear();
        let complete_since_ns = self.long.complete_since_ns.max(self.short.complete_since_ns);
        let known_ns = from_ns.max(complete_since_ns);
        let mut idle_ns = to_ns.saturating_sub(known_ns);
        // `for_each`: the loop over each deque is a plain one.
        self.long
            .since(from_ns)
            .chain(self.short.since(from_ns))
            .for_each(|poll| {
                let end_ns = poll.end_ns.min(to_ns);
                let ns = end_ns.saturating_sub(poll.start_ns.max(from_ns));
                idle_ns = idle_ns.saturating_sub(end_ns.saturating_sub(poll.start_ns.max(known_ns)));
                let blocker = Some((poll.group, poll.deed));
                // From the last one: polls that do the same come in rows.
                match shares.iter_mut().rfind(|share| share.0 == blocker) {
                    Some(share) => share.1 += ns,
                    None => shares.push((blocker, ns)),
                }
            });
        shares.push((None, idle_ns));
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

/// The delays of each victim and blocker.
#[derive(Clone, Debug, Default)]
pub(super) struct Delays {
    pairs: HashMap<(RawGroupId, u32, Blocker), Stats>,
    /// Of one delay; here, so that its memory is used again.
    shares: Vec<(Blocker, u64)>,
}

impl Delays {
    pub(super) fn add(&mut self, victim: Victim, thread: &PastPolls) {
        let Victim {
            group,
            weight,
            stack,
            ready_ns,
            polled_ns,
        } = victim;
        if polled_ns.saturating_sub(ready_ns) < MIN_DELAY_NS {
            return;
        }
        thread.between(ready_ns, polled_ns, &mut self.shares);
        for &(blocker, ns) in &self.shares {
            let mut pair = (group, stack, blocker);
            if self.pairs.len() >= MAX_STACK_PAIRS && !self.pairs.contains_key(&pair) {
                pair = (group, 0, blocker.map(|(group, _)| (group, Deed::default())));
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
        let delay = |((victim, stack, blocker), stats): ((RawGroupId, u32, Blocker), Stats)| RawDelay {
            victim,
            victim_stack: RawStack::new(victim.process, stack),
            blocker: blocker.map(|(group, _)| group),
            blocker_state: blocker.map_or_else(State::default, |(_, (state, _))| state),
            blocker_stack: blocker.map_or_else(RawStack::default, |(group, (_, stack))| {
                RawStack::new(group.process, stack)
            }),
            stats,
        };
        pairs.into_iter().map(delay).collect()
    }
}
