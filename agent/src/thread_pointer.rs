//! One pointer per thread, reached in two instructions and without ever allocating.
//!
//! `thread_local!` in a shared library goes through `__tls_get_addr`, a call that may allocate. This word lies in
//! the static TLS block instead (initial-exec model), which the loader sets up for every library that is loaded
//! with the program; stable Rust offers it only through assembly.

use core::arch::{asm, global_asm};
use core::ops::Range;

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

/// The calling thread's own stack as the C library made it, without its guard; empty if it cannot be told. Asks the
/// system (for the main thread it reads a file), as the standard library of Rust does at the start of each thread.
pub(crate) fn own_stack() -> Range<u64> {
    // SAFETY: `attributes` is initialised by the first call, read by the others and destroyed by the last.
    unsafe {
        let mut attributes = std::mem::zeroed::<libc::pthread_attr_t>();
        if libc::pthread_getattr_np(libc::pthread_self(), &mut attributes) != 0 {
            return 0..0;
        }
        let (mut start, mut size, mut guard) = (std::ptr::null_mut(), 0, 0);
        let known = libc::pthread_attr_getstack(&attributes, &mut start, &mut size) == 0
            && libc::pthread_attr_getguardsize(&attributes, &mut guard) == 0;
        libc::pthread_attr_destroy(&mut attributes);
        if !known {
            return 0..0;
        }
        // Whether the guard is part of the stack depends on the C library's version.
        let start = start as u64;
        start + guard as u64..start + size as u64
    }
}
