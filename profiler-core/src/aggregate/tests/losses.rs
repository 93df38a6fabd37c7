//! Some events lost: what comes out is part of the truth, the rest is lost, and nothing is made up.

use std::collections::{BTreeMap, HashMap, HashSet};

use proptest::prelude::*;

use super::causal::steps;
use super::simulator::{RINGS, Rules, Simulator};
use super::truth::{TrueEpisode, Truth};
use super::{Timed, aggregate, event};
use crate::aggregate::rows::Episode;
use crate::event::{Kind, Outcome};
use crate::profile::State;

/// (ring, first lost event, how many), counted in the ring's own events.
type Drops = Vec<(usize, usize, usize)>;

fn drops() -> impl Strategy<Value = Drops> {
    prop::collection::vec((0..RINGS, 1..200usize, 1..12usize), 0..5)
}

/// Leaves these out, and tells of it as the sampler does: when a loss begins and when it is over.
fn lose(events: &[Timed], drops: &Drops) -> Vec<Timed> {
    let mut kept: Vec<Timed> = Vec::new();
    let mut counts = [0; RINGS];
    let mut losing = [0u64; RINGS];
    let mut last_kept = [0; RINGS];
    for &(ring, at_ns, event_) in events {
        let number = counts[ring];
        counts[ring] += 1;
        let is_lost = |&(of, first, count): &(usize, usize, usize)| {
            of == ring && (first..first + count).contains(&number)
        };
        if drops.iter().any(is_lost) {
            if losing[ring] == 0 {
                let last = last_kept[ring];
                kept.insert(last + 1, (ring, kept[last].1, event(Kind::Gap, 0, 0, 0)));
                last_kept
                    .iter_mut()
                    .filter(|at| **at > last)
                    .for_each(|at| *at += 1);
            }
            losing[ring] += 1;
            continue;
        }
        if losing[ring] > 0 {
            kept.push((ring, at_ns, event(Kind::Gap, 0, 0, losing[ring])));
            losing[ring] = 0;
        }
        last_kept[ring] = kept.len();
        kept.push((ring, at_ns, event_));
    }
    kept
}

/// The true episodes of each task, by its spawn stack.
fn by_task(truth: &Truth) -> HashMap<u32, Vec<&TrueEpisode>> {
    let mut tasks = HashMap::<u32, Vec<&TrueEpisode>>::new();
    for episode in &truth.episodes {
        tasks.entry(episode.group.1).or_default().push(episode);
    }
    tasks
}

/// Spawn stacks of tasks whose first poll was lost, and whose memory was then seen to be polled as another task:
/// the aggregator takes that one for them (see `Spawn`).
fn mistaken(kept: &[Timed]) -> HashSet<u32> {
    let mut pending = HashMap::new();
    let mut mistaken = HashSet::new();
    for (_, _, event) in kept {
        if event.kind == Kind::Spawn {
            pending.insert(event.subject, event.value as u32);
        } else if event.kind == Kind::PollStart {
            let spawned = pending.remove(&event.subject);
            mistaken.extend(spawned.filter(|&stack| u64::from(stack) != 999 + event.value));
        }
    }
    mistaken
}

fn is_true(found: &Episode, episodes: &[&TrueEpisode]) -> bool {
    // A wait that is split has several true episodes, one after the other.
    let mut covered_to = found.start_ns;
    for episode in episodes.iter().filter(|episode| episode.state == found.state) {
        if (episode.start_ns..=episode.end_ns).contains(&covered_to) {
            covered_to = episode.end_ns;
        }
    }
    covered_to >= found.end_ns
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    #[test]
    fn nothing_is_made_up_and_what_was_seen_stays(steps in steps(), drops in drops()) {
        let rules = Rules { own_groups: true, late_ends: false, unseen_spawns: false };
        let (events, end_ns, truth) = Simulator::run(rules, &steps);
        let kept = lose(&events, &drops);
        let first_loss = kept.iter().find(|(_, _, e)| e.kind == Kind::Gap).map_or(end_ns, |gap| gap.1);
        let (profile, probe) = aggregate(kept.iter().copied(), end_ns);
        let mut tasks = by_task(&truth);
        tasks.retain(|stack, _| !mistaken(&kept).contains(stack));
        let spawn_stack = |group: u32| profile.groups[group as usize].spawn_stack.number;

        let mut known = BTreeMap::<(u32, u8), u64>::new();
        for found in &probe.episodes {
            *known.entry((spawn_stack(found.group.group), found.state as u8)).or_default() +=
                found.end_ns - found.start_ns;
            // Else its spawn was lost, and it has no name to compare by.
            let Some(episodes) = tasks.get(&spawn_stack(found.group.group)) else { continue };
            prop_assert!(found.state == State::Lost || is_true(found, episodes), "{found:?} of {episodes:#?}");
        }

        // Whatever was over before the first loss is there; so is every poll on a ring that lost nothing, from the
        // first poll seen of a task.
        let mut certain = BTreeMap::<(u32, u8), u64>::new();
        let lossless = |ring: usize| ring < RINGS && drops.iter().all(|drop| drop.0 != ring);
        let spawns_seen = drops.is_empty();
        for episode in tasks.values().flatten() {
            let ns = if lossless(episode.ring) && (spawns_seen || known.contains_key(&(episode.group.1, State::Running as u8))) {
                episode.end_ns - episode.start_ns
            } else {
                episode.end_ns.min(first_loss).saturating_sub(episode.start_ns)
            };
            *certain.entry((episode.group.1, episode.state as u8)).or_default() += ns;
        }
        let has_begun = |stack: u32| profile.groups.iter().any(|g| g.spawn_stack.number == stack);
        for ((stack, state), ns) in certain {
            let found = known.get(&(stack, state)).copied().unwrap_or(0);
            prop_assert!(found >= ns || !has_begun(stack), "stack {stack}, state {state}: {found} of {ns}");
        }
        let dropped = events.len() - kept.iter().filter(|(_, _, e)| e.kind != Kind::Gap).count();
        prop_assert!(profile.counts.events_lost <= dropped as u64);
    }
}

