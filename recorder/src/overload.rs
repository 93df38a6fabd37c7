//! Notices what is too much: events that come faster than they are taken in, or cost the program more than was allowed.

use std::time::Duration;

use asyncprof_core::aggregate::Counts;
use asyncprof_core::event::Kind;
use asyncprof_core::thinning::Thinning;

use crate::burden::{Burden, Meter, cpu_ns};
use crate::control::{Control, Cost, Load, Polls};
use crate::culls::Culls;

/// What is allowed is so much of this: what is spent on a burst may be saved again within it.
const SPAN: Duration = Duration::from_secs(1);
/// A program that uses less than this part of a processor is taken to use so much: there is little to spare.
const LEAST_CPU: f64 = 0.01;
/// Less is as good as nothing.
const LEAST_ALLOWED: f64 = 1e-6;

/// Steers by what drains find.
#[derive(Clone, Debug, Default)]
pub(crate) struct Overload {
    control: Control,
    culls: Culls,
    meter: Meter,
    /// The part of the programs' CPU time that recording may cost.
    most_cost: Option<f64>,
    /// Since the last drain.
    events: u64,
    spawns: u64,
    /// By the last drain.
    lost: u64,
    counts: Counts,
    thinning: Thinning,
    /// When the span began, and what was spent by then.
    span: Option<(Duration, Burden)>,
}

impl Overload {
    pub(crate) fn new(most_cost: Option<f64>) -> Overload {
        Overload {
            most_cost: most_cost.map(|most| most.max(LEAST_ALLOWED)),
            ..Overload::default()
        }
    }

    /// So many events of this kind were written.
    pub(crate) fn wrote(&mut self, kind: Kind, count: u64) {
        self.events += count;
        self.spawns += if kind == Kind::Spawn { count } else { 0 };
        self.meter.wrote(kind, count);
    }

    /// All rings were drained; `lost` in all. Returns what to leave out. `busy` counts the tasks that do something.
    pub(crate) fn drained(
        &mut self,
        at: Duration,
        fill: f64,
        lost: u64,
        counts: Counts,
        pids: impl Iterator<Item = u32>,
        busy: impl FnOnce() -> usize,
    ) -> Thinning {
        let processes = pids.filter_map(|pid| Some((pid, cpu_ns(pid)?)));
        self.steer(at, fill, lost, counts, processes, busy)
    }

    /// Of each process the pid and its CPU time so far.
    fn steer(
        &mut self,
        at: Duration,
        fill: f64,
        lost: u64,
        counts: Counts,
        processes: impl Iterator<Item = (u32, u64)>,
        busy: impl FnOnce() -> usize,
    ) -> Thinning {
        let before = std::mem::replace(&mut self.counts, counts);
        // They begin anew with each part of a recording.
        let new = |count: fn(&Counts) -> u64| match count(&counts).checked_sub(count(&before)) {
            Some(new) => new,
            None => count(&counts),
        };
        let new_lost = lost.saturating_sub(std::mem::replace(&mut self.lost, lost));
        self.meter.lost(new_lost);
        self.meter.left_out(
            new(|counts| counts.tasks_left_out),
            new(|counts| counts.polls_left_out),
        );
        let cost = self.meter.look(at, processes).and_then(|now| self.judge(at, now));
        let load = Load {
            at,
            lost: new_lost,
            events: std::mem::take(&mut self.events),
            spawns: std::mem::take(&mut self.spawns),
            polls: Polls {
                recorded: new(|counts| counts.polls),
                young: new(|counts| counts.young_polls),
                young_estimated: new(|counts| counts.young_polls_estimated),
            },
            fill,
            cost,
        };
        let mut thinning = self.control.after(load);
        thinning.cull = self.culls.after(at, self.control.excess(), busy);
        if thinning != self.thinning {
            // What was written before is drained by the next time.
            self.span = None;
            self.meter.look_soon();
            self.thinning = thinning;
        }
        thinning
    }

