//! A shared mapping of a part of a file, as a value.

use std::fmt;
use std::fs::File;
use std::io;
use std::ops::Deref;
use std::os::fd::AsRawFd;
use std::ptr::NonNull;

/// A `T` in a file's pages, mapped for as long as the value lives.
pub(super) struct Mapping<T> {
    base: NonNull<T>,
}

impl<T> fmt::Debug for Mapping<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.base.fmt(f)
    }
}

// SAFETY: a mapping is the process's, not a thread's; access is through `&T` only.
unsafe impl<T: Sync> Send for Mapping<T> {}
// SAFETY: as above.
unsafe impl<T: Sync> Sync for Mapping<T> {}

impl<T> Mapping<T> {
    /// Maps the `T` at `offset` of the file.
    ///
    /// # Safety
    /// The file holds a whole `T` there for as long as it exists, any bit pattern is a valid `T`, and what other
    /// processes change in it is atomic.
    pub(super) unsafe fn new(file: &File, offset: u64) -> io::Result<Mapping<T>> {
        // SAFETY: a fresh mapping at an address of the kernel's choice.
        let base = unsafe {
            libc::mmap(
                std::ptr::null_mut(),
                size_of::<T>(),
                libc::PROT_READ | libc::PROT_WRITE,
                libc::MAP_SHARED | libc::MAP_NORESERVE,
                file.as_raw_fd(),
                offset as libc::off_t,
            )
        };
        if base == libc::MAP_FAILED {
            return Err(io::Error::last_os_error());
        }
        for advice in [libc::MADV_DONTDUMP, libc::MADV_NOHUGEPAGE] {
            // SAFETY: exactly the mapping just made. A failure changes nothing but the size of core dumps, and of the
            // memory used where the system gives 2 MiB at the first touch.
            unsafe { libc::madvise(base, size_of::<T>(), advice) };
        }
        let base = NonNull::new(base.cast()).ok_or(io::ErrorKind::InvalidInput)?;
        Ok(Mapping { base })
    }

    pub(super) fn as_ptr(&self) -> *mut T {
        self.base.as_ptr()
    }
}

impl<T> Deref for Mapping<T> {
    type Target = T;

    fn deref(&self) -> &T {
        // SAFETY: mapped for as long as `self`, and a valid `T` by the promise made to `new`.
        unsafe { self.base.as_ref() }
    }
}

impl<T> Drop for Mapping<T> {
    fn drop(&mut self) {
        // SAFETY: exactly the mapping made in `new`; all borrows of it end with `self`.
        unsafe { libc::munmap(self.base.as_ptr().cast(), size_of::<T>()) };
    }
}
