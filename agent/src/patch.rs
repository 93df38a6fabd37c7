//! Replaces words in tables that the loader has made read-only.

use std::io;
use std::ops::Range;
use std::sync::atomic::{AtomicU64, Ordering};

pub(crate) const PAGE: u64 = 4096;

/// Writes `words` (address, new value) within `range`, whose whole pages the loader has made read-only. A page that
/// the range ends in also holds the program's variables: it was left writable and stays so.
///
/// # Errors
/// The system's, if the pages may not be made writable; nothing is changed then.
///
/// # Safety
/// `range` is mapped, every address lies in it (or it is empty, and they are writable) and is the place of an aligned
/// word that may hold the new value. Other threads may read the words meanwhile, and see them change in their order.
pub(crate) unsafe fn write_words(range: Range<u64>, words: &[(u64, u64)]) -> io::Result<()> {
    let start = range.start & !(PAGE - 1);
    let end = range.end & !(PAGE - 1);
    let protect = |protection| {
        if start >= end {
            return Ok(());
        }
        // SAFETY: whole pages of the caller's mapped range, none of which holds anything else.
        match unsafe { libc::mprotect(start as *mut libc::c_void, (end - start) as usize, protection) } {
            0 => Ok(()),
            _ => Err(io::Error::last_os_error()),
        }
    };
    protect(libc::PROT_READ | libc::PROT_WRITE)?;
    for &(address, value) in words {
        // SAFETY: the caller's promise; writable since the call above.
        unsafe { AtomicU64::from_ptr(address as *mut u64) }.store(value, Ordering::Release);
    }
    protect(libc::PROT_READ)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn variables_behind_the_protected_part_stay_writable() {
        // SAFETY: three fresh pages of our own; the first is made read-only as a loader would do it, for a range
        // that ends in the second.
        unsafe {
            let flags = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS;
            let protection = libc::PROT_READ | libc::PROT_WRITE;
            let memory = libc::mmap(std::ptr::null_mut(), 3 * PAGE as usize, protection, flags, -1, 0);
            assert_ne!(memory, libc::MAP_FAILED);
            assert_eq!(libc::mprotect(memory, PAGE as usize, libc::PROT_READ), 0);
            let start = memory as u64;
            write_words(
                start + 64..start + PAGE + 512,
                &[(start + 128, 1), (start + PAGE + 8, 2)],
            )
            .unwrap();
            ((start + PAGE + 512) as *mut u64).write(3);
            for (at, expected) in [(128, 1), (PAGE + 8, 2), (PAGE + 512, 3)] {
                assert_eq!(((start + at) as *const u64).read(), expected);
            }
        }
    }
}
