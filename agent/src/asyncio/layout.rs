//! Where the fields of CPython's objects are, found out by looking at objects whose content we know.
//!
//! Nothing is taken from a version's headers: an offset is where known objects hold known values, in all of several
//! objects, and nowhere else. If one cannot be found, the tap stays out.

use std::ffi::CStr;
use std::sync::Mutex;

use asyncprof_core::python::{
    CodeLayout, FrameLayout, LEN, LineFormat, Position, StackLayout, TEXT_STATE, TextLayout,
};

use super::interpreter::{Api, Interpreter, Object};
use super::links_layout::LinksLayout;
use super::memory::{DESCRIPTOR_DEF, LIST_ITEMS, half, read, type_of, word, words_of};
use super::probe::{Probe, attribute};

/// Looked at of objects of unknown size, in words.
const WORDS: usize = 64;
const STATE_WORDS: usize = 48;

#[derive(Debug)]
pub(super) struct Layout {
    pub(super) task: TaskLayout,
    pub(super) stack: StackLayout,
    pub(super) in_coroutine: InCoroutine,
    pub(super) chain: ChainLayout,
    /// None if it is not understood: then waits are not linked to what ends them.
    pub(super) links: Option<LinksLayout>,
}

/// Offsets in `_asyncio.Task`, and in `_asyncio.Future`, which begins alike.
#[derive(Clone, Copy, Debug)]
pub(super) struct TaskLayout {
    pub(super) coroutine: u64,
    pub(super) awaited: u64,
    pub(super) name: u64,
    /// A number of half a word: 0 pending, 1 cancelled, 2 finished.
    pub(super) state: u64,
    pub(super) exception: u64,
    /// The first callback, and the list of tuples that hold the others first.
    pub(super) callback: u64,
    pub(super) callbacks: u64,
    pub(super) tuple_item: u64,
    /// In the object that is called for a step, and in the one for a wake-up: the task.
    pub(super) step_task: u64,
    pub(super) wakeup_task: u64,
}

/// How a coroutine has its frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum InCoroutine {
    Pointer(u64),
    Inside(u64),
}

/// A getter of a builtin type, and its second argument.
#[derive(Clone, Copy, Debug)]
pub(super) struct Getter {
    function: u64,
    closure: u64,
}

/// How to get from what is awaited to what that awaits.
#[derive(Clone, Copy, Debug)]
pub(super) struct ChainLayout {
    pub(super) of_coroutine: Getter,
    pub(super) of_generator: Getter,
    pub(super) of_stream: Getter,
    /// Types of objects that only pass on: their first own word is to what.
    pub(super) wrappers: [Object; 3],
}

/// Where the first own word of an object is.
pub(super) const FIRST: u64 = 16;

impl Getter {
    /// # Safety
    /// The lock is held, and the object is of the type that the getter is of.
    #[inline]
    pub(super) unsafe fn get(self, object: Object) -> Object {
        // SAFETY: the getter's address and type, from its type's own table.
        unsafe {
            let function =
                std::mem::transmute::<u64, unsafe extern "C" fn(Object, u64) -> Object>(self.function);
            function(object, self.closure)
        }
    }
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
    *lock() = Vec::new();
    // SAFETY: the caller's promise.
    let probe = unsafe { Probe::make(interpreter, asyncio, look) }.ok_or("trial objects")?;
    let frames = FoundFrames::of(&std::mem::take(&mut *lock())).ok_or("frames")?;
    // SAFETY: as above.
    let layout = unsafe {
        let in_coroutine = in_coroutines(&interpreter.api, &probe, &frames).ok_or("coroutines")?;
        Layout {
            task: task(&probe).ok_or("tasks")?,
            in_coroutine,
            links: LinksLayout::find(&interpreter.api, &probe, in_coroutine),
            stack: StackLayout {
                frame: frames.layout,
                code: code(interpreter, &probe).ok_or("code")?,
                text: text(&interpreter.api, &probe).ok_or("texts")?,
                code_type: interpreter.api.PyCode_Type,
            },
            chain: chain(&interpreter.api, &probe).ok_or("awaits")?,
        }
    };
    with(&probe, layout).ok_or("slots")
}

