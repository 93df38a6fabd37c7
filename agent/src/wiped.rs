//! Memory that a forked child does not inherit.

use std::{io, ptr};

/// Zeroed memory of at least this size that a forked child sees as zeros again; never freed.
pub(crate) fn wiped_in_child(size: usize) -> io::Result<*mut u8> {
    // SAFETY: a fresh anonymous mapping at an address of the kernel's choice.
    let memory = unsafe {
        let (protection, flags) = (
            libc::PROT_READ | libc::PROT_WRITE,
            libc::MAP_PRIVATE | libc::MAP_ANONYMOUS,
        );
        libc::mmap(ptr::null_mut(), size, protection, flags, -1, 0)
    };
    if memory == libc::MAP_FAILED {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: exactly the mapping just made.
    match unsafe { libc::madvise(memory, size, libc::MADV_WIPEONFORK) } {
        0 => Ok(memory.cast()),
        _ => {
            let error = io::Error::last_os_error();
            // SAFETY: as above.
            unsafe { libc::munmap(memory, size) };
            Err(error)
        }
    }
}
