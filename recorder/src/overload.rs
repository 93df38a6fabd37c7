//! What to leave out when events come faster than they are taken in, or cost the program more than was allowed.
//!
//! In this order, a step at a time: first stacks of short waits, then new tasks, ever fewer of them. Back the same way,
//! slowly: where there was too much there will be again.

use std::time::Duration;

use asyncprof_core::aggregate::Counts;
use asyncprof_core::event::Kind;
use asyncprof_core::thinning::Thinning;

use crate::burden::{Burden, Meter};

/// A step takes about two drains to show.
const BETWEEN_RAISES: Duration = Duration::from_millis(50);
/// So long all must be easy before a step back.
const BEFORE_LOWERING: Duration = Duration::from_secs(2);
/// A ring, or what we may hold, that is filled to this part is soon full; below the other there is room for twice as many
/// events twice over.
const FULL: f64 = 0.5;
const EASY: f64 = 0.125;
/// Below this part of the allowed cost a step back cannot make it too much.
const CHEAP: f64 = 0.5;
/// With fewer spawns among the events, or fewer polls of tasks that stand for others among the polls, it is old tasks that
/// write: to leave out more of the new ones would not help.
const EVENTS_PER_SPAWN: u64 = 1000;
const POLLS_PER_THINNED: u64 = 8;

/// What a drain has found.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Load {
    /// Since the recording began.
    pub(crate) at: Duration,
    /// Since the last drain.
    pub(crate) lost: u64,
    pub(crate) events: u64,
    pub(crate) spawns: u64,
    /// So far, and those of tasks that stand for others.
    pub(crate) polls: u64,
    pub(crate) thinned_polls: u64,
    /// Of the fullest ring, or of what we may hold: 1 is full.
    pub(crate) fill: f64,
    /// What recording costs the program, as a part of what it may: where that is new.
    pub(crate) cost: Option<f64>,
}

#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Control {
    thinning: Thinning,
    raised_at: Option<Duration>,
    /// By then.
    polls: u64,
    thinned_polls: u64,
    easy_since: Option<Duration>,
    cost: f64,
}

impl Control {
    /// What to leave out from here on.
    pub(crate) fn after(&mut self, load: Load) -> Thinning {
        self.cost = load.cost.unwrap_or(self.cost);
        let is_overrun = load.lost > 0 || load.fill > FULL;
        let may_raise = self.raised_at.is_none_or(|at| load.at >= at + BETWEEN_RAISES);
        // A cost is acted upon once: what a step has changed, the next one tells.
        if is_overrun && may_raise || load.cost.is_some_and(|cost| cost > 1.0) {
            self.raise(load);
        }
        let is_easy = !is_overrun && load.fill < EASY && self.cost < CHEAP;
        match self.easy_since {
            _ if !is_easy => self.easy_since = None,
            None => self.easy_since = Some(load.at),
            Some(since) if load.at >= since + BEFORE_LOWERING => {
                self.lower();
                self.easy_since = Some(load.at);
            }
            Some(_) => {}
        }
        self.thinning
    }

    fn raise(&mut self, load: Load) {
        let polls = load.polls.saturating_sub(self.polls);
        let thinned_polls = load.thinned_polls.saturating_sub(self.thinned_polls);
        let would_help = match self.thinning.level {
            0 => load.spawns * EVENTS_PER_SPAWN >= load.events.max(1),
            _ => thinned_polls * POLLS_PER_THINNED >= polls.max(1),
        };
        if !self.thinning.skip_short_stacks {
            self.thinning.skip_short_stacks = true;
        } else if would_help {
            self.thinning.level = (self.thinning.level + 1).min(Thinning::MAX_LEVEL);
        }
        self.raised_at = Some(load.at);
        (self.polls, self.thinned_polls) = (load.polls, load.thinned_polls);
    }

    fn lower(&mut self) {
        match self.thinning.level {
            0 => self.thinning.skip_short_stacks = false,
            level => self.thinning.level = level - 1,
        }
    }
}

/// Steers by what drains find.
#[derive(Clone, Debug, Default)]
pub(crate) struct Overload {
    control: Control,
    meter: Meter,
    /// The part of the programs' CPU time that recording may cost.
    most_cost: Option<f64>,
    /// Since the last drain.
    events: u64,
    spawns: u64,
    /// By the last drain.
    lost: u64,
}

impl Overload {
    pub(crate) fn new(most_cost: Option<f64>) -> Overload {
        Overload {
            most_cost,
            ..Overload::default()
        }
    }

    /// So many events of this kind were written.
    pub(crate) fn wrote(&mut self, kind: Kind, count: u64) {
        self.events += count;
        if kind == Kind::Spawn {
            self.spawns += count;
        }
        self.meter.wrote(kind, count);
    }

