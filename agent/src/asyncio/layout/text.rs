//! How texts are stored: one, two or four bytes for each character, right behind what describes them.

use std::ffi::CStr;

use asyncprof_core::python::{TEXT_STATE, TextLayout};

use super::super::memory::{half, read};
use super::super::probe::Probe;

/// What describes a text is no longer than this.
const MAX_HEAD: u64 = 128;

/// # Safety
/// The lock is held.
pub(super) unsafe fn find(probe: &Probe<'_>) -> Option<TextLayout> {
    let sample = |name: &CStr, width: u64, content: u64| {
        let object = probe.get(name)?;
        // SAFETY: a live text.
        let state = unsafe { half(object + TEXT_STATE) };
        Some((object, state, width, content))
    };
    // The content of those of more than one byte is as in `probe.py`.
    let [ascii, latin] = [
        sample(c"name", 1, u64::from_le_bytes(*b"asyncpro"))?,
        sample(c"latin", 1, 0x78_e9)?,
    ];
    let [greek, smile] = [
        sample(c"greek", 2, 0x0078_03b1)?,
        sample(c"smile", 4, 0x0000_0078_0001_f600)?,
    ];
    let is_there = |(object, _, _, content): (u64, u32, u64, u64), at: u64| {
        let word = read::<1>(object + at).map_or(0, |[word]| word);
        let len = content.leading_zeros() / 8 * 8;
        word << len >> len == content
    };
    let start_of = |samples: &[(u64, u32, u64, u64)]| {
        let mut starts = (3..MAX_HEAD / 8)
            .map(|at| at * 8)
            .filter(|&at| samples.iter().all(|&sample| is_there(sample, at)));
        starts.next().filter(|_| starts.next().is_none())
    };
    // What lies above the flags is padding, and anything.
    let differing = ascii.1 & !(latin.1 | greek.1 | smile.1);
    let ascii_mark = differing & differing.wrapping_neg();
    let width_of = |state: u32, shift: u32| u64::from(state >> shift & 7);
    // Width, then whether the characters are where we look for them, then whether they are ASCII.
    let width_shift = ascii_mark.checked_ilog2()?.checked_sub(4)?;
    let compact_mark = ascii_mark >> 1;
    let is_as_said = [ascii, latin, greek, smile]
        .iter()
        .all(|&(_, state, width, _)| width_of(state, width_shift) == width && state & compact_mark != 0);
    is_as_said.then_some(TextLayout {
        ascii_mark,
        compact_mark,
        width_shift,
        ascii_start: start_of(&[ascii])?,
        other_start: start_of(&[latin, greek, smile])?,
    })
}
