//! What the aggregator holds after an hour with a million tasks, counted in bytes. In a test binary of its own, for its
//! allocator counts for all.

#![allow(unsafe_code)]

use std::alloc::{GlobalAlloc, Layout, System};
use std::sync::atomic::{AtomicUsize, Ordering};

use asyncprof_core::aggregate::Aggregator;
use asyncprof_core::event::{Event, Kind, Outcome};

struct Counting;

static HELD: AtomicUsize = AtomicUsize::new(0);
static PEAK: AtomicUsize = AtomicUsize::new(0);

// SAFETY: the system's allocator does it all; counting touches no memory of it.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        let held = HELD.fetch_add(layout.size(), Ordering::Relaxed) + layout.size();
        PEAK.fetch_max(held, Ordering::Relaxed);
        // SAFETY: the caller's promise.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, memory: *mut u8, layout: Layout) {
        HELD.fetch_sub(layout.size(), Ordering::Relaxed);
        // SAFETY: the caller's promise.
        unsafe { System.dealloc(memory, layout) }
    }
}

#[global_allocator]
static COUNTING: Counting = Counting;

const MS: u64 = 1_000_000;
const SECONDS: u64 = 3600;
const TASKS: u64 = 1_000_000;
/// Kinds of tasks, each spawned in a place of its own, with a wait of its own: four rows each, in nearly every second.
const GROUPS: u64 = 250;
const STEP: u64 = MS / 10;

struct Hour(Aggregator);

impl Hour {
    fn event(&mut self, at_ns: u64, kind: Kind, subject: u64, aux: u16, value: u64) {
        let event = Event {
            kind,
            ticks: 0,
            subject,
            aux,
            value,
        };
        self.0.event(0, at_ns, event, u32::from);
    }

    /// Spawned, polled, suspended, polled, done, before the next begins; its memory is used again by later ones.
    fn task(&mut self, number: u64) {
        let group = number % GROUPS;
        let start = number * (SECONDS * 1000 * MS / TASKS);
        let (address, id) = (0x1000 * (1 + number % 4), 1 + number);
        let [pending, ready] = [Outcome::Pending, Outcome::Ready].map(|outcome| outcome as u16);
        let (table, tag) = (group as u16, 1 + (number % 100) as u16);
        self.event(start, Kind::Spawn, address, 0, 1 + group);
        self.event(start + STEP, Kind::PollStart, address, table, id);
        self.event(start + 2 * STEP, Kind::Await, address, tag, 1000 + group);
        self.event(start + 3 * STEP, Kind::PollEnd, address, pending, 0);
        self.event(start + 20 * STEP, Kind::Wake, address, tag, 7);
        self.event(start + 21 * STEP, Kind::PollStart, address, table, id);
        self.event(start + 22 * STEP, Kind::PollEnd, address, ready, 0);
    }
}

#[test]
#[ignore = "seven million events: cargo test -p asyncprof-core --release --test hour -- --ignored --nocapture"]
fn an_hour_with_a_million_tasks_takes_less_than_200_mb() {
    let before = HELD.load(Ordering::Relaxed);
    let mut hour = Hour(Aggregator::new());
    hour.event(0, Kind::ThreadStart, 1, 0, 0);
    (0..TASKS).for_each(|number| hour.task(number));
    let aggregated = HELD.load(Ordering::Relaxed) - before;
    let raw = hour.0.finish(SECONDS * 1000 * MS);
    // What the profile will have of it: both are held for a while.
    let windows: Vec<Vec<(u32, u64)>> = raw.rows.iter().map(|row| row.windows()).collect();
    let totals: usize = windows.iter().map(Vec::len).sum();
    let tasks: u64 = raw.groups.iter().map(|group| group.tasks).sum();
    let peak = PEAK.load(Ordering::Relaxed) - before;
    let rows = raw.rows.len() as u64;
    eprintln!("{rows} rows, {totals} totals of seconds: {aggregated} bytes, {peak} at most");
    assert_eq!(tasks, TASKS);
    assert!(
        rows >= 4 * GROUPS && totals as u64 > 3 * GROUPS * SECONDS,
        "{rows}, {totals}"
    );
    assert!(peak < 200_000_000, "{peak} bytes");
}
