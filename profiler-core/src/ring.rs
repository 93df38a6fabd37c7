//! A single-producer, single-consumer ring of words, in memory that two processes map.
//!
//! The producer (a thread of the profiled program) never waits: a record that does not fit is counted and
//! dropped, and the next one that fits is preceded by a [`Kind::Gap`]. The consumer trusts nothing it reads.
//! A ring that has been drained starts over at its first word, so a quiet thread touches one page of it,
//! however long it lives.

use crate::event::{Event, Kind};
use crate::sync::{AtomicU64, Ordering};

/// Positions of both sides, each on cache lines of its own. Positions count words and never wrap in practice.
#[derive(Debug)]
#[repr(C, align(128))]
pub struct RingControl {
    /// Words written.
    head: AtomicU64,
    /// Records dropped since the ring was made.
    lost: AtomicU64,
    /// Where the writer last started over: nothing lies between that and what had been read by then.
    restart: AtomicU64,
    _consumer_line: [u64; 13],
    /// Words read.
    tail: AtomicU64,
}

impl RingControl {
    #[cfg(any(test, loom))]
    pub(crate) fn new() -> Self {
        RingControl {
            head: AtomicU64::new(0),
            lost: AtomicU64::new(0),
            restart: AtomicU64::new(0),
            _consumer_line: [0; 13],
            tail: AtomicU64::new(0),
        }
    }

    /// Records dropped since the ring was made.
    pub fn lost(&self) -> u64 {
        self.lost.load(Ordering::Relaxed)
    }
}

/// Words that a producer writes before it looks whether the ring was drained and can start over, and from then on
/// between two looks: a page together.
const RESTART_AFTER: u64 = if cfg!(loom) { 2 } else { 448 };
const LOOK_EVERY: u64 = if cfg!(loom) { 0 } else { 64 };

/// The writing side. At any time at most one exists per ring; see [`crate::slots`] for how that is ensured.
#[derive(Debug)]
pub struct Producer<'a> {
    control: &'a RingControl,
    words: &'a [AtomicU64],
    head: u64,
    /// The consumer's position as last seen, or the restart that it will go on from: at most the true one.
    tail: u64,
    /// Records dropped and not yet told with a gap.
    untold: u64,
    /// Up to here there is room, and nothing to look at or to tell.
    clear_until: u64,
}

impl<'a> Producer<'a> {
    /// Takes up where the ring's last producer ended. `words.len()` is a power of two.
    pub fn new(control: &'a RingControl, words: &'a [AtomicU64]) -> Self {
        assert!(words.len().is_power_of_two(), "a ring holds a power of two words");
        let tail = control.tail.load(Ordering::Acquire);
        Producer {
            control,
            words,
            head: control.head.load(Ordering::Relaxed),
            tail: tail.max(control.restart.load(Ordering::Relaxed)),
            untold: 0,
            clear_until: 0,
        }
    }

    /// Events dropped since the last one that was written.
    pub fn untold(&self) -> u64 {
        self.untold
    }

    /// Writes the event. False if it did not fit and is counted as lost.
    #[inline(always)]
    pub fn push(&mut self, event: Event) -> bool {
        let len = event.kind.words();
        let at = self.head as usize & (self.words.len() - 1);
        match self.words.get(at..at + len) {
            Some(place) if self.head + len as u64 <= self.clear_until => {
                let record = event.encode();
                let words = place.iter().zip(&record[..len]);
                words.for_each(|(place, word)| place.store(*word, Ordering::Relaxed));
                self.head += len as u64;
                self.control.head.store(self.head, Ordering::Release);
                true
            }
            _ => self.push_with_care(event),
        }
    }

    #[cold]
    fn push_with_care(&mut self, event: Event) -> bool {
        let mask = self.words.len() as u64 - 1;
        if self.head & mask >= RESTART_AFTER {
            self.restart_if_drained(mask);
        }
        let written = (self.untold == 0 || self.tell_gap(event.ticks)) && self.write(event);
        if !written {
            self.lose();
        }
        self.clear_until = if written {
            let lap = self.head & !mask;
            let look = (lap + RESTART_AFTER).max(self.head + LOOK_EVERY);
            look.min(self.tail + self.words.len() as u64)
        } else {
            0
        };
        written
    }

    fn write(&mut self, event: Event) -> bool {
        let len = event.kind.words();
        if !self.has_space(len as u64) {
            return false;
        }
        let record = event.encode();
        let mask = self.words.len() - 1;
        for (offset, word) in record.iter().take(len).enumerate() {
            self.words[(self.head as usize + offset) & mask].store(*word, Ordering::Relaxed);
        }
        self.head += len as u64;
        self.control.head.store(self.head, Ordering::Release);
        true
    }

    fn has_space(&mut self, len: u64) -> bool {
        let capacity = self.words.len() as u64;
        if self.head + len - self.tail <= capacity {
            return true;
        }
        self.tail = self.control.tail.load(Ordering::Acquire).max(self.tail);
        self.head + len - self.tail <= capacity
    }

    fn restart_if_drained(&mut self, mask: u64) {
        // Acquire: what the consumer read is read before we overwrite it.
        if self.control.tail.load(Ordering::Acquire) != self.head {
            return;
        }
        // All of the ring is free. The consumer will go from where it is straight to the restart.
        self.head = (self.head | mask) + 1;
        self.tail = self.head;
        self.control.restart.store(self.head, Ordering::Relaxed);
        self.control.head.store(self.head, Ordering::Release);
    }

    fn tell_gap(&mut self, ticks: u64) -> bool {
        let told = self.write(Event {
            kind: Kind::Gap,
            ticks,
            subject: 0,
            aux: 0,
            value: self.untold,
        });
        if told {
            self.untold = 0;
        }
        told
    }

