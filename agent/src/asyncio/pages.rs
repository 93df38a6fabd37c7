//! Reading memory that may not be there, from a signal's handler: each page is asked for once, then read as it is.
//!
//! `process_vm_readv` would do without that, at ten times the price for each word.

use std::cell::Cell;
use std::ffi::{c_int, c_long};
use std::sync::atomic::{AtomicBool, Ordering};

use super::memory::{self, word};

const PAGE: u64 = 4096;
const ENTRIES: usize = 64;

/// Pages found to be there, while the thread stands still in its handler.
pub(super) struct Pages {
    /// By their last bits: one more than a page's number.
    known: [Cell<u64>; ENTRIES],
}

impl Pages {
    pub(super) fn new() -> Pages {
        Pages {
            known: [const { Cell::new(0) }; ENTRIES],
        }
    }

    /// Fills the buffer from any address; false if not all of it is there.
    ///
    /// # Safety
    /// Nobody takes away what is there meanwhile.
    pub(super) unsafe fn read_into(&self, address: u64, words: &mut [u64]) -> bool {
        let Some(last) = address.checked_add(size_of_val(words) as u64 - 1) else {
            return false;
        };
        let is_there = address.is_multiple_of(8) && (address / PAGE..=last / PAGE).all(|page| self.has(page));
        if is_there {
            for (at, value) in words.iter_mut().enumerate() {
                // SAFETY: on a page that is there, and stays.
                *value = unsafe { word(address + at as u64 * 8) };
            }
        }
        is_there
    }

    fn has(&self, page: u64) -> bool {
        let known = &self.known[page as usize % ENTRIES];
        if known.get() != page + 1 {
            if !is_readable(page * PAGE) {
                return false;
            }
            known.set(page + 1);
        }
        true
    }
}

/// Whether the system's answers can be relied on. Some sandboxes answer for it.
static IS_TRUSTED: AtomicBool = AtomicBool::new(false);

/// Puts the system to the test. Before the first signal.
pub(super) fn prepare() {
    let (set, nowhere) = (0u64, 8);
    let is_trusted = answer((&raw const set) as u64) == libc::EINVAL && answer(nowhere) == libc::EFAULT;
    IS_TRUSTED.store(is_trusted, Ordering::Relaxed);
}

fn is_readable(address: u64) -> bool {
    if IS_TRUSTED.load(Ordering::Relaxed) {
        answer(address) == libc::EINVAL
    } else {
        memory::read::<1>(address).is_some()
    }
}

/// Asks for something with the set of signals at this address that the system does not know: it tells so once it has
/// read the set.
fn answer(address: u64) -> c_int {
    const NOTHING: c_long = -1;
    const SET_LEN: usize = 8;
    let former = std::ptr::null_mut::<libc::sigset_t>();
    // SAFETY: the system checks the address, and changes nothing.
    unsafe {
        match libc::syscall(libc::SYS_rt_sigprocmask, NOTHING, address, former, SET_LEN) {
            -1 => *libc::__errno_location(),
            _ => 0,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_system_can_be_asked() {
        prepare();
        assert!(IS_TRUSTED.load(Ordering::Relaxed));
    }

    #[test]
    fn only_what_is_there_is_read() {
        // SAFETY: a fresh mapping, of which the second page is given back.
        let start = unsafe {
            let rights = libc::PROT_READ | libc::PROT_WRITE;
            let flags = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS;
            let start = libc::mmap(std::ptr::null_mut(), 2 * PAGE as usize, rights, flags, -1, 0);
            assert_ne!(start, libc::MAP_FAILED);
            let start = start as u64;
            libc::munmap((start + PAGE) as *mut _, PAGE as usize);
            ((start + PAGE - 8) as *mut u64).write(7);
            start
        };
        let read = |address: u64, len: usize| {
            let mut words = vec![1; len];
            // SAFETY: nothing else of this test's is taken away.
            let is_there = unsafe { Pages::new().read_into(address, &mut words) };
            is_there.then_some(words)
        };
        assert_eq!(read(start + PAGE - 16, 2), Some(vec![0, 7]));
        for (address, len) in [
            (start + PAGE - 8, 2),
            (start + PAGE, 1),
            (start + 1, 1),
            (0, 1),
            (u64::MAX - 7, 1),
            (1 << 63, 1),
        ] {
            assert_eq!(read(address, len), None, "{address:x}");
        }
    }
}