/// The only offset at which each of these objects' words holds its value.
pub(super) fn place<const N: usize>(objects: [(&[u64], u64); N]) -> Option<u64> {
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

/// # Safety
/// The lock is held.
unsafe fn task(probe: &Probe<'_>) -> Option<TaskLayout> {
    let words = |name: &CStr| Some(words_of(probe.get(name)?, WORDS));
    let task_words = words(c"task")?;
    let task = probe.get(c"task")?;
    let in_task = |name: &CStr| place([(task_words.as_slice(), probe.get(name)?)]);
    let called = words(c"called")?;
    let callback = place([(&called, probe.get(c"one")?)])?;
    let [_, list_type] = read::<2>(probe.get(c"ready")?)?;
    let callbacks = called.iter().enumerate().skip(2).find_map(|(at, &list)| {
        let is_list = read::<2>(list)?[1] == list_type;
        is_list.then_some(at as u64 * 8)
    })?;
    // SAFETY: the list that was just found, with the second callback's tuple.
    let tuple = unsafe {
        let list = word(probe.get(c"called")? + callbacks);
        word(word(list + LIST_ITEMS))
    };
    let tuple_item = place([(&read::<8>(tuple)?, probe.get(c"two")?)])?;
    let future = words(c"future")?;
    let wakeup = *future.get(callback as usize / 8)?;
    let layout = TaskLayout {
        coroutine: in_task(c"outer")?,
        awaited: in_task(c"future")?,
        name: in_task(c"name")?,
        state: half_place([
            (&future, 0),
            (&words(c"cancelled")?, 1),
            (&words(c"finished")?, 2),
            (&words(c"raised")?, 2),
        ])?,
        exception: place([(&words(c"raised")?, probe.get(c"error")?)])?,
        callback,
        callbacks,
        tuple_item,
        step_task: place([(&words_of(probe.get(c"step")?, WORDS), task)])?,
        wakeup_task: place([(&words_of(wakeup, WORDS), task)])?,
    };
    // A task begins as a future does.
    // SAFETY: a live task.
    (unsafe { half(task + layout.state) } == 0).then_some(layout)
}

/// # Safety
/// The lock is held.
unsafe fn code(interpreter: &Interpreter, probe: &Probe<'_>) -> Option<CodeLayout> {
    let api = &interpreter.api;
    let code = probe.get(c"code")?;
    let words = words_of(code, WORDS);
    let field = |name: &CStr| {
        // SAFETY: the code object keeps what it names: the reference may be given back at once.
        unsafe {
            let value = attribute(api, code, name)?;
            (api.Py_DecRef)(value);
            place([(words.as_slice(), value)])
        }
    };
    // SAFETY: as above; numbers are only asked for their value.
    let first_line = unsafe {
        let value = attribute(api, code, c"co_firstlineno")?;
        let line = (api.PyLong_AsLong)(value);
        (api.Py_DecRef)(value);
        u32::try_from(line).ok()?
    };
    let others = [c"outer", c"inner"].map(|name| {
        // SAFETY: coroutines keep their code.
        unsafe {
            let code = attribute(api, probe.get(name)?, c"cr_code")?;
            let line = attribute(api, code, c"co_firstlineno")?;
            let found = (words_of(code, WORDS), (api.PyLong_AsLong)(line) as u32);
            (api.Py_DecRef)(line);
            (api.Py_DecRef)(code);
            Some(found)
        }
    });
    let [Some(outer), Some(inner)] = others else {
        return None;
    };
    let (line_format, line_table) = match interpreter.minor {
        ..=9 => (LineFormat::Lnotab, c"co_lnotab"),
        10 => (LineFormat::Ranges, c"co_linetable"),
        _ => (LineFormat::Locations, c"co_linetable"),
    };
    Some(CodeLayout {
        line_table: field(line_table)?,
        line_format,
        file: field(c"co_filename")?,
        name: field(c"co_name")?,
        qualified_name: field(c"co_qualname"),
        first_line: half_place([(&words, first_line), (&outer.0, outer.1), (&inner.0, inner.1)])?,
    })
}

/// # Safety
/// The lock is held.
unsafe fn text(api: &Api, probe: &Probe<'_>) -> Option<TextLayout> {
    let (ascii, latin) = (probe.get(c"name")?, probe.get(c"latin")?);
    let mut len = 0;
    // SAFETY: live texts; the first one's bytes are its own.
    let (bytes, ascii_state, latin_state, known_len) = unsafe {
        let bytes = (api.PyUnicode_AsUTF8AndSize)(ascii, &mut len) as u64;
        (
            bytes,
            half(ascii + TEXT_STATE),
            half(latin + TEXT_STATE),
            word(ascii + LEN),
        )
    };
    // What lies above the flags is padding, and anything.
    let differing = ascii_state & !latin_state;
    let ascii_mark = differing & differing.wrapping_neg();
    let bytes = bytes
        .checked_sub(ascii)
        .filter(|offset| (24..128).contains(offset))?;
    (ascii_mark.is_power_of_two() && known_len == len as u64).then_some(TextLayout { ascii_mark, bytes })
}

/// # Safety
/// The lock is held.
unsafe fn chain(api: &Api, probe: &Probe<'_>) -> Option<ChainLayout> {
    let getter = |of: Object, name: &CStr| {
        // SAFETY: types keep their descriptors; a descriptor of this kind has a table of this shape.
        unsafe {
            let descriptor = attribute(api, of, name)?;
            (api.Py_DecRef)(descriptor);
            if type_of(descriptor) != api.PyGetSetDescr_Type {
                return None;
            }
            let [def_name, function, _, _, closure] = read::<5>(word(descriptor + DESCRIPTOR_DEF))?;
            let [text] = read::<1>(def_name)?;
            let is_same = text.to_le_bytes()[..7] == name.to_bytes()[..7];
            is_same.then_some(Getter { function, closure })
        }
    };
    let layout = ChainLayout {
        of_coroutine: getter(api.PyCoro_Type, c"cr_await")?,
        of_generator: getter(api.PyGen_Type, c"gi_yieldfrom")?,
        of_stream: getter(api.PyAsyncGen_Type, c"ag_await")?,
        // SAFETY: live objects.
        wrappers: unsafe {
            [
                type_of(probe.get(c"wrapped")?),
                type_of(probe.get(c"asend")?),
                type_of(probe.get(c"athrow")?),
            ]
        },
    };
    let (wrapper, stream) = (probe.get(c"wrapper")?, probe.get(c"stream")?);
    // SAFETY: live objects, of more than a word of their own; the getter is given a coroutine.
    let is_as_said = unsafe {
        let awaited = layout.of_coroutine.get(probe.get(c"outer")?);
        (api.Py_DecRef)(awaited);
        awaited == probe.get(c"inner")?
            && word(probe.get(c"wrapped")? + FIRST) == wrapper
            && word(probe.get(c"asend")? + FIRST) == stream
            && word(probe.get(c"athrow")? + FIRST) == stream
    };
    is_as_said.then_some(layout)
}

/// # Safety
/// The lock is held.
unsafe fn in_coroutines(api: &Api, probe: &Probe<'_>, found: &FoundFrames) -> Option<InCoroutine> {
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
    pub(super) unsafe fn frame_of(self, coroutine: Object) -> u64 {
        match self {
            // SAFETY: the caller's promise.
            InCoroutine::Pointer(at) => unsafe { word(coroutine + at) },
            InCoroutine::Inside(at) => coroutine + at,
        }
    }
}

/// # Safety
/// A live frame.
#[inline(always)]
pub(super) unsafe fn code_of(layout: &FrameLayout, frame: u64) -> Object {
    // SAFETY: the caller's promise. From 3.14 on the low bits say who counts the reference.
    unsafe { word(frame + layout.code) & !7 }
}

/// What [`Position::bytes_at`] makes sense of.
///
/// # Safety
/// A live frame.
#[inline(always)]
pub(super) unsafe fn position_of(layout: &FrameLayout, frame: u64) -> u64 {
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
pub(super) unsafe fn innermost(layout: &FrameLayout, thread_state: u64) -> u64 {
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
enum Variant {
    Object,
    Behind(u64),
}

impl Variant {
    fn address(self, frame_object: Object) -> Option<u64> {
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

struct FoundFrames {
    variant: Variant,
    layout: FrameLayout,
}

/// What `look` has seen. The interpreter's lock is held all the while; this one is for other interpreters' threads.
static SEEN: Mutex<Vec<Readings>> = Mutex::new(Vec::new());

fn lock() -> std::sync::MutexGuard<'static, Vec<Readings>> {
    SEEN.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
}

/// Called by the trial program with the frame that it is running in, called by another of its functions.
unsafe extern "C" fn look(_module: Object, frame: Object) -> Object {
    let Some(interpreter) = super::interpreter::get() else {
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
