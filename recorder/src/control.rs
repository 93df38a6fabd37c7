//! What to leave out when events come faster than they are taken in, or cost the program more than was allowed.
//!
//! In this order: first stacks of short waits, then new tasks. Of these as many at once as are too much, as far as it is new
//! tasks that make it so. Back the same way, a step at a time and slowly: where there was too much there will be again.

use std::time::Duration;

use asyncprof_core::thinning::Thinning;

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
/// Where new tasks make less than this part of the rest, to leave out more of them would not help.
const HARDLY: f64 = 0.125;

/// What a drain has found, since the last one.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Load {
    /// Since the recording began.
    pub(crate) at: Duration,
    pub(crate) lost: u64,
    pub(crate) events: u64,
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
    /// However few of the new tasks are recorded.
    fixed: f64,
    /// If all of them were.
    of_new_tasks: f64,
}

impl Demand {
    /// The level at which there is no more than `room`, or at which to go on hardly helps.
    fn level_for(self, room: f64) -> u32 {
        let left = (room - self.fixed).max(room * HARDLY * self.fixed);
        let levels = (self.of_new_tasks / left).log2().ceil();
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
    cost: Cost,
    cost_demand: Demand,
}

impl Control {
    /// What to leave out from here on.
    pub(crate) fn after(&mut self, load: Load) -> Thinning {
        self.count(load);
        let is_overrun = load.lost > 0 || load.fill > FULL;
        if is_overrun && self.raised_at.is_none_or(|at| load.at >= at + BETWEEN_RAISES) {
            let taken = load.events.max(1) as f64;
            let excess = (1.0 + load.lost as f64 / taken).max(load.fill / FULL);
            let of_new = excess * self.young_part();
            self.raise(
                load.at,
                Demand {
                    fixed: excess - of_new,
                    // Those that are polled now may have been spawned before the last step, but by now that shows.
                    of_new_tasks: of_new * f64::from(1 << self.thinning.level),
                },
            );
        }
        if let Some(cost) = load.cost {
            let of_new = cost.of_spawns + cost.of_tasks * self.young_part();
            self.cost = cost;
            self.cost_demand = Demand {
                fixed: cost.all - of_new,
                of_new_tasks: of_new * self.lately.young_estimated as f64 / self.lately.young.max(1) as f64,
            };
            if cost.all > 1.0 {
                self.raise(load.at, self.cost_demand);
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

    fn count(&mut self, load: Load) {
        self.polls.recorded += load.polls.recorded;
        self.polls.young += load.polls.young;
        self.polls.young_estimated += load.polls.young_estimated;
        if self.polls.recorded > 0 && load.at >= self.since + BETWEEN_RAISES {
            self.lately = std::mem::take(&mut self.polls);
            self.since = load.at;
        }
    }

    /// The part of what is recorded that is of new tasks.
    fn young_part(&self) -> f64 {
        self.lately.young as f64 / self.lately.recorded.max(1) as f64
    }

    fn raise(&mut self, at: Duration, demand: Demand) {
        let level = demand.level_for(1.0);
        // One step may do.
        if self.thinning.skip_short_stacks || level > self.thinning.level + 1 {
            self.thinning.level = level.max(self.thinning.level);
        }
        self.thinning.skip_short_stacks = true;
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
            control.after(Load { at, ..load })
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
        let level = |fixed, of_new_tasks, room| Demand { fixed, of_new_tasks }.level_for(room);
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
                let now = control.after(Load { at, lost, events: 100, polls, fill, cost });
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
