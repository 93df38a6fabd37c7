//! Threads that enter stacks at once, and a reader that learns their numbers through a ring.

use loom::sync::Arc;
use loom::thread;

use super::{check, words};
use crate::event::{Event, Kind};
use crate::ring::{Consumer, Producer, RingControl};
use crate::stack_table::{StackControl, StackTable};
use crate::sync::AtomicU64;

struct Table {
    control: StackControl,
    index: Vec<AtomicU64>,
    arena: Vec<AtomicU64>,
}

impl Table {
    /// A single index entry makes all stacks meet in it; two give them a place each.
    fn new(entries: usize) -> Table {
        Table {
            control: StackControl::new(),
            index: words(entries),
            arena: words(24),
        }
    }

    fn view(&self) -> StackTable<'_> {
        StackTable::new(&self.control, &self.index, &self.arena)
    }

    fn frames(&self, number: u32) -> Vec<u64> {
        let mut frames = Vec::new();
        self.view().read(number, &mut frames);
        frames
    }
}

#[test]
fn stack_table_gives_equal_stacks_one_number() {
    check(3, || {
        let table = Arc::new(Table::new(2));
        let other = Arc::clone(&table);
        let thread = thread::spawn(move || other.view().intern(&[7, 8]));
        let mine = table.view().intern(&[7, 8]);
        assert_eq!(table.frames(mine), [7, 8]);
        assert_eq!(mine, thread.join().unwrap());
        assert_ne!(mine, 0);
        assert_eq!(table.control.lost(), 0);
    });
}

#[test]
fn stack_table_gives_different_stacks_different_numbers() {
    check(3, || {
        let table = Arc::new(Table::new(4));
        let other = Arc::clone(&table);
        let thread = thread::spawn(move || (other.view().intern(&[7, 8]), other.view().intern(&[9])));
        let mine = (table.view().intern(&[9]), table.view().intern(&[7, 8]));
        let theirs = thread.join().unwrap();
        assert_eq!((mine.1, mine.0), theirs);
        assert_eq!(
            (table.frames(mine.0), table.frames(mine.1)),
            (vec![9], vec![7, 8])
        );
        assert_eq!(table.control.lost(), 0);
    });
}

#[test]
fn stack_table_a_full_index_loses_and_never_mixes_up() {
    check(3, || {
        let table = Arc::new(Table::new(1));
        let other = Arc::clone(&table);
        let thread = thread::spawn(move || other.view().intern(&[7, 8]));
        let mine = table.view().intern(&[9]);
        let theirs = thread.join().unwrap();
        assert!((mine == 0) != (theirs == 0), "one of them has the only place");
        assert_eq!(table.control.lost(), 1);
        assert_eq!(
            table.frames(mine.max(theirs)),
            if mine == 0 { vec![7, 8] } else { vec![9] }
        );
    });
}

/// Whoever was first to enter the stack, a number that comes out of a ring names its frames.
#[test]
fn stack_table_a_number_from_a_ring_can_be_read() {
    check(3, || {
        let shared = Arc::new((
            Table::new(2),
            [RingControl::new(), RingControl::new()],
            [words(4), words(4)],
        ));
        let threads: Vec<_> = (0..2)
            .map(|ring| {
                let shared = Arc::clone(&shared);
                thread::spawn(move || {
                    let (table, controls, words) = &*shared;
                    let number = table.view().intern(&[7, 8]);
                    Producer::new(&controls[ring], &words[ring]).push(Event {
                        kind: Kind::Spawn,
                        ticks: 1,
                        subject: 0,
                        aux: 0,
                        value: u64::from(number),
                    });
                })
            })
            .collect();
        let (table, controls, words) = &*shared;
        for ring in [0, 1] {
            let mut numbers = Vec::new();
            Consumer::new(&controls[ring], &words[ring])
                .drain(|event| numbers.push(event.value))
                .unwrap();
            for number in numbers {
                assert_eq!(table.frames(number as u32), [7, 8]);
            }
        }
        for thread in threads {
            thread.join().unwrap();
        }
    });
}
