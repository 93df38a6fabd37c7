//! Which rings are taken: a bitmap that threads claim from when they write their first event and give back when
//! they end. A ring passes from one thread to the next without the reader's help; [`Kind::ThreadStart`] marks
//! the change.
//!
//! [`Kind::ThreadStart`]: crate::event::Kind::ThreadStart

use crate::sync::{AtomicU64, Ordering};

/// A view of the bitmap: one bit a slot, set while taken.
#[derive(Clone, Copy, Debug)]
pub struct Slots<'a> {
    bits: &'a [AtomicU64],
}

impl<'a> Slots<'a> {
    pub fn new(bits: &'a [AtomicU64]) -> Self {
        Slots { bits }
    }

    /// Takes the lowest free slot; None if all are taken. Acquire: all that the last owner wrote is seen.
    pub fn claim(&self) -> Option<usize> {
        for (word, bits) in self.bits.iter().enumerate() {
            let mut seen = bits.load(Ordering::Relaxed);
            while seen != u64::MAX {
                let bit = seen.trailing_ones();
                match bits.compare_exchange_weak(seen, seen | 1 << bit, Ordering::Acquire, Ordering::Relaxed)
                {
                    Ok(_) => return Some(word * 64 + bit as usize),
                    Err(now) => seen = now,
                }
            }
        }
        None
    }

    /// Gives a slot back. Its owner must not touch it again.
    pub fn release(&self, slot: usize) {
        if let Some(bits) = self.bits.get(slot / 64) {
            bits.fetch_and(!(1 << (slot % 64)), Ordering::Release);
        }
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    #[test]
    fn slots_are_unique_until_given_back() {
        let bits: Vec<AtomicU64> = (0..2).map(|_| AtomicU64::new(0)).collect();
        let slots = Slots::new(&bits);
        let taken: Vec<usize> = std::iter::from_fn(|| slots.claim()).collect();
        assert_eq!(taken, (0..128).collect::<Vec<_>>());
        slots.release(77);
        assert_eq!(slots.claim(), Some(77));
        assert_eq!(slots.claim(), None);
    }
}
