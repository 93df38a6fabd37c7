//! Single stories, each named after what went wrong or what must hold.

use super::{Timed, aggregate, event};
use crate::aggregate::aggregator::Aggregator;
use crate::event::{Kind, Outcome};
use crate::profile::{LONGEST_POLLS, OLDEST_WAITS, State};

const TASK: u64 = 0x1000;

fn spawn(ring: usize, at_ns: u64, stack: u64) -> Timed {
    (ring, at_ns, event(Kind::Spawn, TASK, 0, stack))
}

fn start(ring: usize, at_ns: u64, id: u64) -> Timed {
    (ring, at_ns, event(Kind::PollStart, TASK, 0, id))
}

fn await_at(ring: usize, at_ns: u64, tag: u16, stack: u64) -> Timed {
    (ring, at_ns, event(Kind::Await, TASK, tag, stack))
}

fn wake(ring: usize, at_ns: u64, tag: u16) -> Timed {
    (ring, at_ns, event(Kind::Wake, TASK, tag, 50))
}

fn end(ring: usize, at_ns: u64, outcome: Outcome) -> Timed {
    (ring, at_ns, event(Kind::PollEnd, TASK, outcome as u16, 0))
}

fn free(ring: usize, at_ns: u64) -> Timed {
    (ring, at_ns, event(Kind::End, TASK, Outcome::Freed as u16, 0))
}

/// Σ ns of the rows in this state at this stack.
fn spent(events: &[Timed], end_ns: u64, state: State, stack: u32) -> u64 {
    let (profile, _) = aggregate(events.iter().copied(), end_ns);
    let rows = profile.rows.iter();
    rows.filter(|row| (row.state, row.stack.number) == (state, stack))
        .map(|row| row.stats.total_ns)
        .sum()
}

#[test]
fn bug_a_late_poll_end_made_a_waiting_task_lost() {
    let events = [
        spawn(0, 0, 9),
        start(0, 10, 1),
        await_at(0, 11, 1, 7),
        wake(2, 12, 1),
        start(1, 20, 1),
        await_at(1, 21, 2, 8),
        end(1, 30, Outcome::Pending),
        // Ring 0's thread was preempted before it could write this.
        end(0, 40, Outcome::Pending),
    ];
    assert_eq!(spent(&events, 100, State::Lost, 0), 0);
    assert_eq!(spent(&events, 100, State::Waiting, 8), 70);
}

#[test]
fn bug_a_task_freed_before_its_last_poll_end_was_not_counted_as_completed() {
    let events = [
        spawn(0, 0, 9),
        start(0, 10, 1),
        free(1, 20),
        spawn(1, 21, 8),
        // The first task's; the second was not polled yet and must not be taken for it.
        end(0, 25, Outcome::Ready),
        start(1, 30, 2),
        end(1, 40, Outcome::Pending),
    ];
    let (profile, _) = aggregate(events, 100);
    let counts: Vec<_> = profile
        .groups
        .iter()
        .map(|g| (g.spawn_stack.number, g.tasks, g.completed))
        .collect();
    assert_eq!(counts, [(9, 1, 1), (8, 1, 0)]);
    assert_eq!(profile.counts.tasks_seen_late, 0);
    assert_eq!(spent(&events, 100, State::Scheduled, 0), 10 + 9);
}

#[test]
fn bug_a_wake_without_tag_in_a_poll_was_given_to_a_registration() {
    let events = [
        spawn(0, 0, 9),
        start(0, 10, 1),
        await_at(0, 11, 1, 7),
        // `cx.waker().wake_by_ref()`
        wake(0, 12, 0),
        end(0, 20, Outcome::Pending),
        start(0, 50, 1),
        end(0, 60, Outcome::Ready),
    ];
    assert_eq!(spent(&events, 60, State::Scheduled, 7), 0);
    assert_eq!(spent(&events, 60, State::Scheduled, 0), 10 + 30);
}

#[test]
fn bug_a_tag_given_out_twice_in_a_poll_named_the_latest() {
    let mut events = vec![spawn(0, 0, 9), start(0, 10, 1)];
    events.extend([
        await_at(0, 11, 1, 7),
        await_at(0, 12, 2, 8),
        await_at(0, 13, 1, 6),
    ]);
    events.extend([end(0, 20, Outcome::Pending), wake(1, 51, 1)]);
    let waits = [6, 7, 8].map(|stack| spent(&events, 51, State::Waiting, stack));
    assert_eq!(waits, [15, 16, 0]);
}