    /// All rings were drained; `lost` in all. Returns what to leave out.
    pub(crate) fn drained(
        &mut self,
        at: Duration,
        fill: f64,
        lost: u64,
        counts: Counts,
        pids: impl Iterator<Item = u32>,
    ) -> Thinning {
        let share = self.meter.look(at, pids);
        self.control.after(Load {
            at,
            lost: lost.saturating_sub(std::mem::replace(&mut self.lost, lost)),
            events: std::mem::take(&mut self.events),
            spawns: std::mem::take(&mut self.spawns),
            polls: counts.polls,
            thinned_polls: counts.thinned_polls,
            fill,
            cost: share.and_then(|share| Some(share / self.most_cost?)),
        })
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

    /// A program of which so many drains find that, and so many more polls each.
    fn drains(control: &mut Control, from: Duration, count: u32, load: Load) -> (Duration, Vec<Thinning>) {
        let found = (1..=count).map(|nth| {
            let at = from + DRAIN * nth;
            let drained = at.as_millis() as u64 / 10;
            control.after(Load {
                at,
                polls: load.polls * drained,
                thinned_polls: load.thinned_polls * drained,
                ..load
            })
        });
        let thinnings = found.collect();
        (from + DRAIN * count, thinnings)
    }

    fn storm() -> Load {
        Load {
            lost: 1000,
            events: 4000,
            spawns: 1000,
            polls: 1000,
            thinned_polls: 1000,
            fill: 1.0,
            ..Load::default()
        }
    }

    fn quiet() -> Load {
        Load {
            events: 10,
            fill: 0.01,
            ..Load::default()
        }
    }

    fn thinning(skip_short_stacks: bool, level: u32) -> Thinning {
        Thinning {
            skip_short_stacks,
            level,
        }
    }

    #[test]
    fn stacks_go_first_and_then_ever_more_tasks() {
        let mut control = Control::default();
        let (_, found) = drains(&mut control, Duration::ZERO, 100, storm());
        assert_eq!(found[0], thinning(true, 0), "at the first loss");
        assert_eq!(found[4], thinning(true, 0), "a step shows late");
        assert_eq!(found[5], thinning(true, 1));
        assert_eq!(found[10], thinning(true, 2));
        assert_eq!(found[99], thinning(true, Thinning::MAX_LEVEL));
    }

    #[test]
    fn what_was_left_out_comes_back_in_the_other_order() {
        let mut control = Control::default();
        let (now, _) = drains(&mut control, Duration::ZERO, 11, storm());
        let (_, found) = drains(&mut control, now, 1000, quiet());
        assert_eq!(found[199], thinning(true, 2), "for two seconds nothing changes");
        assert_eq!(found[200], thinning(true, 1));
        assert_eq!(found[400], thinning(true, 0));
        assert_eq!(found[600], thinning(false, 0));
        assert_eq!(found[999], Thinning::default());
    }

    #[test]
    fn old_tasks_are_no_reason_to_leave_out_new_ones() {
        let old = Load { spawns: 3, ..storm() };
        let (_, found) = drains(&mut Control::default(), Duration::ZERO, 100, old);
        assert_eq!(found[99], thinning(true, 0));
    }

    /// What thinning leaves of the polls is old tasks'.
    #[test]
    fn no_more_new_tasks_are_left_out_than_help() {
        let mixed = Load {
            thinned_polls: 100,
            ..storm()
        };
        let (_, found) = drains(&mut Control::default(), Duration::ZERO, 100, mixed);
        assert_eq!(found[99], thinning(true, 1));
    }

    #[test]
    fn a_full_ring_is_answered_before_it_loses() {
        let filling = Load {
            lost: 0,
            fill: 0.6,
            ..storm()
        };
        let (_, found) = drains(&mut Control::default(), Duration::ZERO, 6, filling);
        assert_eq!(found[5], thinning(true, 1));
        let well = Load {
            lost: 0,
            fill: 0.4,
            ..storm()
        };
        let (_, found) = drains(&mut Control::default(), Duration::ZERO, 1000, well);
        assert_eq!(found[999], Thinning::default());
    }

    #[test]
    fn each_cost_is_answered_once() {
        let mut control = Control::default();
        let mut at = Duration::ZERO;
        let mut second = |cost: f64, control: &mut Control| {
            let load = Load {
                events: 4000,
                spawns: 1000,
                ..Load::default()
            };
            control.after(Load {
                at: at + DRAIN,
                cost: Some(cost),
                ..load
            });
            let (now, found) = drains(control, at + DRAIN, 99, load);
            at = now;
            found[98]
        };
        assert_eq!(second(2.0, &mut control), thinning(true, 0));
        assert_eq!(second(1.5, &mut control), thinning(true, 1));
        assert_eq!(
            second(0.9, &mut control),
            thinning(true, 1),
            "within what is allowed"
        );
        for _ in 0..10 {
            assert_eq!(
                second(0.6, &mut control),
                thinning(true, 1),
                "twice as much would be too much"
            );
        }
        for _ in 0..3 {
            second(0.2, &mut control);
        }
        assert_eq!(control.thinning, thinning(true, 0));
    }

    proptest! {
        #[test]
        fn a_step_at_a_time(loads in prop::collection::vec((0..100u64, 0..2u64, 0..3u64, 0.0..1.0f64, prop::option::of(0.0..3.0f64)), 0..300)) {
            let mut control = Control::default();
            let mut at = Duration::ZERO;
            let mut before = Thinning::default();
            for (ms, lost, spawns, fill, cost) in loads {
                at += Duration::from_millis(ms);
                let now = control.after(Load { at, lost, events: 100, spawns, fill, cost, ..Load::default() });
                prop_assert!(now.skip_short_stacks || now.level == 0);
                let steps = |thinning: Thinning| u32::from(thinning.skip_short_stacks) + thinning.level;
                prop_assert!(steps(now).abs_diff(steps(before)) <= 1);
                let is_easy = lost == 0 && fill <= FULL && cost.is_none_or(|cost| cost <= 1.0);
                prop_assert!(!is_easy || steps(now) <= steps(before));
                before = now;
            }
        }
    }
}
