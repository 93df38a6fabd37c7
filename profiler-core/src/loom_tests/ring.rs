//! One producer and one consumer, and producers that take over from each other while the consumer drains.

use loom::sync::Arc;
use loom::thread;

use super::{check, words};
use crate::event::{Event, Kind};
use crate::ring::{Consumer, Producer, RingControl};
use crate::slots::Slots;
use crate::sync::AtomicU64;

struct Ring {
    control: RingControl,
    words: Vec<AtomicU64>,
    bits: Vec<AtomicU64>,
}

impl Ring {
    fn new(size: usize) -> Arc<Ring> {
        Arc::new(Ring {
            control: RingControl::new(),
            words: words(size),
            bits: words(1),
        })
    }

    fn producer(&self) -> Producer<'_> {
        Producer::new(&self.control, &self.words)
    }

    /// Drains once. A record's parts must belong together, and nothing may look damaged.
    fn drain(&self, seen: &mut Seen) {
        let drained = Consumer::new(&self.control, &self.words).drain(|event| match event.kind {
            Kind::Gap => seen.told += event.value,
            _ => {
                assert_eq!(event.subject, event.ticks * 3);
                if event.kind.words() == 3 {
                    assert_eq!(event.value, event.ticks * 5);
                }
                seen.ticks.push(event.ticks);
            }
        });
        assert_eq!(drained, Ok(()));
    }
}

#[derive(Debug, Default)]
struct Seen {
    ticks: Vec<u64>,
    /// Losses that gaps told of.
    told: u64,
}

/// Two or three words whose content follows from the time.
fn event(kind: Kind, ticks: u64) -> Event {
    Event {
        kind,
        ticks,
        subject: ticks * 3,
        aux: 0,
        value: ticks * 5,
    }
}

#[test]
fn ring_nothing_is_lost_torn_or_reordered_while_it_wraps() {
    check(3, || {
        let ring = Ring::new(8);
        let writer = Arc::clone(&ring);
        let thread = thread::spawn(move || {
            let mut producer = writer.producer();
            for ticks in 1..=4 {
                producer.push(event(
                    if ticks < 4 { Kind::PollStart } else { Kind::PollEnd },
                    ticks,
                ));
            }
        });
        let mut seen = Seen::default();
        ring.drain(&mut seen);
        ring.drain(&mut seen);
        thread.join().unwrap();
        ring.drain(&mut seen);
        assert!(seen.ticks.is_sorted_by(|a, b| a < b), "{seen:?}");
        assert_eq!(seen.ticks.len() as u64 + ring.control.lost(), 4);
    });
}

#[test]
fn ring_a_full_ring_drops_counts_and_tells() {
    check(3, || {
        let ring = Ring::new(4);
        let writer = Arc::clone(&ring);
        let thread = thread::spawn(move || {
            let mut producer = writer.producer();
            for ticks in 1..=4 {
                producer.push(event(Kind::PollEnd, ticks));
            }
        });
        let mut seen = Seen::default();
        ring.drain(&mut seen);
        thread.join().unwrap();
        ring.drain(&mut seen);
        assert!(seen.ticks.is_sorted_by(|a, b| a < b), "{seen:?}");
        assert_eq!(seen.ticks.len() as u64 + ring.control.lost(), 4);
        assert!(seen.told <= ring.control.lost());
    });
}

#[test]
fn ring_starting_over_skips_nothing() {
    check(3, || {
        let ring = Ring::new(8);
        // Drained and past the first page: the next event may start over.
        ring.producer().push(event(Kind::PollStart, 1));
        let mut seen = Seen::default();
        let writer = Arc::clone(&ring);
        let thread = thread::spawn(move || {
            let mut producer = writer.producer();
            producer.push(event(Kind::PollEnd, 2));
            producer.push(event(Kind::PollEnd, 3));
        });
        ring.drain(&mut seen);
        ring.drain(&mut seen);
        thread.join().unwrap();
        ring.drain(&mut seen);
        assert_eq!((seen.ticks, ring.control.lost()), (vec![1, 2, 3], 0));
    });
}

#[test]
fn ring_passes_from_thread_to_thread_while_it_is_drained() {
    check(2, || {
        let ring = Ring::new(8);
        let threads: Vec<_> = [1, 3]
            .map(|ticks| {
                let ring = Arc::clone(&ring);
                thread::spawn(move || {
                    let slots = Slots::new(&ring.bits);
                    // The other thread may hold the ring: a thread without one records nothing.
                    let Some(slot) = slots.claim().filter(|slot| *slot == 0) else {
                        return 0;
                    };
                    let mut producer = ring.producer();
                    producer.push(event(Kind::PollEnd, ticks));
                    producer.push(event(Kind::PollEnd, ticks + 1));
                    slots.release(slot);
                    2
                })
            })
            .into();
        let mut seen = Seen::default();
        ring.drain(&mut seen);
        let written: u64 = threads.into_iter().map(|thread| thread.join().unwrap()).sum();
        ring.drain(&mut seen);
        assert_eq!(seen.ticks.len() as u64 + ring.control.lost(), written, "{seen:?}");
        let pairs = seen
            .ticks
            .chunks(2)
            .all(|pair| pair.len() == 2 && pair[0] + 1 == pair[1]);
        assert!(pairs || ring.control.lost() > 0, "{seen:?}");
    });
}