const TASK: u64 = 0x1000;
const MS: u64 = 1_000_000;

/// Spawned at 0, polled from 1 to 2 ms on ring 0, waiting at stack 7 from then on.
fn sleeper() -> Vec<Timed> {
    vec![
        (0, 0, event(Kind::Spawn, TASK, 0, 9)),
        (0, MS, event(Kind::PollStart, TASK, 0, 1)),
        (0, MS, event(Kind::Await, TASK, 1, 7)),
        (0, 2 * MS, event(Kind::PollEnd, TASK, Outcome::Pending as u16, 0)),
    ]
}

fn totals(events: Vec<Timed>, end_ns: u64) -> BTreeMap<(u8, u32), u64> {
    let (profile, _) = aggregate(events, end_ns);
    let mut totals = BTreeMap::new();
    for row in profile.rows {
        *totals.entry((row.state as u8, row.stack.number)).or_default() += row.stats.total_ns;
    }
    totals.retain(|_, ns| *ns != 0);
    totals
}

#[test]
fn bug_a_gap_took_the_time_before_it() {
    let mut events = sleeper();
    events.push((1, 50 * MS, event(Kind::PollStart, 0x2000, 0, 2)));
    events.push((1, 60 * MS, event(Kind::Gap, 0, 0, 3)));
    let mut sleeping = totals(events, 100 * MS);
    // The other task: its poll's end was lost.
    *sleeping.get_mut(&(State::Lost as u8, 0)).unwrap() -= 50 * MS;
    let expected = [
        ((State::Scheduled as u8, 0), MS),
        ((State::Running as u8, 0), MS),
        ((State::Waiting as u8, 7), 48 * MS),
        ((State::Lost as u8, 0), 50 * MS),
    ];
    assert_eq!(sleeping, BTreeMap::from(expected));
}

#[test]
fn bug_a_poll_elsewhere_was_lost_with_a_gap() {
    let mut events = sleeper();
    events.truncate(3);
    events.push((1, 2 * MS, event(Kind::Gap, 0, 0, 1)));
    events.push((0, 30 * MS, event(Kind::PollEnd, TASK, Outcome::Ready as u16, 0)));
    let expected = [
        ((State::Scheduled as u8, 0), MS),
        ((State::Running as u8, 0), 29 * MS),
    ];
    // (The loss of ring 1 began before its first event, so the spawn is in doubt until the poll.)
    let found = totals(events, 100 * MS);
    assert_eq!(found, BTreeMap::from(expected));
}

#[test]
fn bug_the_first_poll_seen_by_halves_is_not_scheduling_delay() {
    let events = vec![
        (0, 0, event(Kind::Spawn, TASK, 0, 9)),
        (0, 5 * MS, event(Kind::PollEnd, TASK, Outcome::Pending as u16, 0)),
        (0, 9 * MS, event(Kind::PollStart, TASK, 0, 1)),
        (0, 10 * MS, event(Kind::PollEnd, TASK, Outcome::Ready as u16, 0)),
    ];
    let expected = [((State::Lost as u8, 0), 9 * MS), ((State::Running as u8, 0), MS)];
    assert_eq!(totals(events, 20 * MS), BTreeMap::from(expected));
}

#[test]
fn a_loss_is_over_when_another_thread_takes_the_ring() {
    let mut events = vec![
        (1, 0, event(Kind::Gap, 0, 0, 0)),
        (1, MS / 2, event(Kind::ThreadStart, 3, 0, 0)),
    ];
    events.extend(sleeper());
    events.sort_by_key(|timed| timed.1);
    let found = totals(events, 10 * MS);
    assert_eq!(found.get(&(State::Waiting as u8, 7)), Some(&(8 * MS)));
}
