//! Only some tasks recorded, each for several: in the mean over all ways in which the coins can fall, what comes out is
//! the truth.

use std::collections::BTreeMap;

use proptest::prelude::*;

use super::{Timed, aggregate, event};
use crate::aggregate::raw::RawProfile;
use crate::event::{Kind, Outcome, poll_value};

const TASKS: u64 = 5;
const TABLE: u16 = 5;

/// (task, ring, what, after how long, for how long).
type Step = (u64, usize, u8, u32, u32);

/// The events of each step, none of which is about two tasks, with the task's number.
fn events(steps: &[Step]) -> (Vec<(u64, Timed)>, u64) {
    let mut now_ns = 0;
    let mut events = Vec::new();
    let mut ready = [None; TASKS as usize];
    for &(task, ring, what, after_ns, for_ns) in steps {
        now_ns += u64::from(after_ns) + 1;
        let address = 128 * (task + 1);
        let mut write = |at_ns, kind, aux, value| {
            events.push((task, (ring, at_ns, event(kind, address, aux, value))));
        };
        let ready = &mut ready[task as usize];
        match *ready {
            None => {
                write(now_ns, Kind::Spawn, 0, 1000 + task % 2);
                *ready = Some(true);
            }
            Some(true) => {
                write(now_ns, Kind::PollStart, TABLE, task + 1);
                write(now_ns, Kind::Await, 1, 1 + u64::from(what % 3));
                // Its subject is how many.
                events.push((task, (ring, now_ns, event(Kind::Work, u64::from(what), 0, 0))));
                let mut write = |at_ns, kind, aux, value| {
                    events.push((task, (ring, at_ns, event(kind, address, aux, value))));
                };
                now_ns += u64::from(for_ns);
                let outcome = match what % 16 {
                    0 => Outcome::Ready,
                    1 => Outcome::Panicked,
                    _ => Outcome::Pending,
                };
                write(now_ns, Kind::PollEnd, outcome as u16, 0);
                *ready = (outcome == Outcome::Pending).then_some(false);
            }
            Some(false) => {
                write(now_ns, Kind::Wake, 1, 50);
                *ready = Some(true);
            }
        }
    }
    (events, now_ns + 1)
}

/// Sums of a profile: everything that is to be right in the mean.
#[derive(Debug, Default, PartialEq)]
struct Sums {
    /// By (spawn stack, state, stack): ns, episodes, open episodes.
    rows: BTreeMap<(u32, u8, u32), [u64; 3]>,
    /// By spawn stack: tasks, completed, panicked, polls and their ns.
    groups: BTreeMap<u32, [u64; 5]>,
    windows: BTreeMap<u32, u64>,
    histogram: BTreeMap<u64, u64>,
    /// By stack.
    open_waits: BTreeMap<u32, u64>,
    /// By (spawn stack, stack) of who was delayed: ns.
    delays: BTreeMap<(u32, u32), u64>,
    /// Units, and pieces.
    work: [u64; 2],
    squares: u128,
}

fn add<const N: usize>(sums: &mut [u64; N], more: [u64; N], times: u64) {
    sums.iter_mut()
        .zip(more)
        .for_each(|(sum, more)| *sum += more * times);
}

impl Sums {
    fn add(&mut self, profile: &RawProfile, times: u64) {
        let spawn_stack = |group: u32| profile.groups[group as usize].spawn_stack.number;
        for row in &profile.rows {
            let stats = &row.stats;
            let key = (spawn_stack(row.group.group), row.state as u8, row.stack.number);
            let numbers = [stats.total_ns, stats.episodes, row.open_episodes];
            add(self.rows.entry(key).or_default(), numbers, times);
            for (window, ns) in row.windows() {
                *self.windows.entry(window).or_default() += ns * times;
            }
            for (ns, episodes) in stats.histogram() {
                *self.histogram.entry(ns).or_default() += episodes * times;
            }
            self.squares += stats.sum_sq_ns2 * u128::from(times);
        }
        for group in profile.groups.iter().filter(|group| group.tasks > 0) {
            let numbers = [
                group.tasks,
                group.completed,
                group.panicked,
                group.polls.episodes,
                group.polls.total_ns,
            ];
            add(
                self.groups.entry(group.spawn_stack.number).or_default(),
                numbers,
                times,
            );
        }
        for delay in &profile.delays {
            let key = (spawn_stack(delay.victim.group), delay.victim_stack.number);
            *self.delays.entry(key).or_default() += delay.stats.total_ns * times;
        }
        for work in &profile.work {
            add(&mut self.work, [work.units, work.pieces.episodes], times);
        }
        for wait in &profile.open_waits {
            *self.open_waits.entry(wait.stack.number).or_default() += wait.tasks * times;
        }
    }

    /// Nothing is as good as not there.
    fn without_zeros(mut self) -> Sums {
        self.rows.retain(|_, sums| *sums != [0; 3]);
        self.groups.retain(|_, sums| *sums != [0; 5]);
        self.windows.retain(|_, ns| *ns != 0);
        self.histogram.retain(|_, episodes| *episodes != 0);
        self.open_waits.retain(|_, tasks| *tasks != 0);
        self.delays.retain(|_, ns| *ns != 0);
        self
    }

    /// Each as it comes out of so many recordings.
    fn times(profile: &RawProfile, times: u64) -> Sums {
        let mut sums = Sums::default();
        sums.add(profile, times);
        sums
    }
}

