//! Replaces words in tables that the loader has made read-only.

use std::io;
use std::ops::Range;

const PAGE: u64 = 4096;

/// Writes `words` (address, new value) within `range`, which is readable and gets back exactly that protection.
///
/// # Errors
/// The system's, if the pages may not be made writable; nothing is changed then.
///
/// # Safety
/// `range` is mapped, every address lies in it and is the place of a pointer-sized word that may hold the new
/// value, and no other thread runs yet.
pub(crate) unsafe fn write_words(range: Range<u64>, words: &[(u64, u64)]) -> io::Result<()> {
    let start = range.start & !(PAGE - 1);
    let len = (range.end.next_multiple_of(PAGE) - start) as usize;
    let protect = |protection| {
        // SAFETY: whole pages of the caller's mapped range.
        match unsafe { libc::mprotect(start as *mut libc::c_void, len, protection) } {
            0 => Ok(()),
            _ => Err(io::Error::last_os_error()),
        }
    };
    protect(libc::PROT_READ | libc::PROT_WRITE)?;
    for &(address, value) in words {
        // SAFETY: the caller's promise; writable since the call above.
        unsafe { (address as *mut u64).write(value) };
    }
    protect(libc::PROT_READ)
}
