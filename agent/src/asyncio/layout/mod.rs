//! Where the fields of CPython's objects are, found out by looking at objects whose content we know.
//!
//! Nothing is taken from a version's headers: an offset is where known objects hold known values, in all of several
//! objects, and nowhere else. If one cannot be found, the tap stays out.

mod awaits;
mod code;
mod coroutine;
mod frame;
mod links;
mod task;
mod text;

use asyncprof_core::python::StackLayout;

use super::interpreter::{Interpreter, Object};
use super::probe::Probe;
pub(super) use awaits::{ChainLayout, FIRST};
pub(super) use coroutine::InCoroutine;
pub(super) use frame::{code_of, innermost, position_of};
pub(super) use links::LinksLayout;
pub(super) use task::TaskLayout;

/// Looked at of objects of unknown size, in words.
const WORDS: usize = 64;

#[derive(Debug)]
pub(super) struct Layout {
    pub(super) task: TaskLayout,
    pub(super) stack: StackLayout,
    pub(super) in_coroutine: InCoroutine,
    pub(super) chain: ChainLayout,
    /// None if it is not understood: then waits are not linked to what ends them.
    pub(super) links: Option<LinksLayout>,
}

/// Finds out all of it, and hands the objects to `with` before they are gone.
///
/// # Safety
/// The interpreter's lock is held, and no exception is in flight.
pub(super) unsafe fn find<T>(
    interpreter: &Interpreter,
    asyncio: Object,
    with: impl FnOnce(&Probe<'_>, Layout) -> Option<T>,
) -> Result<T, &'static str> {
    frame::forget();
    // SAFETY: the caller's promise.
    let probe = unsafe { Probe::make(interpreter, asyncio, frame::look) }.ok_or("trial objects")?;
    let frames = frame::found().ok_or("frames")?;
    // SAFETY: as above.
    let layout = unsafe {
        let in_coroutine = coroutine::find(&interpreter.api, &probe, &frames).ok_or("coroutines")?;
        Layout {
            task: task::find(&probe).ok_or("tasks")?,
            in_coroutine,
            links: LinksLayout::find(&interpreter.api, &probe, in_coroutine),
            stack: StackLayout {
                frame: frames.layout,
                code: code::find(interpreter, &probe).ok_or("code")?,
                text: text::find(&probe).ok_or("texts")?,
                code_type: interpreter.api.PyCode_Type,
            },
            chain: awaits::find(&interpreter.api, &probe).ok_or("awaits")?,
        }
    };
    with(&probe, layout).ok_or("slots")
}

/// The only offset at which each of these objects' words holds its value.
fn place<const N: usize>(objects: [(&[u64], u64); N]) -> Option<u64> {
    let len = objects.iter().map(|(words, _)| words.len()).min()?;
    let mut places = (2..len).filter(|&at| objects.iter().all(|(words, value)| words[at] == *value));
    let first = places.next()?;
    places.next().is_none().then_some(first as u64 * 8)
}

/// As [`place`], of half words.
fn half_place<const N: usize>(objects: [(&[u64], u32); N]) -> Option<u64> {
    let len = objects.iter().map(|(words, _)| words.len()).min()?;
    let mut places = (4..len * 2).filter(|&at| {
        objects
            .iter()
            .all(|(words, value)| (words[at / 2] >> (at % 2 * 32)) as u32 == *value)
    });
    let first = places.next()?;
    places.next().is_none().then_some(first as u64 * 4)
}
