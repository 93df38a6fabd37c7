//! Branches polled with wakers of their own: the wait belongs to the one that ended it.

use super::{Timed, aggregate, event};
use crate::aggregate::aggregator::Aggregator;
use crate::event::{Kind, Outcome, wake_aux};
use crate::profile::State;

const TASK: u64 = 0x1000;
const OTHER: u64 = 0x2000;
/// Where the set stands.
const SET: u64 = 9;

fn spawn(at_ns: u64, task: u64) -> Timed {
    (0, at_ns, event(Kind::Spawn, task, 0, 1))
}

fn start(at_ns: u64, task: u64, id: u64) -> Timed {
    (0, at_ns, event(Kind::PollStart, task, 0, id))
}

fn set(at_ns: u64, task: u64) -> Timed {
    (0, at_ns, event(Kind::Await, task, 1, SET))
}

fn child(at_ns: u64, relay: u64, tag: u16, stack: u64) -> Timed {
    (0, at_ns, event(Kind::RelayAwait, relay, tag, stack))
}

fn pending(at_ns: u64, task: u64) -> Timed {
    (0, at_ns, event(Kind::PollEnd, task, Outcome::Pending as u16, 0))
}

fn dropped(at_ns: u64, relay: u64, tag: u16) -> Timed {
    (1, at_ns, event(Kind::RelayDrop, relay, tag, 0))
}

fn relay(at_ns: u64, relay: u64, tag: u16, outer: u8) -> Timed {
    (1, at_ns, event(Kind::RelayWake, relay, wake_aux(tag, outer), 0))
}

fn wake(at_ns: u64, task: u64, relays: u8) -> Timed {
    (1, at_ns, event(Kind::Wake, task, wake_aux(1, relays), 50))
}

/// Σ ns waited at each of these stacks.
fn waited<const N: usize>(events: &[Timed], end_ns: u64, stacks: [u32; N]) -> [u64; N] {
    let (profile, _) = aggregate(events.iter().copied(), end_ns);
    stacks.map(|stack| {
        let rows = profile.rows.iter();
        rows.filter(|row| row.state == State::Waiting && row.stack.number == stack)
            .map(|row| row.stats.total_ns)
            .sum()
    })
}

/// A task that waits in a set with children at 20, 21 and 22 since 10.
fn three_children() -> Vec<Timed> {
    vec![
        spawn(0, TASK),
        start(1, TASK, 1),
        set(2, TASK),
        child(3, 0xa0, 1, 20),
        child(4, 0xb0, 2, 21),
        child(5, 0xc0, 3, 22),
        pending(10, TASK),
    ]
}

#[test]
fn each_wait_goes_to_the_child_that_ended_it() {
    let mut events = three_children();
    events.extend([relay(30, 0xb0, 2, 0), wake(30, TASK, 1)]);
    // Only the child that was woken is polled.
    events.extend([start(31, TASK, 1), set(32, TASK), pending(35, TASK)]);
    events.extend([relay(70, 0xa0, 1, 0), dropped(70, 0xa0, 1), wake(70, TASK, 1)]);
    events.extend([
        start(71, TASK, 1),
        set(72, TASK),
        child(73, 0xa0, 4, 23),
        pending(75, TASK),
    ]);
    events.extend([relay(80, 0xa0, 4, 0), wake(80, TASK, 1)]);
    assert_eq!(waited(&events, 80, [20, 21, 22, 23, 9]), [35, 20, 0, 5, 0]);
}

#[test]
fn a_child_that_awaits_two_things_tells_them_apart() {
    let mut events = three_children();
    events.insert(6, child(6, 0xc0, 4, 30));
    events.extend([relay(50, 0xc0, 4, 0), wake(50, TASK, 1)]);
    assert_eq!(waited(&events, 50, [22, 30]), [0, 40]);
    let at = events.len() - 2;
    events[at] = relay(50, 0xc0, 0, 0);
    assert_eq!(
        waited(&events, 50, [22, 30]),
        [20, 20],
        "which one cannot be told"
    );
}

#[test]
fn the_innermost_of_nested_branches_counts() {
    let mut events = three_children();
    events.extend([relay(50, 0xb0, 2, 0), relay(50, 0xa0, 1, 1), wake(50, TASK, 2)]);
    assert_eq!(waited(&events, 50, [20, 21, 9]), [0, 40, 0]);
}

#[test]
fn a_wake_up_after_a_relays_or_of_another_task_is_its_own() {
    let mut events = three_children();
    events.extend([spawn(11, OTHER), start(12, OTHER, 2)]);
    events.extend([(0, 13, event(Kind::Await, OTHER, 1, 40)), pending(14, OTHER)]);
    // The relay wakes both; and what it wakes later, when its call is over, it did not wake.
    events.extend([relay(50, 0xa0, 1, 0), wake(54, OTHER, 1), wake(60, TASK, 0)]);
    assert_eq!(waited(&events, 60, [20, 40, 9]), [0, 40, 50]);
}

