//! Where the fields of running frames are, and how a thread has them: the trial program shows us several.

use std::sync::Mutex;

use asyncprof_core::python::{FrameLayout, Position};

use super::super::interpreter::{self, Api, Object};
use super::super::memory::{half, read, word};
use super::super::probe::attribute;

/// Looked at of a thread's state.
const STATE_WORDS: usize = 48;

/// # Safety
/// A live frame.
#[inline(always)]
pub(in crate::asyncio) unsafe fn code_of(layout: &FrameLayout, frame: u64) -> Object {
    // SAFETY: the caller's promise. From 3.14 on the low bits say who counts the reference.
    unsafe { word(frame + layout.code) & !7 }
}

/// What [`Position::bytes_at`] makes sense of.
///
/// # Safety
/// A live frame.
#[inline(always)]
pub(in crate::asyncio) unsafe fn position_of(layout: &FrameLayout, frame: u64) -> u64 {
    match layout.unit {
        // SAFETY: the caller's promise.
        Position::Units(_) => u64::from(unsafe { half(frame + layout.position) }),
        // SAFETY: as above.
        Position::Pointer(_) => unsafe { word(frame + layout.position) },
    }
}

/// The innermost frame of a thread; 0 if it has none.
///
/// # Safety
/// The state of this thread, and the lock is held.
#[inline]
pub(in crate::asyncio) unsafe fn innermost(layout: &FrameLayout, thread_state: u64) -> u64 {
    let (at, then) = layout.innermost;
    // SAFETY: the caller's promise.
    unsafe {
        match (word(thread_state + at), then) {
            (0, _) => 0,
            (frame, None) => frame,
            (place, Some(then)) => word(place + then),
        }
    }
}

/// How to get from a frame object to the interpreter's frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Variant {
    Object,
    Behind(u64),
}

impl Variant {
    pub(super) fn address(self, frame_object: Object) -> Option<u64> {
        match self {
            Variant::Object => Some(frame_object),
            Variant::Behind(at) => Some(read::<1>(frame_object + at)?[0]),
        }
    }
}

/// One way to understand a running frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Reading {
    variant: Variant,
    code: u64,
    previous: u64,
    position: (u64, Position),
    innermost: (u64, Option<u64>),
}

/// The ways to understand a frame that [`look`] was called with.
type Readings = Vec<Reading>;

pub(super) struct FoundFrames {
    pub(super) variant: Variant,
    pub(super) layout: FrameLayout,
}

/// What `look` has seen. The interpreter's lock is held all the while; this one is for other interpreters' threads.
static SEEN: Mutex<Vec<Readings>> = Mutex::new(Vec::new());

fn lock() -> std::sync::MutexGuard<'static, Vec<Readings>> {
    SEEN.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
}

pub(super) fn forget() {
    lock().clear();
}

pub(super) fn found() -> Option<FoundFrames> {
    FoundFrames::of(&std::mem::take(&mut *lock()))
}

/// Called by the trial program with the frame that it is running in, called by another of its functions.
pub(super) unsafe extern "C" fn look(_module: Object, frame: Object) -> Object {
    let Some(interpreter) = interpreter::get() else {
        return 0;
    };
    // SAFETY: called by the interpreter with a live frame.
    let readings = unsafe { readings(&interpreter.api, frame) };
    lock().push(readings.unwrap_or_default());
    let none = interpreter.api._Py_NoneStruct;
    // SAFETY: a static object, whose reference the caller takes.
    unsafe { (interpreter.api.Py_IncRef)(none) };
    none
}

/// # Safety
/// The lock is held, and `frame` is the innermost running one.
unsafe fn readings(api: &Api, frame: Object) -> Option<Readings> {
    // SAFETY: the frame keeps both; numbers are only asked for their value.
    let (code, back, bytes, state) = unsafe {
        let (code, back) = (
            attribute(api, frame, c"f_code")?,
            attribute(api, frame, c"f_back")?,
        );
        let at = attribute(api, frame, c"f_lasti")?;
        let bytes = (api.PyLong_AsLong)(at) as u64;
        for object in [at, back, code] {
            (api.Py_DecRef)(object);
        }
        (code, back, bytes, (api.PyThreadState_Get)())
    };
    let state_words = read::<STATE_WORDS>(state)?;
    let mut readings = Vec::new();
    let variants = [Variant::Object]
        .into_iter()
        .chain((2..8).map(|at| Variant::Behind(at * 8)));
    for variant in variants {
        let (Some(here), Some(caller)) = (variant.address(frame), variant.address(back)) else {
            continue;
        };
        let Some(words) = read::<16>(here) else { continue };
        let at = |wanted: &dyn Fn(u64) -> bool| {
            words
                .iter()
                .position(|&word| wanted(word))
                .map(|at| at as u64 * 8)
        };
        let (Some(code_at), Some(previous)) = (at(&|word| word & !7 == code), at(&|word| word == caller))
        else {
            continue;
        };
        let mut places = Vec::new();
        for (at, &place) in state_words.iter().enumerate() {
            let at = at as u64 * 8;
            if place == here {
                places.push((at, None));
            } else if let Some(then) =
                read::<3>(place).and_then(|words| words.iter().position(|&w| w == here))
            {
                places.push((at, Some(then as u64 * 8)));
            }
        }
        let mut positions = Vec::new();
        match variant {
            Variant::Object => {
                for at in 4..words.len() * 2 {
                    let number = words[at / 2] >> (at % 2 * 32) & 0xffff_ffff;
                    let units = [1, 2]
                        .into_iter()
                        .filter(|unit| number * unit == bytes && bytes != 0);
                    positions.extend(units.map(|unit| (at as u64 * 4, Position::Units(unit))));
                }
            }
            Variant::Behind(_) => {
                for (at, &word) in words.iter().enumerate() {
                    let start = word.wrapping_sub(code).wrapping_sub(bytes);
                    if (1..1024).contains(&start) {
                        positions.push((at as u64 * 8, Position::Pointer(start)));
                    }
                }
            }
        }
        for &position in &positions {
            for &innermost in &places {
                readings.push(Reading {
                    variant,
                    code: code_at,
                    previous,
                    position,
                    innermost,
                });
            }
        }
    }
    Some(readings)
}

impl FoundFrames {
    /// The way to understand all of these frames.
    fn of(seen: &[Readings]) -> Option<FoundFrames> {
        let (first, others) = seen.split_first()?;
        if others.len() < 3 {
            return None;
        }
        let fits = |reading: &&Reading| others.iter().all(|readings| readings.contains(reading));
        let mut found = first.iter().filter(fits);
        let reading = *found.next()?;
        // Several words of a thread's state may name the frame; all else must be certain.
        let same = |other: &Reading| {
            Reading {
                innermost: reading.innermost,
                ..*other
            } == reading
        };
        if !found.all(same) {
            return None;
        }
        let layout = FrameLayout {
            code: reading.code,
            previous: reading.previous,
            position: reading.position.0,
            unit: reading.position.1,
            innermost: reading.innermost,
        };
        Some(FoundFrames {
            variant: reading.variant,
            layout,
        })
    }
}
