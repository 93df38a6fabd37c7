//! Where coroutines have their frames.

use std::ffi::CStr;

use super::super::interpreter::{Api, Object};
use super::super::memory::{word, words_of};
use super::super::probe::{Probe, attribute};
use super::frame::{FoundFrames, Variant, code_of, position_of};
use super::{WORDS, place};

/// How a coroutine has its frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::asyncio) enum InCoroutine {
    Pointer(u64),
    Inside(u64),
}

/// # Safety
/// The lock is held.
pub(super) unsafe fn find(api: &Api, probe: &Probe<'_>, found: &FoundFrames) -> Option<InCoroutine> {
    let place_in = |coroutine: &CStr, frame: &CStr| {
        let (coroutine, frame) = (probe.get(coroutine)?, found.variant.address(probe.get(frame)?)?);
        // SAFETY: a live coroutine.
        let size = words_of(coroutine, WORDS).len() as u64 * 8;
        match found.variant {
            Variant::Object => place([(&words_of(coroutine, WORDS), frame)]).map(InCoroutine::Pointer),
            Variant::Behind(_) => (frame > coroutine && frame - coroutine < size)
                .then(|| InCoroutine::Inside(frame - coroutine)),
        }
    };
    let outer = place_in(c"outer", c"outer_frame")?;
    let inner = place_in(c"inner", c"inner_frame")?;
    let layout = &found.layout;
    // A suspended coroutine's frame says its code and place as a running one does.
    let is_as_said = |coroutine: &CStr, frame: &CStr| {
        // SAFETY: live objects; numbers are only asked for their value.
        unsafe {
            let coroutine = probe.get(coroutine)?;
            let code = attribute(api, coroutine, c"cr_code")?;
            (api.Py_DecRef)(code);
            let at = attribute(api, probe.get(frame)?, c"f_lasti")?;
            let bytes = (api.PyLong_AsLong)(at) as u64;
            (api.Py_DecRef)(at);
            let frame = outer.frame_of(coroutine);
            Some(
                code_of(layout, frame) == code
                    && layout.unit.bytes_at(code, position_of(layout, frame)) == bytes,
            )
        }
    };
    let is_right = is_as_said(c"outer", c"outer_frame")? && is_as_said(c"inner", c"inner_frame")?;
    (inner == outer && is_right).then_some(outer)
}

impl InCoroutine {
    /// The frame of a coroutine, generator or asynchronous generator; 0 if it has none any more.
    ///
    /// # Safety
    /// A live object of such a type.
    #[inline(always)]
    pub(in crate::asyncio) unsafe fn frame_of(self, coroutine: Object) -> u64 {
        match self {
            // SAFETY: the caller's promise.
            InCoroutine::Pointer(at) => unsafe { word(coroutine + at) },
            InCoroutine::Inside(at) => coroutine + at,
        }
    }
}
