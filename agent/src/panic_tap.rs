//! Counts panics per thread: tokio catches them inside the poll, and the task's state word does not tell a panic
//! from a result.

use std::arch::naked_asm;
use std::sync::atomic::{AtomicUsize, Ordering};

use crate::imports::next_definition;
use crate::recorder;

/// In place of the unwinder's function of this name, which every Rust panic goes through once.
///
/// # Safety
/// As for the unwinder's.
#[unsafe(naked)]
#[cfg_attr(feature = "preload", unsafe(no_mangle))]
#[allow(non_snake_case)]
pub(crate) unsafe extern "C-unwind" fn _Unwind_RaiseException(_exception: u64) -> i32 {
    // The original must find the caller's frame, so it is jumped to, not called.
    naked_asm!(
        "push rdi",
        "call {note}",
        "pop rdi",
        "jmp rax",
        note = sym note_panic,
    )
}

static NEXT: AtomicUsize = AtomicUsize::new(0);

/// Asks the loader for the original now: later its lock may be held by a thread that a forked child does not have.
#[cfg(feature = "preload")]
pub(crate) fn prepare() {
    next();
}

/// Counts, and returns the address of the original.
extern "C" fn note_panic() -> usize {
    if let Some(thread) = recorder::current() {
        thread.panics = thread.panics.wrapping_add(1);
    }
    match next() {
        0 => abort as *const () as usize,
        original => original,
    }
}

/// The address of the next definition in the loader's order; 0 if there is none yet.
fn next() -> usize {
    let mut next = NEXT.load(Ordering::Relaxed);
    if next == 0 {
        next = next_definition(c"_Unwind_RaiseException");
        NEXT.store(next, Ordering::Relaxed);
    }
    next
}

/// Whoever raises an exception has an unwinder loaded.
extern "C" fn abort() {
    std::process::abort()
}
