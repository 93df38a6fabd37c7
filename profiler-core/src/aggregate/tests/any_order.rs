//! Any events in any order: no panic, and the states of each task add up to its life.

use std::collections::HashMap;

use proptest::prelude::*;

use super::{Timed, aggregate};
use crate::event::{Event, Kind, poll_value, wake_aux};

fn kinds() -> impl Strategy<Value = Kind> {
    prop::sample::select(vec![
        Kind::ThreadStart,
        Kind::Gap,
        Kind::Spawn,
        Kind::PollStart,
        Kind::PollStart,
        Kind::LeftOut,
        Kind::PollEnd,
        Kind::PollEnd,
        Kind::Await,
        Kind::Await,
        Kind::Wake,
        Kind::Wake,
        Kind::End,
        Kind::RootAwait,
        Kind::RootWake,
        Kind::RootEnd,
        Kind::TableSeen,
        Kind::RelayAwait,
        Kind::RelayAwait,
        Kind::RelayWake,
        Kind::RelayWake,
        Kind::RelayDrop,
        Kind::Sample,
        Kind::Sample,
        Kind::Work,
        Kind::Label,
        Kind::Label,
    ])
}

/// Few subjects, tags and stacks, so that events meet.
fn events(after_ns: impl Strategy<Value = u64>) -> impl Strategy<Value = Vec<Timed>> {
    let kind = (kinds(), 0..3u8);
    let one = (kind, 0..4usize, 1..6u64, 0..6u16, 0..5u64, after_ns);
    prop::collection::vec(one, 0..300).prop_map(|steps| {
        let mut now_ns = 0u64;
        let mut event_after =
            |((kind, relays), ring, subject, aux, value, after_ns): (_, _, _, _, _, u64)| {
                let aux = match kind {
                    Kind::Wake | Kind::RootWake | Kind::RelayWake => wake_aux(aux, relays),
                    _ => aux,
                };
                let value = match kind {
                    Kind::PollStart => poll_value(value, u32::from(relays)),
                    _ => value,
                };
                now_ns = now_ns.saturating_add(after_ns);
                let ticks = 0;
                (
                    ring,
                    now_ns,
                    Event {
                        kind,
                        ticks,
                        subject,
                        aux,
                        value,
                    },
                )
            };
        steps.into_iter().map(&mut event_after).collect()
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1024))]

    #[test]
    fn the_states_of_a_task_add_up_to_its_life(events in events(0..700_000_000u64), after_ns in 0..5_000_000_000u64) {
        let end_ns = events.last().map_or(0, |event| event.1) + after_ns;
        let (profile, probe) = aggregate(events, end_ns);
        let heaviest = profile.counts.heaviest_task;
        let mut spent = HashMap::new();
        for row in &profile.rows {
            let windows = row.windows();
            prop_assert_eq!(windows.iter().map(|window| window.1).sum::<u64>(), row.stats.total_ns);
            prop_assert!(windows.is_sorted_by(|a, b| a.0 < b.0));
            prop_assert!(row.stats.max_ns <= end_ns && row.open_episodes <= row.stats.episodes);
            *spent.entry(row.group).or_insert(0i128) += i128::from(row.stats.total_ns);
        }
        for (group, life_ns) in probe.lives_ns {
            prop_assert_eq!(spent.get(&group).copied().unwrap_or(0), life_ns);
            let most = profile.groups[group.group as usize].tasks * heaviest;
            prop_assert!(life_ns <= i128::from(most) * i128::from(end_ns));
        }
        for group in &profile.groups {
            let ended = group.completed + group.cancelled + group.panicked;
            prop_assert!(ended <= group.tasks * heaviest, "{:?}", group);
        }
        for episode in &probe.episodes {
            prop_assert!(episode.start_ns <= episode.end_ns && episode.end_ns <= end_ns);
        }
    }

    #[test]
    fn absurd_times_overflow_nothing(mut events in events(any::<u64>()), end_ns: u64) {
        aggregate(events.iter().copied(), end_ns);
        // That for which others stand may be more than fits.
        for (_, _, event) in &mut events {
            match event.kind {
                Kind::Spawn => event.aux = 0,
                Kind::PollStart => event.value = event.id_and_step().0,
                _ => {}
            }
        }
        let (profile, probe) = aggregate(events, end_ns);
        let mut spent = HashMap::new();
        for row in &profile.rows {
            *spent.entry(row.group).or_insert(0i128) += i128::from(row.stats.total_ns);
        }
        for (group, life_ns) in probe.lives_ns {
            prop_assert_eq!(spent.get(&group).copied().unwrap_or(0), life_ns);
        }
    }
}
