//! Stacks that a thread has captured lately, recognised by their return addresses alone.
//!
//! Where a frame is left by adding to the stack pointer, its return address tells where the next one lies; where it is
//! left by adding to the base pointer, that does so, too, if it points where it did. So a stack that holds the same
//! words in the same places as one that was unwound is the same stack, and has its number.

use std::ops::Range;

use crate::unwind::Entry;
use crate::unwind_rules::{Base, Rule, Step};

/// Stacks that share a leaf and a depth are kept in one set.
const SETS: usize = 16;
const WAYS: usize = 4;
/// Longer stacks are unwound each time. A whole number of [`CHUNK`]s.
const MAX_LEN: usize = 64;
/// Return addresses are compared so many at a time.
const CHUNK: usize = 4;

/// Zeros are an empty memo.
#[repr(C)]
pub(crate) struct StackMemo([Set; SETS]);

#[repr(C)]
struct Set {
    /// The way that is given to the next stack.
    next: usize,
    ways: [Known; WAYS],
}

/// A stack from a tap's caller to the poll tap's. Places are in bytes from where the tap was entered.
#[repr(C)]
struct Known {
    /// 0: none is known here.
    number: u32,
    /// Return addresses, up to the next whole chunk; beyond the outermost it is repeated.
    len: u32,
    /// Base pointers that matter.
    bases: u32,
    /// Where the base pointer at the tap points to; [`ANY`] if that does not matter.
    base: u32,
    places: [u32; MAX_LEN],
    addresses: [u64; MAX_LEN],
    base_places: [u32; MAX_LEN],
    /// Where they point to.
    base_targets: [u32; MAX_LEN],
}

const ANY: u32 = u32::MAX;

impl StackMemo {
    /// The number of the stack at `entry`, whose upper end is `top`, if it is known.
    ///
    /// # Safety
    /// From `entry.sp` to `top` all is the calling thread's stack.
    #[inline]
    pub(crate) unsafe fn recognise(&self, entry: Entry, top: u64) -> Option<u32> {
        // SAFETY: the tap's return address is there.
        let leaf = unsafe { (entry.sp as *const u64).read() };
        let set = &self.0[set_of(leaf, top.wrapping_sub(entry.sp))];
        let known = set.ways.iter().find(|known| {
            // SAFETY: the caller's promise.
            known.number != 0 && unsafe { known.is_at(entry, top) }
        });
        known.map(|known| known.number)
    }

    /// Keeps what was unwound, if its words tell it.
    ///
    /// # Safety
    /// As for [`StackMemo::recognise`].
    #[cold]
    pub(crate) unsafe fn learn(
        &mut self,
        rule_of: impl FnMut(u64) -> Rule,
        own_code: &Range<u64>,
        entry: Entry,
        top: u64,
        number: u32,
    ) {
        // SAFETY: the tap's return address is there.
        let leaf = unsafe { (entry.sp as *const u64).read() };
        let set = &mut self.0[set_of(leaf, top.wrapping_sub(entry.sp))];
        let known = &mut set.ways[set.next % WAYS];
        // SAFETY: the caller's promise.
        if unsafe { known.follow(rule_of, own_code, entry, top) }.is_some() {
            known.number = number;
            set.next = set.next.wrapping_add(1);
        }
    }
}

impl Known {
    /// # Safety
    /// As for [`StackMemo::recognise`].
    #[inline]
    unsafe fn is_at(&self, entry: Entry, top: u64) -> bool {
        let sp = entry.sp;
        let len = (self.len as usize).min(MAX_LEN);
        let bases = (self.bases as usize).min(MAX_LEN);
        // All that is read lies below the outermost return address.
        let outermost = self.places[len - 1];
        if sp + u64::from(outermost) + 8 > top
            || self.base != ANY && entry.bp.wrapping_sub(sp) != u64::from(self.base)
        {
            return false;
        }
        // SAFETY: from the tap to the outermost address, which lies below `top`, all is the stack.
        let word = |place: u32| unsafe { ((sp + u64::from(place)) as *const u64).read() };
        let mut places = self.places[..len].chunks_exact(CHUNK);
        let mut addresses = self.addresses[..len].chunks_exact(CHUNK);
        let are_equal = places
            .by_ref()
            .zip(addresses.by_ref())
            .all(|(places, addresses)| {
                let pairs = places.iter().zip(addresses);
                pairs.fold(0, |differs, (&place, address)| differs | word(place) ^ address) == 0
            });
        let mut bases = self.base_places[..bases].iter().zip(&self.base_targets);
        are_equal && bases.all(|(&place, &target)| word(place).wrapping_sub(sp) == u64::from(target))
    }

    /// Notes the return addresses up to the poll tap's. None if something does not tell where the next one is.
    ///
    /// # Safety
    /// As for [`StackMemo::recognise`].
    unsafe fn follow(
        &mut self,
        mut rule_of: impl FnMut(u64) -> Rule,
        own_code: &Range<u64>,
        entry: Entry,
        top: u64,
    ) -> Option<()> {
        let Entry { sp, mut bp } = entry;
        (self.number, self.bases, self.base) = (0, 0, ANY);
        let offset_from = |register: u64, offset: i32| register.wrapping_add_signed(i64::from(offset));
        let place_of = |at: u64| {
            let is_word = at >= sp && at <= top.checked_sub(8)? && at.is_multiple_of(8);
            is_word.then(|| u32::try_from(at - sp).ok()).flatten()
        };
        // SAFETY: a place is on the stack.
        let word = |place: u32| unsafe { ((sp + u64::from(place)) as *const u64).read() };
        // Where the base pointer was read; it has not been relied on yet.
        let mut unproven = Some(None);
        let mut at = sp;
        for index in 0..MAX_LEN {
            let place = place_of(at)?;
            let address = word(place);
            (self.places[index], self.addresses[index]) = (place, address);
            if own_code.contains(&address) {
                let bases = &self.base_places[..self.bases as usize];
                if bases.iter().any(|&base_place| base_place > place) {
                    return None;
                }
                let len = (index + 1).next_multiple_of(CHUNK);
                self.places[index..len].fill(place);
                self.addresses[index..len].fill(address);
                self.len = len as u32;
                return Some(());
            }
            let rule = rule_of(address);
            let from = match rule.step {
                Step::FromSp => at + 8,
                Step::FromBp => bp,
                Step::Complex | Step::Unknown => return None,
            };
            let is_relied_on = rule.step == Step::FromBp || rule.base == Base::AtBp;
            if is_relied_on && let Some(read_at) = unproven.take() {
                let target = place_of(bp)?;
                match read_at {
                    None => self.base = target,
                    Some(read_at) => {
                        let bases = self.bases as usize;
                        (*self.base_places.get_mut(bases)?, self.base_targets[bases]) = (read_at, target);
                        self.bases += 1;
                    }
                }
            }
            let base_at = match rule.base {
                Base::Kept => None,
                Base::AtSp => Some(offset_from(at + 8, rule.bp)),
                Base::AtBp => Some(offset_from(bp, rule.bp)),
            };
            if let Some(base_at) = base_at {
                let base_place = place_of(base_at)?;
                bp = word(base_place);
                unproven = Some(Some(base_place));
            }
            // The return address lies below the stack pointer that the caller goes on with.
            let next = offset_from(from, rule.sp).wrapping_sub(8);
            if next <= at {
                return None;
            }
            at = next;
        }
        None
    }
}

#[inline]
fn set_of(leaf: u64, depth: u64) -> usize {
    let hash = (leaf ^ depth.rotate_left(32)).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    (hash >> (64 - SETS.trailing_zeros())) as usize % SETS
}
