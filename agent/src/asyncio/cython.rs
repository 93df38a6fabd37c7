//! Coroutines that Cython has made: they have the attributes of CPython's, not their layout.

use std::ffi::CStr;

use super::interpreter::{Api, Object};
use super::layout::FIRST;
use super::memory::{TYPE_NAME, TYPE_SIZE, type_of, word};
use super::probe::attribute;

/// Whether this is a type of Cython's, as in `_cython_3_1_8.coroutine`.
///
/// # Safety
/// A live type.
#[inline]
pub(super) unsafe fn is_cython(of: Object) -> bool {
    // SAFETY: a type's name is a C string that lives as long as it; nothing behind its end is read.
    unsafe {
        let name = word(of + TYPE_NAME) as *const u8;
        (b"_cython_".iter().enumerate()).all(|(at, &byte)| *name.add(at) == byte)
    }
}

/// The code of such a coroutine; 0 if it has none.
///
/// # Safety
/// The lock is held, the object alive, and no exception in flight.
pub(super) unsafe fn code(api: &Api, coroutine: Object) -> Object {
    // SAFETY: the caller's promise.
    unsafe {
        let code = held(api, coroutine, c"cr_code");
        if code != 0 && type_of(code) == api.PyCode_Type {
            code
        } else {
            0
        }
    }
}

/// What such a coroutine awaits, or its wrapper wraps; 0 for nothing.
///
/// # Safety
/// As for [`code`].
pub(super) unsafe fn awaited(api: &Api, coroutine: Object) -> Object {
    // SAFETY: the caller's promise; an object of that size has that one word.
    unsafe {
        let of = type_of(coroutine);
        let name = CStr::from_ptr(word(of + TYPE_NAME) as *const _);
        if name.to_bytes().ends_with(b".coroutine_wrapper") && word(of + TYPE_SIZE) == FIRST + 8 {
            return word(coroutine + FIRST);
        }
        match held(api, coroutine, c"cr_await") {
            none if none == api._Py_NoneStruct => 0,
            awaited => awaited,
        }
    }
}

/// What an attribute refers to, which the object holds.
unsafe fn held(api: &Api, object: Object, name: &CStr) -> Object {
    // SAFETY: the caller's promise; nothing else runs meanwhile.
    unsafe {
        let Some(found) = attribute(api, object, name) else {
            return 0;
        };
        (api.Py_DecRef)(found);
        found
    }
}
