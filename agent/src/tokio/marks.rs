//! Tasks that are to be left out and were not polled yet: their spawn says so, their first poll asks.
//!
//! A set of addresses in static memory, of which pages that nobody writes take no room: one entry for eight places of
//! a task in 128 MiB, whose neighbours are neighbours here. Where more are marked than fit, the newest takes an older
//! one's entry: that task is recorded as one first seen late. Entries of memory that was no task's are left behind, and
//! go so, or when that memory is given out again.

use std::sync::atomic::{AtomicU64, Ordering};

const BUCKETS: usize = 1 << 17;
const WAYS: usize = 8;
/// Bits of an address that are the same for all tasks.
const ALIGN_BITS: u32 = 7;

#[repr(align(64))]
pub(super) struct Bucket([AtomicU64; WAYS]);

pub(super) struct Marks([Bucket; BUCKETS]);

pub(super) static MARKS: Marks = Marks::new();

impl Marks {
    const fn new() -> Marks {
        Marks([const { Bucket([const { AtomicU64::new(0) }; WAYS]) }; BUCKETS])
    }

    pub(super) fn set(&self, address: u64) {
        let ways = self.ways(address);
        if ways.iter().any(|way| way.load(Ordering::Relaxed) == address) {
            return;
        }
        // What orders this before the first poll is the scheduler's queue, through which the task goes.
        let take = |way: &AtomicU64| {
            way.compare_exchange(0, address, Ordering::Relaxed, Ordering::Relaxed)
                .is_ok()
        };
        if !ways.iter().any(take) {
            ways[(address >> ALIGN_BITS) as usize % WAYS].store(address, Ordering::Relaxed);
        }
    }

    /// Whether it was marked; it is not any more.
    #[inline]
    pub(super) fn take(&self, address: u64) -> bool {
        let is_taken = |way: &AtomicU64| {
            way.load(Ordering::Relaxed) == address
                && way
                    .compare_exchange(address, 0, Ordering::Relaxed, Ordering::Relaxed)
                    .is_ok()
        };
        self.ways(address).iter().any(is_taken)
    }

    #[inline]
    fn ways(&self, address: u64) -> &[AtomicU64; WAYS] {
        const SHIFT: u32 = ALIGN_BITS + WAYS.trailing_zeros();
        let window = address >> (SHIFT + BUCKETS.trailing_zeros());
        let hash = window.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> (64 - BUCKETS.trailing_zeros());
        &self.0[((address >> SHIFT) ^ hash) as usize % BUCKETS].0
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn what_was_marked_is_taken_once() {
        static MARKS: Marks = Marks::new();
        // Two heaps with tasks of 384 bytes and one with large ones, all at once.
        let heaps = [
            (0x5555_5700_0000, 384),
            (0x7fff_e800_0080, 384),
            (0x7ffe_d000_0000, 1024),
        ];
        let tasks: Vec<u64> = heaps
            .iter()
            .flat_map(|&(from, size)| (0..60_000).map(move |n| from + n * size))
            .collect();
        tasks.iter().for_each(|&task| MARKS.set(task));
        tasks.iter().for_each(|&task| MARKS.set(task));
        assert!(!MARKS.take(0x5555_5700_0080));
        assert!(tasks.iter().all(|&task| MARKS.take(task)));
        assert!(!tasks.iter().any(|&task| MARKS.take(task)));
    }

    #[test]
    fn of_more_than_fit_the_newest_stays() {
        static MARKS: Marks = Marks::new();
        let windows = 1u64..;
        let ways = |address| MARKS.ways(address).as_ptr();
        let same = windows.map(|n| n << 27).filter_map(|window| {
            // The place of each window that shares the first one's bucket.
            let shift = (0..BUCKETS as u64).find(|n| ways(window + (n << 10)) == ways(0))?;
            Some(window + (shift << 10))
        });
        let same: Vec<u64> = same.take(WAYS + 1).collect();
        same.iter().for_each(|&task| MARKS.set(task));
        let left: HashSet<u64> = same.iter().copied().filter(|&task| MARKS.take(task)).collect();
        assert_eq!(left.len(), WAYS);
        assert!(left.contains(same.last().unwrap()));
    }

    #[test]
    fn threads_do_not_lose_each_others_marks() {
        static MARKS: Marks = Marks::new();
        std::thread::scope(|scope| {
            for thread in 0..4 {
                scope.spawn(move || {
                    for round in 0..200 {
                        // Two of the eight places of each bucket are this thread's.
                        let tasks = (0..128u64).map(|n| (n * 4 + thread) << ALIGN_BITS | 1 << 40);
                        let tasks: Vec<u64> = tasks.collect();
                        tasks.iter().for_each(|&task| MARKS.set(task));
                        assert!(tasks.iter().all(|&task| MARKS.take(task)), "{round}");
                    }
                });
            }
        });
    }
}
