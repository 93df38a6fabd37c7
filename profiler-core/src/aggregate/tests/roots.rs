//! The future under `block_on`: waits from its last waker to a wake-up, all else is running.

use proptest::prelude::*;

use super::{Timed, aggregate, event};
use crate::event::Kind;
use crate::profile::State;

const ROOT: u64 = 0x77;

/// (state, stack, ns, episodes), without empty rows.
fn rows(events: Vec<Timed>, end_ns: u64) -> Vec<(State, u32, u64, u64)> {
    let (profile, _) = aggregate(events, end_ns);
    assert!(profile.groups.iter().all(|group| group.is_root));
    let rows = profile.rows.iter();
    let mut rows: Vec<_> = rows
        .map(|row| {
            (
                row.state,
                row.stack.number,
                row.stats.total_ns,
                row.stats.episodes,
            )
        })
        .collect();
    rows.sort_by_key(|row| (row.0 as u8, row.1));
    rows
}

fn waiting(at_ns: u64, tag: u16, stack: u64) -> Timed {
    (0, at_ns, event(Kind::RootAwait, ROOT, tag, stack))
}

fn woken(at_ns: u64, tag: u16) -> Timed {
    (1, at_ns, event(Kind::RootWake, ROOT, tag, 40))
}

proptest! {
    /// Polls of any length with any number of wakers, each woken by one of them.
    #[test]
    fn a_root_runs_and_waits_in_turn(polls in prop::collection::vec((1..4usize, 0..3usize, 1..1000u64, 1..1000u64), 1..50)) {
        let mut now_ns = 10;
        let mut events = Vec::new();
        let (mut running_ns, mut waiting_ns, mut seen) = (0, [0; 4], false);
        for &(wakers, by, runs_ns, waits_ns) in &polls {
            running_ns += if seen { runs_ns } else { 0 };
            now_ns += runs_ns;
            seen = true;
            for at in 0..wakers {
                now_ns += u64::from(at > 0);
                running_ns += u64::from(at > 0);
                events.push(waiting(now_ns, at as u16 + 1, at as u64 + 1));
            }
            now_ns += waits_ns;
            waiting_ns[by % wakers + 1] += waits_ns;
            events.push(woken(now_ns, (by % wakers) as u16 + 1));
        }
        events.push((0, now_ns, event(Kind::RootEnd, ROOT, 0, 0)));
        let found = rows(events, now_ns + 5);
        let sum = |state: State, stack: u32| found.iter().filter(|r| (r.0, r.1) == (state, stack)).map(|r| r.2).sum::<u64>();
        prop_assert_eq!(sum(State::Running, 0), running_ns);
        for stack in 1..4 {
            prop_assert_eq!(sum(State::Waiting, stack), waiting_ns[stack as usize]);
        }
        prop_assert_eq!(found.iter().map(|r| r.2).sum::<u64>(), running_ns + waiting_ns.iter().sum::<u64>());
    }
}

#[test]
fn bug_a_wait_for_several_was_given_to_the_latest() {
    let events = vec![waiting(0, 1, 7), waiting(0, 2, 8), woken(101, 0)];
    let split = [
        (State::Running, 0, 9, 1),
        (State::Waiting, 7, 50, 1),
        (State::Waiting, 8, 51, 1),
    ];
    let mut found = rows(events, 110);
    found.sort_by_key(|row| row.2);
    assert_eq!(found, split);
}

#[test]
fn a_root_is_lost_from_a_loss_to_its_next_waker() {
    let events = vec![
        (1, 0, event(Kind::ThreadStart, 2, 0, 0)),
        waiting(10, 1, 7),
        woken(20, 1),
        (1, 25, event(Kind::Gap, 0, 0, 0)),
        (1, 30, event(Kind::Gap, 0, 0, 4)),
        waiting(50, 1, 7),
        woken(60, 1),
        waiting(60, 1, 7),
    ];
    let expected = [
        (State::Running, 0, 5, 1),
        // Twice until a wake-up, once until the end.
        (State::Waiting, 7, 20, 2),
        (State::Waiting, 7, 40, 1),
        (State::Lost, 0, 25, 1),
    ];
    let mut found = rows(events, 100);
    found.sort_by_key(|row| (row.0 == State::Lost, row.1));
    assert_eq!(found, expected);
}

#[test]
fn a_root_that_never_wakes_is_counted_as_open() {
    let (profile, _) = aggregate(vec![waiting(10, 1, 7)], 100);
    let row = &profile.rows[0];
    assert_eq!(
        (row.state, row.stats.total_ns, row.open_episodes),
        (State::Waiting, 90, 1)
    );
}

/// A scheduler of one thread never says that `block_on` returns.
#[test]
fn bug_threads_with_a_scheduler_each_at_one_address_were_one_root_task() {
    let start = |at_ns| (0, at_ns, event(Kind::ThreadStart, 2, 0, 0));
    let wake = |at_ns| (0, at_ns, event(Kind::RootWake, ROOT, 1, 40));
    let events = vec![
        start(0),
        waiting(10, 1, 7),
        wake(20),
        // The next thread gets the slot, and its scheduler the memory, of the one that has ended.
        start(50),
        waiting(60, 1, 7),
        wake(70),
        // Another thread enters that scheduler.
        (1, 75, event(Kind::ThreadStart, 3, 0, 0)),
        (1, 80, event(Kind::RootAwait, ROOT, 1, 7)),
        (1, 90, event(Kind::RootWake, ROOT, 1, 40)),
        (1, 95, event(Kind::RootEnd, ROOT, 0, 0)),
    ];
    let (profile, _) = aggregate(events.clone(), 100);
    assert_eq!(profile.groups.iter().map(|group| group.tasks).sum::<u64>(), 3);
    assert_eq!(
        rows(events, 100),
        [(State::Running, 0, 5, 1), (State::Waiting, 7, 30, 3)]
    );
}
