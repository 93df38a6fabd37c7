//! What framehop does at a return address, remembered: most frames unwind by adding to a register and reading one
//! or two words.
//!
//! The rule is not read from the unwind tables a second time but learnt from framehop itself: it unwinds one frame
//! with registers and a stack of our making, in which every word holds its own address (marked), so the outcome tells from
//! which register and how far away each value was taken. What fits no simple rule is left to framehop each time.

use framehop::x86_64::{UnwindRegsX86_64, UnwinderX86_64};
use framehop::{FrameAddress, MustNotAllocateDuringUnwind, Unwinder};

use crate::unwind::Cache;

/// Rules kept per thread; a power of two.
const ENTRIES: usize = 512;

/// Registers for learning: far from each other, so that an address tells which it was computed from.
const LEARN_SP: u64 = 1 << 40;
const LEARN_BP: u64 = 3 << 40;
/// Set in every word of the stack for learning: tells a value that was read from one that was computed.
const READ: u64 = 1 << 56;
/// Frames larger than this are framehop's.
const FARTHEST: u64 = 1 << 30;

/// How one frame is left.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(u32)]
pub(crate) enum Step {
    /// Not known. The value of zeroed memory.
    #[default]
    Unknown = 0,
    /// The caller's stack pointer is the stack pointer plus `sp`.
    FromSp,
    /// It is the base pointer plus `sp`.
    FromBp,
    /// Ask framehop.
    Complex,
}

/// Where the caller's base pointer is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(u32)]
pub(crate) enum Base {
    /// Still in its register.
    #[default]
    Kept = 0,
    /// In memory, `bp` bytes from the callee's stack pointer.
    AtSp,
    /// In memory, `bp` bytes from the base pointer.
    AtBp,
}

/// The rule for one return address. Zeros are an empty entry.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(C)]
pub(crate) struct Rule {
    return_address: u64,
    pub(crate) step: Step,
    pub(crate) base: Base,
    pub(crate) sp: i32,
    pub(crate) bp: i32,
}

/// Rules by return address, one place for each.
#[derive(Debug)]
#[repr(transparent)]
pub(crate) struct Rules([Rule; ENTRIES]);

impl Rules {
    /// The rule for this address, learnt if it is new.
    #[inline]
    pub(crate) fn get(&mut self, unwinder: &TableUnwinder, cache: &mut Cache, return_address: u64) -> Rule {
        let place =
            (return_address.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> (64 - ENTRIES.trailing_zeros())) as usize;
        let rule = &mut self.0[place & (ENTRIES - 1)];
        if rule.return_address != return_address {
            *rule = learn(unwinder, cache, return_address);
        }
        *rule
    }
}

pub(crate) type TableUnwinder = UnwinderX86_64<&'static [u8], MustNotAllocateDuringUnwind>;

#[cold]
fn learn(unwinder: &TableUnwinder, cache: &mut Cache, return_address: u64) -> Rule {
    let complex = Rule {
        return_address,
        step: Step::Complex,
        ..Rule::default()
    };
    let Some(frame) = FrameAddress::from_return_address(return_address) else {
        return complex;
    };
    let mut registers = UnwindRegsX86_64::new(return_address, LEARN_SP, LEARN_BP);
    let Ok(Some(read_at)) =
        unwinder.unwind_frame(frame, &mut registers, cache, &mut |address| Ok(address | READ))
    else {
        return complex;
    };
    let new_sp = registers.sp();
    // The return address lies below the caller's stack pointer, in all that compilers write.
    if read_at != new_sp.wrapping_sub(8) | READ {
        return complex;
    }
    let (step, sp) = match (distance(new_sp, LEARN_SP), distance(new_sp, LEARN_BP)) {
        (Some(sp), _) if sp > 0 => (Step::FromSp, sp),
        (_, Some(sp)) => (Step::FromBp, sp),
        _ => return complex,
    };
    let (base, bp) = match registers.bp() {
        LEARN_BP => (Base::Kept, 0),
        read => match (distance(read ^ READ, LEARN_SP), distance(read ^ READ, LEARN_BP)) {
            (Some(bp), _) => (Base::AtSp, bp),
            (_, Some(bp)) => (Base::AtBp, bp),
            _ => return complex,
        },
    };
    Rule {
        return_address,
        step,
        base,
        sp,
        bp,
    }
}

fn distance(address: u64, from: u64) -> Option<i32> {
    let distance = address.wrapping_sub(from) as i64;
    (distance.unsigned_abs() < FARTHEST && distance % 8 == 0).then_some(distance as i32)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn zeroed_memory_is_an_empty_table() {
        // SAFETY: zeros are a valid `Rule`: each field is a number or an enum whose first value is 0.
        let rules: Rules = unsafe { std::mem::zeroed() };
        assert!(rules.0.iter().all(|rule| *rule == Rule::default()));
    }

    #[test]
    fn distances_tell_the_register() {
        assert_eq!(distance(LEARN_SP + 64, LEARN_SP), Some(64));
        assert_eq!(distance(LEARN_BP - 16, LEARN_BP), Some(-16));
        assert_eq!(distance(LEARN_BP, LEARN_SP), None);
        assert_eq!(distance(LEARN_SP + 4, LEARN_SP), None);
    }
}