#[test]
fn a_relay_used_while_its_task_is_scheduled_names_no_later_wait() {
    let mut events = three_children();
    events.extend([
        relay(50, 0xa0, 1, 0),
        wake(50, TASK, 1),
        relay(51, 0xb0, 2, 0),
        dropped(51, 0xb0, 2),
    ]);
    events.extend([start(60, TASK, 1), set(61, TASK), pending(65, TASK)]);
    events.extend([relay(75, 0xb0, 2, 0), wake(75, TASK, 1)]);
    assert_eq!(waited(&events, 75, [20, 21, 9]), [40, 0, 10]);
}

#[test]
fn the_next_task_in_the_same_memory_inherits_no_branch() {
    let mut events = three_children();
    events.push((0, 20, event(Kind::End, TASK, Outcome::Cancelled as u16, 0)));
    events.extend([
        spawn(20, TASK),
        start(20, TASK, 2),
        set(20, TASK),
        pending(20, TASK),
    ]);
    events.extend([relay(50, 0xa0, 1, 0), wake(50, TASK, 1)]);
    assert_eq!(
        waited(&events, 50, [20, 9]),
        [0, 40],
        "the first task's until 20, the second's from there"
    );
}

#[test]
fn what_was_known_of_branches_before_a_loss_is_forgotten() {
    let mut events = three_children();
    events.extend([
        (1, 20, event(Kind::Gap, 0, 0, 0)),
        (1, 21, event(Kind::Gap, 0, 0, 5)),
    ]);
    events.extend([start(30, TASK, 1), set(31, TASK), pending(35, TASK)]);
    events.extend([relay(50, 0xa0, 1, 0), wake(50, TASK, 1)]);
    assert_eq!(waited(&events, 50, [20, 9]), [0, 10 + 15]);
}

#[test]
fn bug_a_waker_left_anew_under_the_same_tag_was_forgotten_with_the_old_one() {
    let mut events = three_children();
    events.extend([start(20, TASK, 1), set(21, TASK)]);
    events.extend([child(22, 0xa0, 1, 20), dropped(23, 0xa0, 1), pending(25, TASK)]);
    events.extend([relay(50, 0xa0, 1, 0), wake(50, TASK, 1)]);
    assert_eq!(waited(&events, 50, [20, 9])[0], 25);
}

#[test]
fn a_stuck_task_is_shown_at_its_branches() {
    let mut one = three_children();
    one.drain(4..6);
    assert_eq!(waited(&one, 100, [20, 9]), [90, 0]);
    let (profile, _) = aggregate(one.clone(), 100);
    assert_eq!(profile.open_waits[0].stack.number, 20);

    let mut three = three_children();
    assert_eq!(waited(&three, 100, [20, 21, 22, 9]), [30, 30, 30, 0]);
    // A child that is done leaves a waker, too, and drops it.
    three.insert(6, dropped(6, 0xb0, 2));
    assert_eq!(waited(&three, 100, [20, 21, 22, 9]), [45, 0, 45, 0]);
    // The set was polled twice.
    one.insert(4, set(6, TASK));
    assert_eq!(waited(&one, 100, [20, 9]), [90, 0]);
    // It waits elsewhere, too.
    one.insert(4, (0, 6, event(Kind::Await, TASK, 2, 8)));
    assert_eq!(waited(&one, 100, [20, 8, 9]), [0, 30, 60]);
}

#[test]
fn branches_of_root_tasks_are_told_apart_too() {
    let root = |at_ns, kind, aux, stack| (0, at_ns, event(kind, 0x500, aux, stack));
    let events = [
        root(0, Kind::RootAwait, 1, SET),
        child(10, 0xa0, 1, 20),
        child(20, 0xb0, 2, 21),
        relay(60, 0xb0, 2, 0),
        (1, 60, event(Kind::RootWake, 0x500, wake_aux(1, 1), 50)),
        root(70, Kind::RootAwait, 2, SET),
        relay(90, 0xa0, 1, 0),
        (1, 90, event(Kind::RootWake, 0x500, wake_aux(2, 1), 50)),
    ];
    assert_eq!(waited(&events, 90, [20, 21, 9]), [20, 40, 0]);
}

#[test]
fn relays_without_end_take_bounded_memory() {
    let mut aggregator = Aggregator::new();
    let mut give = |timed: Timed| aggregator.event(timed.0, timed.1, timed.2, u32::from);
    for number in 0..1_000u64 {
        let (task, at_ns) = (0x100_0000 + number * 128, number * 10_000);
        give(spawn(at_ns, task));
        give(start(at_ns, task, number + 1));
        (0..1_000).for_each(|child_of| give(child(at_ns, (number * 1000 + child_of) * 16, 1, 20)));
        give((0, at_ns + 1, event(Kind::PollEnd, task, Outcome::Ready as u16, 0)));
    }
    assert!(aggregator.relays_known() < 5_000, "{}", aggregator.relays_known());
    let mut give = |timed: Timed| aggregator.event(timed.0, timed.1, timed.2, u32::from);
    give(spawn(0, TASK));
    give(start(0, TASK, 1));
    (0..1_000_000).for_each(|number| give(child(1, number * 16, 1, 20)));
    assert!(
        aggregator.relays_known() <= 1 << 18,
        "{}",
        aggregator.relays_known()
    );
}
