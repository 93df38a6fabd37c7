//! What to leave out when events come faster than they are taken in, or cost the program more than was allowed.
//!
//! In this order: first stacks of short waits, then new tasks. Of these as many at once as are too much, as far as it is new
//! tasks that make it so; what is left is old ones', and for [`Culls`](crate::culls::Culls). Back the same way, a step at a
//! time and slowly: where there was too much there will be again.

use std::time::Duration;

use asyncprof_core::thinning::Thinning;

use crate::culls::Excess;

/// A step takes about two drains to show.
const BETWEEN_RAISES: Duration = Duration::from_millis(50);
/// So long all must be easy before a step back.
const BEFORE_LOWERING: Duration = Duration::from_secs(2);
/// A ring, or what we may hold, that is filled to this part is soon full; below the other there is room for twice as many
/// events twice over.
const FULL: f64 = 0.5;
const EASY: f64 = 0.125;
/// After a step back it must still cost less than this part of what it may.
const ROOM: f64 = 0.75;
/// Below this part of it stacks cannot make it too much.
const CHEAP: f64 = 0.5;
/// Where the tasks in question make less than this part of the rest, to leave out more of them would not help.
const HARDLY: f64 = 0.125;
/// With fewer spawns among the events it is not new tasks that write them, whatever is polled.
const EVENTS_PER_SPAWN: u64 = 1000;
/// Of old tasks so many stay, whatever is lost, and whatever they cost.
const FEWEST_IF_LOST: usize = 64;
const FEWEST_IF_COSTLY: usize = 8;
/// Tasks that are polled now may have been chosen two steps ago.
const BEHIND: f64 = 4.0;

/// What a drain has found, since the last one.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Load {
    /// Since the recording began.
    pub(crate) at: Duration,
    pub(crate) lost: u64,
    pub(crate) events: u64,
    pub(crate) spawns: u64,
    pub(crate) polls: Polls,
    /// Of the fullest ring, or of what we may hold: 1 is full.
    pub(crate) fill: f64,
    /// What recording costs the program: where that is new.
    pub(crate) cost: Option<Cost>,
}

#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Polls {
    pub(crate) recorded: u64,
    /// Those of them of tasks spawned lately, and how many they are with those for which they stand.
    pub(crate) young: u64,
    pub(crate) young_estimated: u64,
}

/// As a part of what it may cost.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Cost {
    pub(crate) all: f64,
    /// What of it would go with its tasks, were they left out: their spawns, and all that they do then.
    pub(crate) of_spawns: f64,
    pub(crate) of_tasks: f64,
}

/// Something of which there must be no more than 1.
#[derive(Clone, Copy, Debug, Default)]
struct Demand {
    /// However few of the tasks in question are recorded.
    fixed: f64,
    /// If all of them were.
    of_tasks: f64,
}

impl Demand {
    /// The level at which there is no more than `room`, or at which to go on hardly helps.
    fn level_for(self, room: f64) -> u32 {
        let left = (room - self.fixed).max(room * HARDLY * self.fixed);
        let levels = (self.of_tasks / left).log2().ceil();
        // As a number that is none, 0 tasks of 0, becomes 0.
        (levels as u32).min(Thinning::MAX_LEVEL)
    }
}

#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Control {
    thinning: Thinning,
    raised_at: Option<Duration>,
    easy_since: Option<Duration>,
    /// Polls since then, and of the last stretch in which there were any.
    since: Duration,
    polls: Polls,
    lately: Polls,
    /// Since that stretch began: events, and spawns with those that were left out.
    events: u64,
    spawns: u64,
    cost: Cost,
    cost_demand: Demand,
    excess: Option<Excess>,
}

