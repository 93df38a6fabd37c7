//! An append-only table of stacks in memory that several threads and processes map: the same stack is written
//! once and has one number ever after.
//!
//! An arena of words holds the stacks (length, then addresses, leaf first); a hash index holds their positions.
//! A stack is written into the arena before its position is published, so whoever knows a number may read it.
//! When either part is full, stacks get the number 0 and are counted.

use crate::sync::{AtomicU64, Ordering};

/// Longest stack kept; deeper ones lose their outermost frames.
pub const MAX_FRAMES: usize = 128;

/// Index entries looked at before the table counts as full.
const MAX_PROBES: usize = 64;

#[derive(Debug)]
#[repr(C, align(128))]
pub struct StackControl {
    /// Arena words in use. Word 0 is never used, so that 0 can mean "no stack".
    used: AtomicU64,
    /// Stacks that found no room.
    lost: AtomicU64,
}

impl StackControl {
    #[cfg(any(test, loom))]
    pub(crate) fn new() -> Self {
        StackControl {
            used: AtomicU64::new(0),
            lost: AtomicU64::new(0),
        }
    }

    pub fn lost(&self) -> u64 {
        self.lost.load(Ordering::Relaxed)
    }
}

/// A view of the table. Index entry: stack number in the low 32 bits, hash in the high 32.
#[derive(Clone, Copy, Debug)]
pub struct StackTable<'a> {
    control: &'a StackControl,
    index: &'a [AtomicU64],
    arena: &'a [AtomicU64],
}

impl<'a> StackTable<'a> {
    /// `index.len()` is a power of two, `arena.len()` below 2³².
    pub fn new(control: &'a StackControl, index: &'a [AtomicU64], arena: &'a [AtomicU64]) -> Self {
        assert!(
            index.len().is_power_of_two() && arena.len() < 1 << 32,
            "stack table of an impossible size"
        );
        StackTable {
            control,
            index,
            arena,
        }
    }

    /// The number of this stack (return addresses, leaf first), entered if it is new; 0 if it is empty or the
    /// table is full.
    #[inline]
    pub fn intern(&self, frames: &[u64]) -> u32 {
        let frames = &frames[..frames.len().min(MAX_FRAMES)];
        if frames.is_empty() {
            return 0;
        }
        let hash = hash(frames);
        let mut written = 0;
        for probe in 0..MAX_PROBES.min(self.index.len()) {
            let entry = &self.index[(hash as usize).wrapping_add(probe) & (self.index.len() - 1)];
            let mut seen = entry.load(Ordering::Acquire);
            if seen == 0 {
                if written == 0 {
                    written = self.append(frames);
                }
                if written == 0 {
                    return self.lose();
                }
                let ours = (hash >> 32) << 32 | u64::from(written);
                match entry.compare_exchange(0, ours, Ordering::AcqRel, Ordering::Acquire) {
                    Ok(_) => return written,
                    Err(theirs) => seen = theirs,
                }
            }
            if seen >> 32 == hash >> 32 && self.holds(seen as u32, frames) {
                return seen as u32;
            }
        }
        self.lose()
    }

    /// The frames of a stack, leaf first, into `out`. Anything that is not a stack's number gives none.
    pub fn read(&self, number: u32, out: &mut Vec<u64>) {
        out.clear();
        let at = number as usize;
        let Some(len) = self
            .arena
            .get(at)
            .map(|word| word.load(Ordering::Relaxed) as usize)
        else {
            return;
        };
        if at == 0 || len > MAX_FRAMES {
            return;
        }
        if let Some(frames) = self.arena.get(at + 1..at + 1 + len) {
            out.extend(frames.iter().map(|word| word.load(Ordering::Relaxed)));
        }
    }

    fn holds(&self, number: u32, frames: &[u64]) -> bool {
        let at = number as usize;
        self.arena
            .get(at)
            .is_some_and(|len| len.load(Ordering::Relaxed) == frames.len() as u64)
            && self
                .arena
                .get(at + 1..at + 1 + frames.len())
                .is_some_and(|words| {
                    words
                        .iter()
                        .zip(frames)
                        .all(|(word, frame)| word.load(Ordering::Relaxed) == *frame)
                })
    }

    /// Writes the frames into the arena, not yet visible to anyone; 0 if there is no room.
    #[cold]
    fn append(&self, frames: &[u64]) -> u32 {
        let len = frames.len() as u64 + 1;
        let capacity = self.arena.len() as u64 - 1;
        // A full arena must not be counted past its end for ever.
        if self.control.used.load(Ordering::Relaxed) + len > capacity {
            return 0;
        }
        let at = self.control.used.fetch_add(len, Ordering::Relaxed) + 1;
        if at + len > capacity + 1 {
            return 0;
        }
        self.arena[at as usize].store(frames.len() as u64, Ordering::Relaxed);
        for (word, frame) in self.arena[at as usize + 1..].iter().zip(frames) {
            word.store(*frame, Ordering::Relaxed);
        }
        at as u32
    }

    #[cold]
    fn lose(&self) -> u32 {
        self.control.lost.fetch_add(1, Ordering::Relaxed);
        0
    }
}

/// Multiply-rotate over the addresses; the final mix spreads into the high half, which tells entries apart.
#[inline]
fn hash(frames: &[u64]) -> u64 {
    let mut hash = frames.len() as u64;
    for frame in frames {
        hash = (hash.rotate_left(23) ^ frame).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    }
    hash ^ hash >> 29
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn words(n: usize) -> Vec<AtomicU64> {
        (0..n).map(|_| AtomicU64::new(0)).collect()
    }

    proptest! {
        #[test]
        fn equal_stacks_have_equal_numbers_and_read_back(stacks in prop::collection::vec(prop::collection::vec(1u64..5, 0..6), 0..200)) {
            let (control, index, arena) = (StackControl::new(), words(1024), words(4096));
            let table = StackTable::new(&control, &index, &arena);
            let numbers: Vec<u32> = stacks.iter().map(|stack| table.intern(stack)).collect();
            let mut read = Vec::new();
            for (stack, &number) in stacks.iter().zip(&numbers) {
                prop_assert_eq!(table.intern(stack), number);
                table.read(number, &mut read);
                prop_assert_eq!(&read, stack);
            }
            prop_assert_eq!(control.lost(), 0);
        }

        #[test]
        fn a_full_table_counts_and_never_lies(stacks in prop::collection::vec(prop::collection::vec(any::<u64>(), 1..9), 0..100)) {
            let (control, index, arena) = (StackControl::new(), words(16), words(64));
            let table = StackTable::new(&control, &index, &arena);
            let mut read = Vec::new();
            for stack in &stacks {
                let before = control.lost();
                let number = table.intern(stack);
                table.read(number, &mut read);
                prop_assert_eq!(number == 0, control.lost() == before + 1);
                prop_assert!(number == 0 || &read == stack);
            }
        }

        #[test]
        fn any_number_reads_without_harm(junk in prop::collection::vec(any::<u64>(), 32), number: u32) {
            let (control, index, arena) = (StackControl::new(), words(16), words(32));
            arena.iter().zip(&junk).for_each(|(word, &value)| word.store(value, Ordering::Relaxed));
            StackTable::new(&control, &index, &arena).read(number % 40, &mut Vec::new());
        }
    }
}
