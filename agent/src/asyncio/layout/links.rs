//! Where functions' variables are, in frames and in closures.

use std::ffi::CStr;

use super::super::interpreter::{Api, Object};
use super::super::memory::{TYPE_BASE, read, type_of, word, words_of};
use super::super::probe::{Probe, attribute};
use super::coroutine::InCoroutine;
use super::{WORDS, place};

#[derive(Clone, Copy, Debug)]
pub(in crate::asyncio) struct LinksLayout {
    /// Of frames: the first variable. Arguments come first.
    pub(in crate::asyncio) locals: u64,
    /// Of code, half a word: how many there are.
    pub(in crate::asyncio) locals_of_code: u64,
    /// Of functions: their code; the tuple of cells, or nothing.
    pub(in crate::asyncio) function_code: u64,
    pub(in crate::asyncio) closure: u64,
    /// Of cells: the value.
    pub(in crate::asyncio) in_cell: u64,
}

/// Before 3.11 they come last in a frame, behind its blocks.
const FRAME_WORDS: usize = 80;

impl LinksLayout {
    /// # Safety
    /// The lock is held.
    pub(super) unsafe fn find(
        api: &Api,
        probe: &Probe<'_>,
        in_coroutine: InCoroutine,
    ) -> Option<LinksLayout> {
        let name = probe.get(c"name")?;
        let locals = {
            // SAFETY: a live coroutine, suspended with two variables: these.
            let frame = unsafe { in_coroutine.frame_of(probe.get(c"outer")?) };
            let both = [name, probe.get(c"latin")?];
            let words = read::<FRAME_WORDS>(frame)?;
            let is_there = |words: &[u64]| words[0] & !1 == both[0] && words[1] & !1 == both[1];
            words.windows(2).position(is_there)? as u64 * 8
        };
        // SAFETY: live objects; what a reference is given back of, is kept by its owner.
        unsafe {
            let code_of = |name: &CStr| {
                let code = attribute(api, probe.get(name)?, c"cr_code")?;
                (api.Py_DecRef)(code);
                Some(words_of(code, WORDS))
            };
            let codes = [
                (words_of(probe.get(c"code")?, WORDS), 3),
                (code_of(c"outer")?, 2),
                (code_of(c"inner")?, 0),
            ];
            let number = |words: &[u64], at: usize| (words[at / 2] >> (at % 2 * 32)) as u32;
            let len = codes.iter().map(|(words, _)| words.len()).min()? * 2;
            // From 3.11 on also with those in cells: none here, and as good.
            let locals_of_code =
                (4..len).find(|&at| codes.iter().all(|(words, known)| number(words, at) == *known))?;

            let function = probe.get(c"closed")?;
            let code = attribute(api, function, c"__code__")?;
            (api.Py_DecRef)(code);
            let cells = attribute(api, function, c"__closure__")?;
            (api.Py_DecRef)(cells);
            let cell: Object = (api.PyTuple_GetItem)(cells, 0);
            let is_as_said = type_of(function) == api.PyFunction_Type
                && type_of(cells) == api.PyTuple_Type
                && cell != 0
                && type_of(cell) == api.PyCell_Type
                && word(type_of(probe.get(c"task")?) + TYPE_BASE) == type_of(probe.get(c"future")?);
            if !is_as_said {
                return None;
            }
            Some(LinksLayout {
                locals,
                locals_of_code: locals_of_code as u64 * 4,
                function_code: place([(&words_of(function, WORDS), code)])?,
                closure: place([(&words_of(function, WORDS), cells)])?,
                in_cell: place([(&words_of(cell, WORDS), name)])?,
            })
        }
    }
}
