//! What ran while tasks were ready, against the polls of a simulated scheduler.

use std::collections::BTreeMap;

use proptest::prelude::*;

use super::simulator::{RINGS, Rules, Simulator, Step};
use super::truth::{Group, TrueEpisode, Truth};
use super::{aggregate, event};
use crate::aggregate::delays::{LONG_POLLS, MIN_DELAY_NS, SHORT_POLLS};
use crate::aggregate::raw::RawProfile;
use crate::event::{Kind, Outcome};
use crate::profile::State;

/// (victim, its stack, blocker) to (delays, ns, longest).
type Delays = BTreeMap<(Group, u32, Option<Group>), (u64, u64, u64)>;

fn delays_of(profile: &RawProfile) -> Delays {
    let group = |number: u32| {
        let group = &profile.groups[number as usize];
        (group.table, group.spawn_stack.number)
    };
    let mut delays = Delays::new();
    for delay in &profile.delays {
        let blocker = delay.blocker.map(|blocker| group(blocker.group));
        let key = (group(delay.victim.group), delay.victim_stack.number, blocker);
        let entry = delays.entry(key).or_default();
        entry.0 += delay.stats.episodes;
        entry.1 += delay.stats.total_ns;
        entry.2 = entry.2.max(delay.stats.max_ns);
    }
    delays
}

fn overlap(poll: &TrueEpisode, delay: &TrueEpisode) -> u64 {
    let end_ns = poll.end_ns.min(delay.end_ns);
    end_ns.saturating_sub(poll.start_ns.max(delay.start_ns))
}

/// Every delay against every poll.
fn true_delays(truth: &Truth) -> Delays {
    let polls = || truth.episodes.iter().filter(|e| e.state == State::Running);
    let within = |inner: &TrueEpisode, outer: &TrueEpisode| {
        inner.ring == outer.ring && inner.start_ns > outer.start_ns && inner.end_ns <= outer.end_ns
    };
    let innermost: Vec<_> = polls()
        .filter(|outer| !polls().any(|inner| within(inner, outer)))
        .collect();
    let mut delays = Delays::new();
    let ready = truth.episodes.iter().filter(|e| e.state == State::Scheduled);
    for delay in ready.filter(|e| e.end_ns - e.start_ns >= MIN_DELAY_NS) {
        // No two things happen at one time: the poll that begins at its end is its own. None if it was cancelled.
        let Some(own) = polls().find(|poll| poll.start_ns == delay.end_ns) else {
            continue;
        };
        let mut shares = BTreeMap::<Option<Group>, u64>::new();
        for poll in innermost.iter().filter(|poll| poll.ring == own.ring) {
            *shares.entry(Some(poll.group)).or_default() += overlap(poll, delay);
        }
        let idle_ns = delay.end_ns - delay.start_ns - shares.values().sum::<u64>();
        shares.insert(None, idle_ns);
        for (blocker, ns) in shares.into_iter().filter(|share| share.1 > 0) {
            let entry = delays.entry((delay.group, delay.stack, blocker)).or_default();
            *entry = (entry.0 + 1, entry.1 + ns, entry.2.max(ns));
        }
    }
    delays
}

fn totals(delays: &Delays) -> BTreeMap<(Group, u32, Option<Group>), u64> {
    delays.iter().map(|(&key, &(_, ns, _))| (key, ns)).collect()
}

fn steps(count: usize, rings: u16) -> impl Strategy<Value = Vec<Step>> {
    let after_ns = prop_oneof![1 => 0..2000u32, 2 => 0..200_000u32];
    let who = any::<u16>().prop_map(move |who| match rings {
        1 => who / RINGS as u16 * RINGS as u16,
        _ => who,
    });
    prop::collection::vec((any::<u8>(), who, any::<u16>(), after_ns), 0..count)
}

/// A poll takes two at least.
const STEPS: usize = 2 * LONG_POLLS;

/// Whether no thread has forgotten a poll.
fn are_remembered(truth: &Truth) -> bool {
    (0..RINGS).all(|ring| {
        let is_short = |e: &&TrueEpisode| {
            e.state == State::Running && e.ring == ring && e.end_ns - e.start_ns < MIN_DELAY_NS
        };
        truth.episodes.iter().filter(is_short).count() <= SHORT_POLLS
    })
}