    /// The cost in a span that is over: at its end, or as soon as more was spent than is allowed in all of it if the program
    /// goes on like that. So the more it is, the sooner it is noticed.
    fn judge(&mut self, at: Duration, now: Burden) -> Option<Cost> {
        let most = self.most_cost?;
        let (from, before) = *self.span.get_or_insert((at, now));
        let spent = now.since(before);
        let over = at.saturating_sub(from);
        let cpu_ns = (spent.cpu_ns as f64).max(over.as_nanos() as f64 * LEAST_CPU);
        let allowed = |ns: u64| ns as f64 / (most * cpu_ns);
        let cost = Cost {
            all: allowed(spent.overhead_ns),
            of_spawns: allowed(spent.of_spawns_ns),
            of_tasks: allowed(spent.of_tasks_ns),
        };
        if cost.all * over.as_secs_f64() < SPAN.as_secs_f64() && over < SPAN {
            return None;
        }
        self.span = Some((at, now));
        Some(cost)
    }

    pub(crate) fn burden(&self) -> Burden {
        self.meter.burden()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const DRAIN: Duration = Duration::from_millis(10);

    /// Uses an eighth of a processor. In each drain's time it spawns tasks that are polled once, and polls old ones.
    #[derive(Clone, Copy)]
    struct Program {
        spawns: u64,
        old_polls: u64,
    }

    struct Simulation {
        overload: Overload,
        at: Duration,
        cpu: Duration,
        /// And not recorded yet.
        spawned: u64,
        /// Old tasks, of which one in so many has stayed in culls.
        busy: usize,
        old_weight: usize,
        counts: Counts,
        thinning: Thinning,
        changes: u32,
    }

    impl Simulation {
        fn new(most_cost: f64) -> Simulation {
            Simulation {
                overload: Overload::new(Some(most_cost)),
                at: Duration::ZERO,
                cpu: Duration::ZERO,
                spawned: 0,
                busy: 0,
                old_weight: 1,
                counts: Counts::default(),
                thinning: Thinning::default(),
                changes: 0,
            }
        }

        /// Returns the cost within that time, as a part of the program's CPU time.
        fn run(&mut self, program: Program, time: Duration) -> f64 {
            let before = self.overload.burden();
            self.changes = 0;
            let end = self.at + time;
            while self.at < end {
                self.drain(program);
            }
            let spent = self.overload.burden().since(before);
            spent.overhead_ns as f64 / spent.cpu_ns as f64
        }

        fn drain(&mut self, program: Program) {
            self.at += DRAIN;
            self.cpu += DRAIN / 8;
            let weight = 1 << self.thinning.level;
            self.spawned += program.spawns;
            let young = self.spawned / weight;
            self.spawned %= weight;
            let old_weight = self.old_weight as u64;
            let old_polls = program.old_polls / old_weight;
            let polls = young + old_polls;
            for (kind, count) in [
                (Kind::Spawn, young),
                (Kind::PollStart, polls),
                (Kind::PollEnd, polls),
            ] {
                self.overload.wrote(kind, count);
            }
            let counts = &mut self.counts;
            counts.polls += polls;
            counts.young_polls += young;
            counts.young_polls_estimated += young * weight;
            counts.tasks_left_out += young * (weight - 1);
            counts.polls_left_out += young * (weight - 1) + old_polls * (old_weight - 1);
            let cpu = [(u32::MAX, self.cpu.as_nanos() as u64)];
            let busy = || self.busy / self.old_weight;
            let thinning = self
                .overload
                .steer(self.at, 0.0, 0, self.counts, cpu.into_iter(), busy);
            if let Some(cull) = thinning.cull
                && self.thinning.cull.is_none()
            {
                self.old_weight <<= cull.step;
            }
            self.changes += u32::from(thinning != self.thinning);
            self.thinning = thinning;
        }
    }

    /// 1024 × 70 ns are 5.7 % of 1.25 ms, and 1024 × 35 ns, for taps that write nothing, 2.9 %.
    const STORM: Program = Program {
        spawns: 1024,
        old_polls: 0,
    };
    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn far_too_much_is_noticed_within_a_tenth_of_a_second() {
        let mut storm = Simulation::new(0.0057);
        storm.run(STORM, SECOND * 11 / 100);
        let soon = storm.thinning.level;
        assert_eq!(soon, 3, "an eighth of what cannot be helped");
        storm.run(STORM, 10 * SECOND);
        assert_eq!(storm.thinning.level, soon);
    }

    #[test]
    fn a_storm_is_held_within_a_second() {
        let mut storm = Simulation::new(0.04);
        let first = storm.run(STORM, SECOND);
        let then = storm.run(STORM, 9 * SECOND);
        assert!((0.04..0.057).contains(&first), "{first}");
        assert!((0.03..0.04).contains(&then), "{then}");
    }

    #[test]
    fn what_leaves_no_room_is_thinned_for_as_long_as_it_helps() {
        let mut storm = Simulation::new(0.0);
        storm.run(STORM, 10 * SECOND);
        assert_eq!(storm.thinning.level, 3);
        let quiet = Program { spawns: 0, ..STORM };
        storm.run(quiet, 30 * SECOND);
        assert_eq!(storm.thinning, Thinning::default());
    }

    #[test]
    fn a_short_burst_is_let_pass() {
        let mut bursts = Simulation::new(0.03);
        let quiet = Program { spawns: 0, ..STORM };
        for _ in 0..20 {
            bursts.run(STORM, SECOND / 10);
            bursts.run(quiet, SECOND * 9 / 10);
        }
        assert_eq!(bursts.thinning, Thinning::default());
    }

    /// 1024 × 30 ns are 2.5 % of 1.25 ms, and 1024 × 15 ns, of ones left out, 1.2 %.
    const OLD: Program = Program {
        spawns: 0,
        old_polls: 1024,
    };

    #[test]
    fn old_tasks_go_as_far_as_that_helps() {
        let within = |most_cost, busy| {
            let mut old = Simulation::new(most_cost);
            old.busy = busy;
            old.run(OLD, 10 * SECOND);
            let cost = old.run(OLD, 10 * SECOND);
            (old.thinning.level, old.old_weight, cost)
        };
        let (level, weight, _) = within(0.03, 1000);
        assert_eq!((level, weight), (0, 1), "allowed");
        let (level, weight, cost) = within(0.022, 1000);
        assert!(level == 0 && weight == 2 && cost < 0.022, "{weight} {cost}");
        let (.., weight, _) = within(0.0, 1000);
        assert!(
            [8, 16].contains(&weight),
            "an eighth of what cannot be helped: {weight}"
        );
        let (.., weight, _) = within(0.0, 31);
        assert_eq!(weight, 2, "few as they are");
        let (.., weight, _) = within(0.0, 15);
        assert_eq!(weight, 1, "few as they are");
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(32))]
        #[test]
        fn it_comes_to_rest_where_it_should(spawns in 0..1024u64, old_polls in 0..1024u64, percent in 1..50u32) {
            let most = f64::from(percent) / 100.0;
            let program = Program { spawns, old_polls };
            let mut held = Simulation::new(most);
            let free = Simulation::new(100.0).run(program, SECOND);
            held.run(program, 4 * SECOND);
            let cost = held.run(program, 20 * SECOND);
            prop_assert!(held.changes <= 1, "{} changes", held.changes);
            let level = held.thinning.level;
            prop_assert!(free > most || held.thinning == Thinning::default(), "for no reason: {level}");
            // What thinning cannot help.
            let fixed = Simulation::new(100.0).run(Program { spawns: 0, old_polls }, SECOND);
            let left_out = spawns as f64 * 35e-9 / (DRAIN / 8).as_secs_f64();
            let least = fixed + left_out;
            prop_assert!(cost <= most.max(least * 1.25), "{cost} at level {level}");
            // No more than needed: a level less would be too much.
            let saved = (cost - least).max(0.0);
            prop_assert!(level == 0 || cost + saved > most * 0.7, "{cost} at level {level}");
        }
    }
}
