//! Who spawned whom, as groups tell it.

use super::{Timed, aggregate, event};
use crate::event::{BY_LEFT_OUT, Kind, Outcome};

fn spawn(ring: usize, at_ns: u64, task: u64, stack: u64) -> Timed {
    (ring, at_ns, event(Kind::Spawn, task, 0, stack))
}

fn start(ring: usize, at_ns: u64, task: u64, table: u16) -> Timed {
    (ring, at_ns, event(Kind::PollStart, task, table, task))
}

fn end(ring: usize, at_ns: u64, task: u64, outcome: Outcome) -> Timed {
    (ring, at_ns, event(Kind::PollEnd, task, outcome as u16, 0))
}

/// Of each group: its spawn stack, the spawn stacks of its parent, its parent's parent and so on, and its tasks.
fn families(events: impl IntoIterator<Item = Timed>) -> Vec<(u32, Vec<u32>, u64)> {
    let (profile, _) = aggregate(events, 1_000_000);
    let place = |group: u32| profile.groups[group as usize].spawn_stack.number;
    let above = |group: u32| profile.groups[group as usize].parent.map(|id| id.group);
    (0..profile.groups.len() as u32)
        .map(|group| {
            assert!(above(group).is_none_or(|parent| parent < group));
            let ancestors = std::iter::successors(above(group), |&id| above(id));
            let tasks = profile.groups[group as usize].tasks;
            (place(group), ancestors.map(place).collect(), tasks)
        })
        .collect()
}

#[test]
fn what_is_spawned_by_a_task_that_is_left_out_has_the_parent_that_its_kind_has() {
    let by_left_out = |at_ns, task, stack| (0, at_ns, event(Kind::Spawn, task, BY_LEFT_OUT, stack));
    let events = [
        // Whose loop hosts all tasks of its thread.
        start(0, 0, 0x100, 0),
        by_left_out(1, 0x200, 3),
        start(0, 2, 0x200, 2),
        end(0, 3, 0x200, Outcome::Ready),
        spawn(0, 4, 0x300, 2),
        start(0, 5, 0x300, 1),
        spawn(0, 6, 0x400, 3),
        end(0, 7, 0x300, Outcome::Pending),
        start(1, 7, 0x400, 2),
        by_left_out(8, 0x500, 3),
        start(0, 9, 0x500, 2),
        end(0, 10, 0x500, Outcome::Ready),
    ];
    let expected = [
        (0, vec![], 1),
        // No other was seen by then.
        (3, vec![], 1),
        (2, vec![0], 1),
        (3, vec![2, 0], 2),
    ];
    assert_eq!(families(events), expected);
}

#[test]
fn the_task_polled_on_the_spawning_thread_is_the_parent() {
    let events = [
        spawn(0, 0, 0x100, 1),
        spawn(0, 1, 0x200, 2),
        start(0, 10, 0x100, 0),
        start(1, 10, 0x200, 1),
        // The same place in the program, reached by two kinds of tasks.
        spawn(0, 11, 0x300, 3),
        spawn(1, 12, 0x400, 3),
        spawn(1, 13, 0x500, 3),
        end(0, 20, 0x100, Outcome::Pending),
        end(1, 20, 0x200, Outcome::Pending),
        // Nothing is polled there now.
        spawn(0, 21, 0x600, 3),
        start(0, 30, 0x300, 2),
        start(1, 30, 0x400, 2),
        end(1, 31, 0x400, Outcome::Ready),
        start(1, 32, 0x600, 2),
        // Shut down without a poll.
        (2, 40, event(Kind::End, 0x500, Outcome::Cancelled as u16, 0)),
    ];
    let expected = [
        (1, vec![], 1),
        (2, vec![], 1),
        (3, vec![1], 1),
        (3, vec![2], 1),
        (3, vec![], 1),
        (3, vec![2], 1),
    ];
    assert_eq!(
        families(events),
        expected,
        "the last of a table that nobody knows"
    );
}

#[test]
fn recursion_is_one_group_however_deep() {
    // Each task spawns the next before it ends, from two places in turn.
    let events = (1..10_000_u64).flat_map(|n| {
        let (task, place) = (0x100 * n, 1 + n % 2);
        [
            spawn(0, 10 * n, task, place),
            end(0, 10 * n + 1, task - 0x100, Outcome::Ready),
            start(0, 10 * n + 2, task, 0),
        ]
    });
    let families = families(events);
    assert_eq!(families[..2], [(2, vec![], 5000), (1, vec![2], 4999)]);
    assert_eq!(families.len(), 2);
}

#[test]
fn parents_do_not_make_groups_without_bound() {
    // Three generations of a task at each of 1,000 places: by parents, those would be a thousand million groups.
    let mut events = Vec::new();
    for n in 0..60_000_u64 {
        let at_ns = 10 * n;
        let place = |generation: u64| 1 + 1000 * generation + n * (generation * 7919 + 1) % 1000;
        for generation in 0..3 {
            let task = 0x100 * (3 * n + generation + 1);
            events.push(spawn(0, at_ns + generation, task, place(generation)));
            events.push(start(0, at_ns + generation, task, generation as u16));
        }
        for generation in (0..3).rev() {
            let task = 0x100 * (3 * n + generation + 1);
            events.push(end(0, at_ns + 5, task, Outcome::Ready));
        }
    }
    let families = families(events);
    assert!(families.len() <= (1 << 14) + 3000, "{}", families.len());
    assert_eq!(families.iter().map(|family| family.2).sum::<u64>(), 180_000);
}
