//! Another process's memory.

/// Reads into the buffer, and returns how many bytes there were.
#[allow(unsafe_code)]
pub(super) fn read(pid: u32, address: u64, buffer: &mut [u8]) -> usize {
    let local = libc::iovec {
        iov_base: buffer.as_mut_ptr().cast(),
        iov_len: buffer.len(),
    };
    let remote = libc::iovec {
        iov_base: address as *mut libc::c_void,
        iov_len: buffer.len(),
    };
    // SAFETY: the system writes at most as much as fits into our own buffer.
    let read = unsafe { libc::process_vm_readv(pid as i32, &local, 1, &remote, 1, 0) };
    usize::try_from(read).unwrap_or(0)
}

/// Fills the buffer; false if not all of it is there.
pub(super) fn read_words(pid: u32, address: u64, words: &mut [u64]) -> bool {
    let mut bytes = vec![0; words.len() * 8];
    if read(pid, address, &mut bytes) < bytes.len() {
        return false;
    }
    for (word, bytes) in words.iter_mut().zip(bytes.chunks_exact(8)) {
        *word = bytes
            .iter()
            .rev()
            .fold(0, |word, byte| word << 8 | u64::from(*byte));
    }
    true
}

/// So many words; None if they are not all there.
pub(super) fn words<const N: usize>(pid: u32, address: u64) -> Option<[u64; N]> {
    let mut words = [0; N];
    read_words(pid, address, &mut words).then_some(words)
}