impl Control {
    /// What to leave out from here on.
    pub(crate) fn after(&mut self, load: Load) -> Thinning {
        self.count(load);
        self.excess = None;
        let is_overrun = load.lost > 0 || load.fill > FULL;
        if is_overrun && self.raised_at.is_none_or(|at| load.at >= at + BETWEEN_RAISES) {
            let taken = load.events.max(1) as f64;
            let excess = (1.0 + load.lost as f64 / taken).max(load.fill / FULL);
            let of_new = excess * self.young_part();
            // They may have been spawned before the last step, but by now that shows; or before them all.
            let weight = f64::from(1 << self.thinning.level).min(self.young_weight() * BEHIND);
            let new = Demand {
                fixed: excess - of_new,
                of_tasks: of_new * weight,
            };
            let old = Demand {
                fixed: 0.0,
                of_tasks: excess,
            };
            self.raise(load.at, new, old, FEWEST_IF_LOST);
        }
        if let Some(cost) = load.cost {
            let of_new = cost.of_spawns + cost.of_tasks * self.young_part();
            self.cost = cost;
            self.cost_demand = Demand {
                fixed: cost.all - of_new,
                of_tasks: of_new * self.young_weight(),
            };
            if cost.all > 1.0 {
                let old = Demand {
                    fixed: cost.all - cost.of_tasks,
                    of_tasks: cost.of_tasks,
                };
                self.raise(load.at, self.cost_demand, old, FEWEST_IF_COSTLY);
            }
        }
        let is_easy = !is_overrun && load.fill < EASY && self.may_cost_more();
        match self.easy_since {
            _ if !is_easy => self.easy_since = None,
            None => self.easy_since = Some(load.at),
            Some(since) if load.at >= since + BEFORE_LOWERING => {
                self.lower(load.at);
                self.easy_since = Some(load.at);
            }
            Some(_) => {}
        }
        self.thinning
    }

    /// What that leaves, if it was too much just now and nothing more of that would help.
    pub(crate) fn excess(&self) -> Option<Excess> {
        self.excess
    }

    fn count(&mut self, load: Load) {
        self.polls.recorded += load.polls.recorded;
        self.polls.young += load.polls.young;
        self.polls.young_estimated += load.polls.young_estimated;
        self.events += load.events;
        self.spawns += load.spawns << self.thinning.level;
        if self.polls.recorded > 0 && load.at >= self.since + BETWEEN_RAISES {
            self.lately = std::mem::take(&mut self.polls);
            (self.events, self.spawns) = (load.events, load.spawns << self.thinning.level);
            self.since = load.at;
        }
    }

    /// The part of what is recorded that is of new tasks.
    fn young_part(&self) -> f64 {
        if self.spawns * EVENTS_PER_SPAWN < self.events {
            return 0.0;
        }
        self.lately.young as f64 / self.lately.recorded.max(1) as f64
    }

    /// For how many each of those stands.
    fn young_weight(&self) -> f64 {
        self.lately.young_estimated as f64 / self.lately.young.max(1) as f64
    }

    fn raise(&mut self, at: Duration, new: Demand, old: Demand, fewest: usize) {
        let before = self.thinning;
        let level = new.level_for(1.0);
        // One step may do.
        if self.thinning.skip_short_stacks || level > self.thinning.level + 1 {
            self.thinning.level = level.max(self.thinning.level);
        }
        self.thinning.skip_short_stacks = true;
        let step = old.level_for(1.0);
        self.excess = (self.thinning == before).then_some(Excess { step, fewest });
        self.raised_at = Some(at);
        self.changed(at);
    }

    /// Polls are counted anew.
    fn changed(&mut self, at: Duration) {
        (self.since, self.polls) = (at, Polls::default());
    }

    fn may_cost_more(&self) -> bool {
        match self.thinning.level {
            0 => self.cost.all < CHEAP,
            level => self.cost_demand.level_for(ROOM) < level,
        }
    }

