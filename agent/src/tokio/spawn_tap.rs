//! The moment and the place of a spawn: a task's memory is the program's only allocation that is aligned to 128
//! bytes in whole multiples of that, so with the system's allocator each spawn calls `posix_memalign`.
//!
//! Other allocations of that shape are noted too; the reader forgets those that are never polled.

use std::arch::naked_asm;
use std::ffi::{c_int, c_void};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use asyncprof_core::event::{BY_LEFT_OUT, Kind};

use super::left_out::level_of_new;
use crate::imports::next_definition;
use crate::recorder;
use crate::unwind::Entry;

const TASK_ALIGN: usize = 128;

static ENABLED: AtomicBool = AtomicBool::new(false);

type Memalign = unsafe extern "C" fn(*mut *mut c_void, usize, usize) -> c_int;

/// From now on spawns are noted.
pub(crate) fn enable() {
    let _ = next();
    ENABLED.store(true, Ordering::Relaxed);
}

/// In place of the C library's function of this name.
///
/// # Safety
/// As for the C library's.
#[unsafe(naked)]
#[cfg_attr(feature = "preload", unsafe(no_mangle))]
pub(crate) unsafe extern "C" fn posix_memalign(_out: *mut *mut c_void, _align: usize, _size: usize) -> c_int {
    naked_asm!("mov rcx, rsp", "mov r8, rbp", "jmp {tap}", tap = sym memalign_tap)
}

#[unsafe(link_section = "asyncprof_taps")]
unsafe extern "C" fn memalign_tap(
    out: *mut *mut c_void,
    align: usize,
    size: usize,
    sp: u64,
    bp: u64,
) -> c_int {
    let Some(next) = next() else { return libc::ENOMEM };
    // SAFETY: the caller's arguments for the function that was meant.
    let result = unsafe { next(out, align, size) };
    if result == 0
        && align == TASK_ALIGN
        && size.is_multiple_of(TASK_ALIGN)
        && ENABLED.load(Ordering::Relaxed)
        && let Some(thread) = recorder::current()
    {
        // SAFETY: the call succeeded, so `out` holds the new memory's address.
        let address = unsafe { *out } as u64;
        if let Some(level) = level_of_new(thread, address) {
            let stack = thread.stack(Entry { sp, bp });
            let by = if thread.polled.is_left_out() {
                BY_LEFT_OUT
            } else {
                0
            };
            thread.write(Kind::Spawn, address, level as u16 | by, stack);
        }
    }
    result
}

/// The function that was meant.
fn next() -> Option<Memalign> {
    static NEXT: AtomicUsize = AtomicUsize::new(0);
    let mut next = NEXT.load(Ordering::Relaxed);
    if next == 0 {
        next = next_definition(c"posix_memalign");
        NEXT.store(next, Ordering::Relaxed);
    }
    // SAFETY: null, or the address of a function of this name and so of this type.
    unsafe { std::mem::transmute::<usize, Option<Memalign>>(next) }
}