/// The events of those tasks alone, each for 2^level.
fn thinned(events: &[(u64, Timed)], chosen: u64, level: u16) -> impl Iterator<Item = Timed> {
    let chosen = events.iter().filter(move |(task, _)| chosen & 1 << task != 0);
    chosen.map(move |&(_, (ring, at_ns, mut event))| {
        if event.kind == Kind::Spawn {
            event.aux = level;
        }
        (ring, at_ns, event)
    })
}

/// A poll at which a task throws its coin, if it was not left out before.
struct Throw {
    at: usize,
    task: u64,
    step: u32,
}

/// While each cull runs, from some event to the next cull, each task that is polled throws once, unless it has stayed in
/// the last one that it threw in and that was of the same parity. No more throws than all ways of which can be tried.
fn throws(events: &[(u64, Timed)], culls: &[(prop::sample::Index, u32)]) -> Vec<Throw> {
    const MOST: usize = 7;
    let mut culls: Vec<(usize, u32)> = culls
        .iter()
        .map(|(from, step)| (from.index(events.len().max(1)), *step))
        .collect();
    culls.sort();
    let mut parities = [None; TASKS as usize];
    let mut throws = Vec::new();
    for (at, &(task, (_, _, event))) in events.iter().enumerate() {
        if event.kind == Kind::Spawn {
            parities[task as usize] = None;
        }
        let running = culls.iter().rposition(|&(from, _)| from <= at);
        if event.kind == Kind::PollStart
            && let Some(cull) = running
            && parities[task as usize] != Some(cull % 2)
        {
            parities[task as usize] = Some(cull % 2);
            let step = culls[cull].1;
            throws.push(Throw { at, task, step });
        }
    }
    throws.truncate(MOST);
    throws
}

/// The events that are written if just these throws leave their task out.
fn culled(events: &[(u64, Timed)], level: u16, throws: &[Throw], fall: u32) -> Vec<Timed> {
    let mut left_out = 0;
    let mut written = Vec::new();
    for (at, &(task, (ring, at_ns, mut event))) in events.iter().enumerate() {
        if event.kind == Kind::Spawn {
            event.aux = level;
            left_out &= !(1 << task);
        }
        if left_out & 1 << task != 0 {
            continue;
        }
        if let Some(nth) = throws
            .iter()
            .position(|throw| (throw.at, throw.task) == (at, task))
        {
            if fall & 1 << nth == 0 {
                event.value = poll_value(event.value, throws[nth].step);
            } else {
                left_out |= 1 << task;
                event.kind = Kind::LeftOut;
            }
        }
        written.push((ring, at_ns, event));
    }
    written
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]

    #[test]
    fn thinning_is_unbiased(
        steps in prop::collection::vec((0..TASKS, 0..2usize, any::<u8>(), 0..1_500_000_000u32, 0..1_500_000_000u32), 0..60),
        level in 0..3u16,
    ) {
        let (events, end_ns) = events(&steps);
        let whole = |events: &[(u64, Timed)]| aggregate(events.iter().map(|event| event.1), end_ns).0;
        let weight = 1u64 << level;
        let mut mean = Sums::default();
        for chosen in 0..1u64 << TASKS {
            let (profile, _) = aggregate(thinned(&events, chosen, level), end_ns);
            // Of weight^TASKS equally likely ways, in so many just these are chosen.
            let left_out = TASKS as u32 - chosen.count_ones();
            mean.add(&profile, (weight - 1).pow(left_out));
            let counts = profile.counts;
            let tasks = profile.groups.iter().map(|group| group.tasks).sum::<u64>();
            prop_assert_eq!(counts.tasks_recorded + counts.tasks_left_out, tasks);
            prop_assert_eq!(counts.tasks_recorded * weight, tasks);
        }
        let mut truth = Sums::times(&whole(&events), weight.pow(TASKS as u32));
        // Their variance grows with the weight, and is told as it is.
        truth.squares *= u128::from(weight);
        prop_assert_eq!(mean.without_zeros(), truth.without_zeros());
    }

    #[test]
    fn culls_are_unbiased(
        steps in prop::collection::vec((0..TASKS, 0..2usize, any::<u8>(), 0..1_500_000_000u32, 0..1_500_000_000u32), 0..60),
        culls in prop::collection::vec((any::<prop::sample::Index>(), 1..3u32), 0..6),
        level in 0..3u16,
    ) {
        let (events, end_ns) = events(&steps);
        let throws = throws(&events, &culls);
        let all = (1 << TASKS) - 1;
        let mut mean = Sums::default();
        for fall in 0..1u32 << throws.len() {
            let (profile, _) = aggregate(culled(&events, level, &throws, fall), end_ns);
            let is_left_out = |nth: usize| fall & 1 << nth != 0;
            let ways = (0..throws.len()).map(|nth| if is_left_out(nth) { (1 << throws[nth].step) - 1 } else { 1 });
            mean.add(&profile, ways.product());
            let counts = profile.counts;
            let tasks = profile.groups.iter().map(|group| group.tasks).sum::<u64>();
            prop_assert_eq!(counts.tasks_recorded + counts.tasks_left_out, tasks);
            prop_assert!(counts.tasks_cut_short <= counts.tasks_recorded);
        }
        let (whole, _) = aggregate(thinned(&events, all, level), end_ns);
        let mut truth = Sums::times(&whole, throws.iter().map(|throw| 1u64 << throw.step).product());
        // Their variance grows as they go.
        (mean.squares, truth.squares) = (0, 0);
        prop_assert_eq!(mean.without_zeros(), truth.without_zeros());
    }
}