#[test]
fn a_poll_that_registers_nothing_keeps_the_older_places() {
    let events = [
        spawn(0, 0, 9),
        start(0, 10, 1),
        await_at(0, 11, 1, 7),
        end(0, 20, Outcome::Pending),
        wake(1, 30, 1),
        start(0, 40, 1),
        end(0, 50, Outcome::Pending),
    ];
    assert_eq!(spent(&events, 90, State::Waiting, 7), 10 + 40);
    assert_eq!(spent(&events, 90, State::Scheduled, 7), 10);
}

#[test]
fn only_the_first_wake_counts() {
    let events = [
        spawn(0, 0, 9),
        start(0, 10, 1),
        await_at(0, 11, 1, 7),
        await_at(0, 12, 2, 8),
        end(0, 20, Outcome::Pending),
        wake(1, 30, 2),
        wake(1, 35, 1),
        start(0, 40, 1),
    ];
    assert_eq!(spent(&events, 50, State::Waiting, 8), 10);
    assert_eq!(spent(&events, 50, State::Waiting, 7), 0);
    assert_eq!(spent(&events, 50, State::Scheduled, 8), 10);
}

#[test]
fn many_short_tasks_take_no_more_room_than_one() {
    let mut aggregator = Aggregator::new();
    let mut at_ns = 0;
    for id in 1..=100_000 {
        let address = 128 * (id % 7 + 1);
        let story = [
            event(Kind::Spawn, address, 0, 9),
            event(Kind::PollStart, address, 0, id),
            event(Kind::Await, address, 1, 7),
            event(Kind::PollEnd, address, Outcome::Ready as u16, 0),
        ];
        for event in story {
            at_ns += 1;
            aggregator.event(0, at_ns, event, u32::from);
        }
        aggregator.tally.rows.probe = Default::default();
    }
    assert_eq!(aggregator.tasks_alive(), 0);
    let profile = aggregator.finish(at_ns);
    assert_eq!((profile.groups.len(), profile.rows.len()), (1, 2));
    assert_eq!(profile.groups[0].completed, 100_000);
    assert_eq!(profile.longest_polls.len(), LONGEST_POLLS);
}

#[test]
fn what_waits_at_the_end_is_told_by_place_and_age() {
    let events = [
        spawn(0, 0, 9),
        start(0, 10, 1),
        await_at(0, 11, 1, 7),
        await_at(0, 12, 2, 8),
        end(0, 30, Outcome::Pending),
    ];
    let (profile, _) = aggregate(events, 100);
    let [wait] = &profile.open_waits[..] else {
        panic!("{:?}", profile.open_waits);
    };
    assert_eq!(
        (wait.stack.number, wait.tasks),
        (7, 1),
        "where it registered first"
    );
    assert_eq!(wait.oldest_ns, [70]);
    let woken = events.into_iter().chain([wake(1, 40, 1)]);
    assert_eq!(
        aggregate(woken, 100).0.open_waits,
        [],
        "it does not wait any more"
    );
}

#[test]
fn of_many_that_wait_at_the_end_the_oldest_are_remembered() {
    let mut aggregator = Aggregator::new();
    let many = 2 * OLDEST_WAITS as u64;
    aggregator.event(0, 0, event(Kind::ThreadStart, 0, 0, 0), |_| 0);
    for at in 0..many {
        let task = 0x1000 + at * 0x100;
        aggregator.event(0, at, event(Kind::PollStart, task, 0, at + 1), |_| 0);
        aggregator.event(0, at, event(Kind::Await, task, 1, 7), |_| 0);
        aggregator.event(
            0,
            at,
            event(Kind::PollEnd, task, Outcome::Pending as u16, 0),
            |_| 0,
        );
    }
    let profile = aggregator.finish(many);
    let waits = &profile.open_waits;
    assert_eq!(waits.iter().map(|wait| wait.tasks).collect::<Vec<_>>(), [many]);
    let oldest: Vec<u64> = (0..OLDEST_WAITS as u64).map(|at| many - at).collect();
    assert_eq!(waits[0].oldest_ns, oldest);
}
