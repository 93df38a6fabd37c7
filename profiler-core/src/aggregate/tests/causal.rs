//! All events seen: what comes out is the truth, to the nanosecond.

use proptest::prelude::*;

use super::aggregate;
use super::simulator::{Rules, Simulator, Step};
use super::truth::{counts_of, rows_of};

pub(super) fn steps() -> impl Strategy<Value = Vec<Step>> {
    // Now and then a long time, so that windows are crossed.
    let after_ns = prop_oneof![8 => 0..2000u32, 1 => 0..3_000_000_000u32];
    prop::collection::vec((any::<u8>(), any::<u16>(), any::<u16>(), after_ns), 0..400)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    #[test]
    fn every_nanosecond_is_where_it_was_spent(steps in steps(), late_ends: bool, unseen_spawns: bool) {
        let rules = Rules { own_groups: false, late_ends, unseen_spawns };
        let (events, end_ns, truth) = Simulator::run(rules, &steps);
        let (profile, _) = aggregate(events, end_ns);
        prop_assert_eq!(rows_of(&profile), truth.rows());
        prop_assert_eq!(counts_of(&profile), truth.groups);
        let total_ns: u64 = profile.rows.iter().map(|row| row.stats.total_ns).sum();
        prop_assert_eq!(total_ns, truth.lives_ns);
        prop_assert_eq!(profile.counts.tasks_seen_late, truth.seen_late);
        prop_assert_eq!(profile.counts.waits_split, truth.splits);
        prop_assert_eq!(profile.counts.wakes_unseen, 0);
        for row in &profile.rows {
            prop_assert_eq!(row.windows().iter().map(|window| window.1).sum::<u64>(), row.stats.total_ns);
        }
        let longest = profile.longest_polls.iter().map(|poll| poll.duration_ns).max();
        let runs = truth.episodes.iter().filter(|e| e.ring != usize::MAX && !e.open);
        prop_assert_eq!(longest, runs.map(|run| run.end_ns - run.start_ns).max());
    }
}
