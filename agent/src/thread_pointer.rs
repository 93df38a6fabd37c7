//! One pointer per thread, reached in two instructions and without ever allocating.
//!
//! `thread_local!` in a shared library goes through `__tls_get_addr`, a call that may allocate. This word lies in
//! the static TLS block instead (initial-exec model), which the loader sets up for every library that is loaded
//! with the program; stable Rust offers it only through assembly.

use core::arch::{asm, global_asm};

use crate::recorder::Thread;

global_asm!(
    ".pushsection .tbss.asyncprof_thread, \"awT\", @nobits",
    ".p2align 3",
    ".globl asyncprof_thread",
    ".hidden asyncprof_thread",
    ".type asyncprof_thread, @object",
    ".size asyncprof_thread, 8",
    "asyncprof_thread:",
    ".zero 8",
    ".popsection",
);

/// The calling thread's pointer; null until [`set`].
#[inline(always)]
pub(crate) fn get() -> *mut Thread {
    let pointer;
    // SAFETY: reads the thread's own word; the linker fills its offset from the thread pointer.
    unsafe {
        asm!(
            "mov {0}, qword ptr [rip + asyncprof_thread@GOTTPOFF]",
            "mov {0}, qword ptr fs:[{0}]",
            out(reg) pointer,
            options(nostack, preserves_flags, readonly),
        );
    }
    pointer
}

pub(crate) fn set(pointer: *mut Thread) {
    // SAFETY: writes the thread's own word.
    unsafe {
        asm!(
            "mov {0}, qword ptr [rip + asyncprof_thread@GOTTPOFF]",
            "mov qword ptr fs:[{0}], {1}",
            out(reg) _,
            in(reg) pointer,
            options(nostack, preserves_flags),
        );
    }
}

/// An upper end of the calling thread's stack. glibc puts a thread's control block at the top of its stack, and
/// keeps the main thread's in `__libc_stack_end`.
pub(crate) fn stack_top() -> u64 {
    unsafe extern "C" {
        static __libc_stack_end: *const u8;
    }
    let control_block: u64;
    // SAFETY: on x86-64 the first word of the control block is its own address.
    unsafe {
        asm!("mov {0}, qword ptr fs:[0]", out(reg) control_block, options(nostack, preserves_flags, readonly))
    };
    // SAFETY: set by the loader before any of our code runs, never changed.
    let main_end = unsafe { __libc_stack_end } as u64;
    let here = &raw const control_block as u64;
    [control_block, main_end]
        .into_iter()
        .filter(|&top| top > here)
        .min()
        .unwrap_or(here)
}
