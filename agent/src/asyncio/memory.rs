//! Words of Python objects, and of memory that may not be there.

use super::interpreter::Object;

/// Of every object: its type, behind the reference count. The same in all versions with the interpreter's lock.
pub(super) const TYPE: u64 = 8;
/// Of every type (`PyTypeObject`): its name, size of its instances, and slots.
pub(super) const TYPE_NAME: u64 = 24;
pub(super) const TYPE_SIZE: u64 = 32;
pub(super) const TYPE_DEALLOC: u64 = 48;
pub(super) const TYPE_CALL: u64 = 128;
pub(super) const TYPE_BASE: u64 = 256;
pub(super) const TYPE_INIT: u64 = 296;
/// Of builtin functions: their `PyMethodDef`, whose second word is the function.
pub(super) const FUNCTION_DEF: u64 = 16;
/// Of descriptors of builtin types: their `PyGetSetDef` or `PyMethodDef`, with the function in its second word.
pub(super) const DESCRIPTOR_DEF: u64 = 40;
pub(super) const DEF_FUNCTION: u64 = 8;
pub(super) const DEF_FLAGS: u64 = 16;
/// Of lists: length, and the array of the items.
pub(super) const LIST_LEN: u64 = 16;
pub(super) const LIST_ITEMS: u64 = 24;

/// # Safety
/// There is a word at this address.
#[inline(always)]
pub(super) unsafe fn word(address: u64) -> u64 {
    // SAFETY: the caller's promise.
    unsafe { (address as *const u64).read() }
}

/// # Safety
/// As for [`word`], of half the size.
#[inline(always)]
pub(super) unsafe fn half(address: u64) -> u32 {
    // SAFETY: the caller's promise.
    unsafe { (address as *const u32).read() }
}

/// # Safety
/// A live object.
#[inline(always)]
pub(super) unsafe fn type_of(object: Object) -> Object {
    // SAFETY: the caller's promise.
    unsafe { word(object + TYPE) }
}

/// So many words at any address; None if they are not all there.
pub(super) fn read<const N: usize>(address: u64) -> Option<[u64; N]> {
    let mut words = [0; N];
    read_into(address, &mut words).then_some(words)
}

/// Fills the buffer from any address; false if not all of it is there. Asks the system: not for taps.
pub(super) fn read_into(address: u64, words: &mut [u64]) -> bool {
    let len = size_of_val(words);
    let local = libc::iovec {
        iov_base: words.as_mut_ptr().cast(),
        iov_len: len,
    };
    let remote = libc::iovec {
        iov_base: address as *mut libc::c_void,
        iov_len: len,
    };
    // SAFETY: writes into `words` only; the kernel checks the other address.
    let read = unsafe { libc::process_vm_readv(libc::getpid(), &local, 1, &remote, 1, 0) };
    read == len as isize
}

/// The first words of an object, as many as its type says, but no more than asked for.
pub(super) fn words_of(object: Object, most: usize) -> Vec<u64> {
    // SAFETY: the callers' objects are alive, and so are their types.
    let size = unsafe { word(type_of(object) + TYPE_SIZE) } as usize;
    (0..(size / 8).min(most))
        // SAFETY: within the instance.
        .map(|at| unsafe { word(object + at as u64 * 8) })
        .collect()
}

/// Whether this word may be written: some builds keep their tables in read-only memory.
pub(super) fn is_writable(address: u64) -> bool {
    let Some(mut value) = read::<1>(address) else {
        return false;
    };
    let part = |base: u64| libc::iovec {
        iov_base: base as *mut libc::c_void,
        iov_len: size_of::<u64>(),
    };
    let (local, remote) = (part((&raw mut value) as u64), part(address));
    // SAFETY: the word keeps its value; the kernel checks the address.
    let written = unsafe { libc::process_vm_writev(libc::getpid(), &local, 1, &remote, 1, 0) };
    written == size_of::<u64>() as isize
}