    fn lose(&mut self) {
        self.untold += 1;
        self.control.lost.fetch_add(1, Ordering::Relaxed);
    }
}

/// The reading side.
#[derive(Debug)]
pub struct Consumer<'a> {
    control: &'a RingControl,
    words: &'a [AtomicU64],
}

/// The words between the two positions are no records: the producing process has written over its ring.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Damaged;

impl<'a> Consumer<'a> {
    /// `words.len()` is a power of two.
    pub fn new(control: &'a RingControl, words: &'a [AtomicU64]) -> Self {
        assert!(words.len().is_power_of_two(), "a ring holds a power of two words");
        Consumer { control, words }
    }

    /// Hands every record written so far to `sink`, oldest first, and frees their space.
    ///
    /// # Errors
    /// [`Damaged`] if the ring's content makes no sense; what came before is handed over, the rest is skipped.
    pub fn drain(&mut self, mut sink: impl FnMut(Event)) -> Result<(), Damaged> {
        let head = self.control.head.load(Ordering::Acquire);
        let mut tail = self.control.tail.load(Ordering::Relaxed);
        let restart = self.control.restart.load(Ordering::Relaxed);
        if tail < restart && restart <= head {
            tail = restart;
        }
        let result = self.read(tail, head, &mut sink);
        self.control.tail.store(head, Ordering::Release);
        result
    }

    fn read(&self, mut tail: u64, head: u64, sink: &mut impl FnMut(Event)) -> Result<(), Damaged> {
        let capacity = self.words.len() as u64;
        let written = head.checked_sub(tail).filter(|&words| words <= capacity);
        let mut left = written.ok_or(Damaged)?;
        while left > 0 {
            let word = |offset: u64| {
                let at = (tail + offset) & (capacity - 1);
                self.words[at as usize].load(Ordering::Relaxed)
            };
            let first = word(0);
            let kind = Event::kind_of(first).ok_or(Damaged)?;
            let len = kind.words() as u64;
            if len > left {
                return Err(Damaged);
            }
            sink(match len {
                1 => Event::decode(kind, [first, 0, 0]),
                2 => Event::decode(kind, [first, word(1), 0]),
                _ => Event::decode(kind, [first, word(1), word(2)]),
            });
            tail += len;
            left -= len;
        }
        Ok(())
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn ring(words: usize) -> (RingControl, Vec<AtomicU64>) {
        (
            RingControl::new(),
            (0..words).map(|_| AtomicU64::new(0)).collect(),
        )
    }

    fn event(kind: Kind, ticks: u64) -> Event {
        Event {
            kind,
            ticks,
            subject: 64,
            aux: 3,
            value: if kind.words() == 3 { 9 } else { 0 },
        }
    }

    proptest! {
        /// Any interleaving of pushes and drains: what is not lost comes out in order, and gaps say how much was.
        #[test]
        fn nothing_is_reordered_and_losses_are_told(steps in prop::collection::vec(prop::option::weighted(0.9, any::<bool>()), 0..4000), size in 4u32..11) {
            let (control, words) = ring(1 << size);
            let mut producer = Producer::new(&control, &words);
            let mut consumer = Consumer::new(&control, &words);
            let mut pushed = 0;
            let mut seen = Vec::new();
            let mut told = 0;
            for step in steps {
                match step {
                    Some(long) => {
                        pushed += 1;
                        producer.push(event(if long { Kind::PollStart } else { Kind::PollEnd }, pushed));
                    }
                    None => consumer.drain(|e| if e.kind == Kind::Gap { told += e.value } else { seen.push(e.ticks) }).unwrap(),
                }
            }
            consumer.drain(|e| if e.kind == Kind::Gap { told += e.value } else { seen.push(e.ticks) }).unwrap();
            prop_assert!(seen.is_sorted());
            prop_assert_eq!(seen.len() as u64 + control.lost(), pushed);
            prop_assert!(told <= control.lost());
        }

        /// Whatever an app scribbles over its ring, the reader stays calm.
        #[test]
        fn scribbled_memory_is_reported_not_followed(junk in prop::collection::vec(any::<u64>(), 16), head: u64, tail: u64) {
            let (control, words) = ring(16);
            control.head.store(head, Ordering::Relaxed);
            control.tail.store(tail, Ordering::Relaxed);
            words.iter().zip(&junk).for_each(|(word, &value)| word.store(value, Ordering::Relaxed));
            let mut consumer = Consumer::new(&control, &words);
            let _ = consumer.drain(|_| ());
            prop_assert_eq!(consumer.drain(|_| panic!("drained twice")), Ok(()));
        }
    }

    #[test]
    fn bug_a_ring_that_started_over_holds_all_it_can_before_the_next_drain() {
        let (control, words) = ring(1 << 12);
        let mut producer = Producer::new(&control, &words);
        let mut consumer = Consumer::new(&control, &words);
        for round in 0..100 {
            for at in 0..1300 {
                producer.push(event(Kind::PollStart, round * 1300 + at));
            }
            let mut seen = 0;
            consumer.drain(|_| seen += 1).unwrap();
            assert_eq!((seen, control.lost()), (1300, 0));
        }
    }

    #[test]
    fn a_drained_ring_stays_on_its_first_page() {
        let (control, words) = ring(4096);
        let mut producer = Producer::new(&control, &words);
        let mut consumer = Consumer::new(&control, &words);
        for round in 0..10_000 {
            producer.push(event(Kind::PollStart, round));
            consumer.drain(|_| ()).unwrap();
        }
        assert!(words[520..].iter().all(|word| word.load(Ordering::Relaxed) == 0));
        assert_eq!(control.lost(), 0);
    }
}