    fn lower(&mut self, at: Duration) {
        self.changed(at);
        match self.thinning.level {
            0 => self.thinning.skip_short_stacks = false,
            level => self.thinning.level = level - 1,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const DRAIN: Duration = Duration::from_millis(10);

    /// So many drains find that.
    fn drains(control: &mut Control, from: Duration, count: u32, load: Load) -> (Duration, Vec<Thinning>) {
        let found = (1..=count).map(|nth| {
            let at = from + DRAIN * nth;
            let polls = Polls {
                young_estimated: load.polls.young << control.thinning.level,
                ..load.polls
            };
            control.after(Load { at, polls, ..load })
        });
        let thinnings = found.collect();
        (from + DRAIN * count, thinnings)
    }

    fn polls(young: u64) -> Polls {
        Polls {
            recorded: 1000,
            young,
            young_estimated: young,
        }
    }

    /// Half of what comes is lost.
    fn storm() -> Load {
        Load {
            lost: 4000,
            events: 4000,
            spawns: 1000,
            polls: polls(1000),
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
            cull: None,
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
    fn where_most_is_lost_several_steps_are_one() {
        let mut control = Control::default();
        let (now, _) = drains(
            &mut control,
            Duration::ZERO,
            10,
            Load {
                lost: 0,
                fill: 0.0,
                ..storm()
            },
        );
        let flood = Load {
            lost: 12_000,
            ..storm()
        };
        let (_, found) = drains(&mut control, now, 6, flood);
        assert_eq!(found[0], thinning(true, 2), "three of four");
        assert_eq!(found[4], thinning(true, 2));
        assert_eq!(found[5], thinning(true, 4));
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
        let old = Load {
            polls: polls(50),
            ..storm()
        };
        let (_, found) = drains(&mut Control::default(), Duration::ZERO, 100, old);
        assert_eq!(found[99], thinning(true, 0));
    }

    #[test]
    fn where_new_ones_are_not_the_reason_old_ones_are() {
        let mut control = Control::default();
        let steps = |control: &mut Control, ms, lost, young_estimated| {
            let polls = Polls {
                recorded: 1000,
                young: 1000,
                young_estimated,
            };
            let at = Duration::from_millis(ms);
            control.after(Load {
                at,
                lost,
                polls,
                ..storm()
            });
            control.excess().map(|excess| excess.step)
        };
        assert_eq!(steps(&mut control, 0, 4000, 1000), None, "stacks first");
        // Spawned lately, but before anything was left out: to leave out more does not help.
        let found: Vec<_> = (1..20)
            .map(|nth| steps(&mut control, 60 * nth, 12_000, 1000))
            .collect();
        assert_eq!(control.thinning, thinning(true, 4));
        assert_eq!(found.last(), Some(&Some(2)), "one in four is what is taken in");
        // Each stands for as many as it should, and so do those to come.
        let mut control = Control::default();
        for nth in 0..20 {
            let weight = 1 << control.thinning.level;
            let step = steps(&mut control, 60 * nth, 12_000, 1000 * weight);
            let is_last = control.thinning.level == Thinning::MAX_LEVEL;
            assert!(step.is_none() || is_last, "{nth}");
        }
    }

    /// A single task that does a lot within a poll is no storm.
    #[test]
    fn bug_a_burst_of_one_young_tasks_events_is_no_reason_to_leave_out_the_next() {
        let mut control = Control::default();
        let alone = Load {
            events: 10,
            spawns: 1,
            polls: polls(1000),
            ..Load::default()
        };
        let (now, _) = drains(&mut control, Duration::ZERO, 10, alone);
        let burst = Load {
            lost: 1_000_000,
            events: 5000,
            fill: 1.0,
            ..Load::default()
        };
        let (_, found) = drains(&mut control, now, 20, burst);
        assert_eq!(found[19], thinning(true, 0));
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
    fn a_level_is_what_its_room_needs() {
        let level = |fixed, of_tasks, room| Demand { fixed, of_tasks }.level_for(room);
        assert_eq!(level(0.0, 1.0, 1.0), 0);
        assert_eq!(level(0.0, 8.0, 1.0), 3);
        assert_eq!(level(0.5, 8.0, 1.0), 4);
        assert_eq!(level(0.5, 8.0, 0.75), 5);
        assert_eq!(level(4.0, 8.0, 1.0), 4, "a sixteenth of 8 is an eighth of 4");
        assert_eq!(level(80.0, 8.0, 1.0), 0, "not worth it");
        assert_eq!(level(0.0, 1e9, 1.0), Thinning::MAX_LEVEL);
        assert_eq!(level(0.0, 0.0, 1.0), 0);
    }

    proptest! {
        #[test]
        fn there_is_a_reason_for_each_step(loads in prop::collection::vec(
            (0..100u64, 0..200u64, 0..=100u64, 0.0..1.0f64, prop::option::of((0.0..30.0f64, 0.0..0.5f64))), 0..300)
        ) {
            let mut control = Control::default();
            let mut at = Duration::ZERO;
            let mut before = Thinning::default();
            for (ms, lost, young, fill, cost) in loads {
                at += Duration::from_millis(ms);
                let cost = cost.map(|(all, part)| Cost { all, of_spawns: all * part, of_tasks: all * part });
                let polls = Polls { recorded: 100, young, young_estimated: young << before.level };
                let now = control.after(Load { at, lost, events: 100, spawns: 1, polls, fill, cost });
                prop_assert!(now.skip_short_stacks || now.level == 0);
                let steps = |thinning: Thinning| u32::from(thinning.skip_short_stacks) + thinning.level;
                prop_assert!(steps(now) + 1 >= steps(before), "back by one");
                let is_easy = lost == 0 && fill <= FULL && cost.is_none_or(|cost| cost.all <= 1.0);
                prop_assert!(!is_easy || steps(now) <= steps(before));
                before = now;
            }
        }
    }
}