const RULES: Rules = Rules {
    own_groups: true,
    late_ends: false,
    unseen_spawns: false,
};

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    #[test]
    fn each_delay_is_charged_to_what_ran(steps in prop_oneof![steps(STEPS, 1), steps(STEPS, 3)]) {
        let (events, end_ns, truth) = Simulator::run(RULES, &steps);
        prop_assume!(are_remembered(&truth));
        let (profile, _) = aggregate(events, end_ns);
        // Polls of one group that ended at different places share an episode in the truth, not in the profile.
        prop_assert_eq!(totals(&delays_of(&profile)), totals(&true_delays(&truth)));
    }

    #[test]
    fn no_more_than_the_delay_is_charged(steps in steps(1000, 3), late_ends: bool, unseen_spawns: bool) {
        let rules = Rules { own_groups: false, late_ends, unseen_spawns };
        let (events, end_ns, _) = Simulator::run(rules, &steps);
        let (profile, _) = aggregate(events, end_ns);
        let mut scheduled = BTreeMap::new();
        for row in profile.rows.iter().filter(|row| row.state == State::Scheduled) {
            *scheduled.entry((row.group, row.stack.number)).or_insert(0) += row.stats.total_ns;
        }
        let mut charged = BTreeMap::new();
        for delay in &profile.delays {
            *charged.entry((delay.victim, delay.victim_stack.number)).or_insert(0) += delay.stats.total_ns;
        }
        for (victim, ns) in charged {
            prop_assert!(ns <= scheduled[&victim], "{:?}: {} of {}", victim, ns, scheduled[&victim]);
        }
    }
}

const MS: u64 = 1_000_000;

/// A worker's loop polls task after task: of `polls` tasks that are all ready at 0, task n's poll takes `ns_of(n)`.
fn queue(polls: u64, ns_of: impl Fn(u64) -> u64) -> RawProfile {
    let task = |n: u64| 0x1000 * (n + 2);
    let mut events = vec![
        (0, 0, event(Kind::ThreadStart, 1, 0, 0)),
        (0, 0, event(Kind::Spawn, 0x1000, 0, 1)),
    ];
    events.extend((0..polls).map(|n| (0, 0, event(Kind::Spawn, task(n), 0, n + 2))));
    events.push((0, 0, event(Kind::PollStart, 0x1000, 0, 1)));
    let mut now_ns = 0;
    for n in 0..polls {
        events.push((0, now_ns, event(Kind::PollStart, task(n), 1, n + 2)));
        now_ns += ns_of(n);
        events.push((0, now_ns, event(Kind::PollEnd, task(n), Outcome::Ready as u16, 0)));
    }
    aggregate(events, now_ns).0
}

#[test]
fn the_worker_that_hosts_all_polls_is_nobodys_blocker() {
    let profile = queue(3, |_| 2 * MS);
    let delays = delays_of(&profile);
    let (first, second, third) = ((Some(1), 2), (Some(1), 3), (Some(1), 4));
    let expected = [
        ((second, 0, Some(first)), (1, 2 * MS, 2 * MS)),
        ((third, 0, Some(first)), (1, 2 * MS, 2 * MS)),
        ((third, 0, Some(second)), (1, 2 * MS, 2 * MS)),
    ];
    assert_eq!(delays, BTreeMap::from(expected));
}

#[test]
fn a_long_poll_is_blamed_by_a_thousand_short_ones_behind_it() {
    let profile = queue(1000, |n| if n == 0 { 50 * MS } else { 1000 });
    let delays = delays_of(&profile);
    for n in 1..1000 {
        let blamed = delays[&((Some(1), n + 2), 0, Some((Some(1), 2)))];
        assert_eq!(blamed, (1, 50 * MS, 50 * MS), "task {n}");
    }
    let idle = delays.keys().filter(|(_, _, blocker)| blocker.is_none());
    assert_eq!(idle.count(), 0, "what is forgotten was not idle");
}
