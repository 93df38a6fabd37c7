//! Work that tasks give to threads: each piece is a blocking task, known by the address of the future that stands for it.
//!
//! A `ThreadPoolExecutor` hands its items over through a queue, whose `put` and `get` are C functions: an item that is put
//! is spawned, and from the `get` that returns it to that thread's next one it is polled.

use std::ffi::CStr;
use std::sync::atomic::{AtomicU64, Ordering};

use asyncprof_core::event::{Kind, LINGERS, Outcome};

use super::functions::Function;
use super::interpreter::{Interpreter, Object};
use super::layout::{code_of, innermost};
use super::memory::{DEF_FLAGS, DEF_FUNCTION, TYPE_NAME, half, is_writable, type_of, word};
use super::names::ascii;
use super::probe::attribute;
use super::tap::{self, Tap};
use super::{attach, taps};
use crate::polled::{Polled, Work};
use crate::recorder::{self, Thread};

/// The function of a pool's threads.
const LOOP: &str = "_worker";
/// The callback that passes a future's cancellation on to the pool's.
const PASSES_ON: &str = "_call_check_cancel";
const PASSES_ON_FILE: &str = "asyncio/futures.py";

/// The types of items and of their futures; 0 as long as none was seen. We hold both.
static ITEM_TYPE: AtomicU64 = AtomicU64::new(0);
static FUTURE_TYPE: AtomicU64 = AtomicU64::new(0);

#[inline]
pub(super) fn future_type() -> Object {
    FUTURE_TYPE.load(Ordering::Relaxed)
}

/// Any builtin function: whatever its arguments, they are passed on in registers.
pub(super) type Builtin = unsafe extern "C-unwind" fn(u64, u64, u64, u64, u64, u64) -> Object;

static PUT: AtomicU64 = AtomicU64::new(0);
static GET: AtomicU64 = AtomicU64::new(0);
static GET_NOWAIT: AtomicU64 = AtomicU64::new(0);
/// Which argument of `put` is the array of its arguments.
static ARRAY_AT: AtomicU64 = AtomicU64::new(0);

/// Puts the taps into the C module of queues.
///
/// # Safety
/// The lock is held, no exception is in flight, and this is that module.
pub(super) unsafe fn attach(interpreter: &Interpreter, module: Object) -> Option<()> {
    let api = &interpreter.api;
    // SAFETY: the caller's promise; the type is kept by its module.
    unsafe {
        let of = attribute(api, module, c"SimpleQueue")?;
        (api.Py_DecRef)(of);
        let slot = |name: &CStr| attach::method_slot(interpreter, of, name).filter(|&slot| is_writable(slot));
        let places = [slot(c"put")?, slot(c"get")?, slot(c"get_nowait")?];
        let array_at = array_at(half(places[0] - DEF_FUNCTION + DEF_FLAGS))?;
        let ours = [
            put as *const () as u64,
            get as *const () as u64,
            get_nowait as *const () as u64,
        ];
        if places.iter().zip(ours).any(|(&place, ours)| word(place) == ours) {
            return None;
        }
        ARRAY_AT.store(array_at, Ordering::Relaxed);
        for ((place, ours), original) in places.into_iter().zip(ours).zip([&PUT, &GET, &GET_NOWAIT]) {
            original.store(word(place), Ordering::Relaxed);
            taps::put(place, ours);
        }
    }
    Some(())
}

/// Which argument of a builtin function with these flags is the array of its arguments; the next is their number.
pub(super) fn array_at(flags: u32) -> Option<u64> {
    const KEYWORDS: u32 = 0x2;
    const ARRAY: u32 = 0x80;
    const WITH_CLASS: u32 = 0x200;
    match flags & !KEYWORDS {
        ARRAY => Some(1),
        flags if flags == ARRAY | WITH_CLASS => Some(2),
        _ => None,
    }
}

unsafe extern "C-unwind" fn put(a: u64, b: u64, c: u64, d: u64, e: u64, f: u64) -> Object {
    let (array, number) = match ARRAY_AT.load(Ordering::Relaxed) {
        1 => (b, c),
        _ => (c, d),
    };
    if let Some(tap) = tap::get()
        && number > 0
    {
        // SAFETY: the arguments of a call.
        unsafe {
            if let Some(future) = tap.future_of(word(array)) {
                if let Some(thread) = tap::current() {
                    let stack = tap.running_stack(thread);
                    thread.write(Kind::Spawn, future, 0, stack);
                }
                (tap.api.Py_DecRef)(future);
            }
        }
    }
    // SAFETY: the call that was meant.
    unsafe { original(&PUT)(a, b, c, d, e, f) }
}

unsafe extern "C-unwind" fn get(a: u64, b: u64, c: u64, d: u64, e: u64, f: u64) -> Object {
    // SAFETY: the call that was meant.
    unsafe { taken(|| original(&GET)(a, b, c, d, e, f)) }
}

unsafe extern "C-unwind" fn get_nowait(a: u64, b: u64, c: u64, d: u64, e: u64, f: u64) -> Object {
    // SAFETY: the call that was meant.
    unsafe { taken(|| original(&GET_NOWAIT)(a, b, c, d, e, f)) }
}

/// # Safety
/// It holds such a function's address.
pub(super) unsafe fn original(of: &AtomicU64) -> Builtin {
    // SAFETY: the caller's promise; stored before ours was put in its place.
    unsafe { std::mem::transmute::<u64, Builtin>(of.load(Ordering::Relaxed)) }
}

/// # Safety
/// The lock is held, and no exception is in flight.
unsafe fn taken(take: impl FnOnce() -> Object) -> Object {
    let Some(tap) = tap::get() else { return take() };
    // SAFETY: the caller's promise.
    unsafe {
        tap.end_work();
        let item = take();
        if item != 0 {
            tap.begin_work(item);
        }
        item
    }
}

impl Tap {
    /// The future of a pool's item, as a reference of our own; None if it is something else.
    unsafe fn future_of(&self, item: Object) -> Option<Object> {
        let api = self.api;
        // SAFETY: live objects; only of what is of the known types attributes are asked for, which runs no code.
        unsafe {
            let of = type_of(item);
            if of != ITEM_TYPE.load(Ordering::Relaxed) {
                self.is_item_type(of).then(|| {
                    (api.Py_IncRef)(of);
                    ITEM_TYPE.store(of, Ordering::Relaxed);
                })?;
            }
            let future = attribute(api, item, c"future")?;
            let of = type_of(future);
            if of != future_type() {
                if !is_named(of, c"Future") || of == self.future_type {
                    (api.Py_DecRef)(future);
                    return None;
                }
                (api.Py_IncRef)(of);
                FUTURE_TYPE.store(of, Ordering::Relaxed);
            }
            Some(future)
        }
    }

    unsafe fn is_item_type(&self, of: Object) -> bool {
        // SAFETY: a live type.
        unsafe {
            let module = is_named(of, c"_WorkItem").then(|| attribute(self.api, of, c"__module__"));
            module.flatten().is_some_and(|module| {
                let is_pools = self.is_text(module, "concurrent.futures.thread");
                (self.api.Py_DecRef)(module);
                is_pools
            })
        }
    }

    /// A thread has taken an item.
    unsafe fn begin_work(&self, item: Object) {
        // SAFETY: the lock is held by this thread; what the item refers to lives as long as it does.
        unsafe {
            let Some(future) = self.future_of(item) else {
                return;
            };
            let Some(thread) = tap::current() else {
                return (self.api.Py_DecRef)(future);
            };
            let thread_state = (self.api.PyThreadState_Get)();
            let outer_frame = innermost(&self.layout.stack.frame, thread_state);
            if !self.is_called(outer_frame, LOOP) || thread.work.future != 0 {
                // Not to do it: the pool shuts down.
                thread.write(Kind::End, future, Outcome::Cancelled as u16, 0);
                (self.api.Py_DecRef)(future);
                return;
            }
            let function = attribute(self.api, item, c"fn");
            let table = self.table_of_work(thread, function.unwrap_or(item));
            if let Some(function) = function {
                (self.api.Py_DecRef)(function);
            }
            // All of this thread's stack is below its loop, which goes on in the frames that it is in now.
            let mut polled = Polled::new(future, u64::MAX);
            [polled.thread_state, polled.outer_frame] = [thread_state, outer_frame];
            thread.write(Kind::PollStart, future, table, 0);
            thread.work = Work {
                future,
                frame: outer_frame,
                outer: thread.begin_poll(polled),
            };
        }
    }

    /// The thread asks for the next item: what it was at is done.
    unsafe fn end_work(&self) {
        // SAFETY: the lock is held by this thread.
        let here = || unsafe { innermost(&self.layout.stack.frame, (self.api.PyThreadState_Get)()) };
        let Some(work) = recorder::take_work(here) else {
            return;
        };
        // SAFETY: held since it began, and no exception is in flight. What giving it back sets off may be anything.
        unsafe {
            let outcome = self.outcome_of(work.future);
            if let Some(thread) = recorder::current() {
                thread.end_poll(work.outer);
                thread.write(Kind::PollEnd, work.future, outcome as u16 | LINGERS, 0);
            }
            (self.api.Py_DecRef)(work.future);
        }
    }

    unsafe fn outcome_of(&self, future: Object) -> Outcome {
        let api = self.api;
        // SAFETY: a live future of the pool's, whose attributes are its own.
        unsafe {
            let raised = attribute(api, future, c"_exception");
            let state = attribute(api, future, c"_state");
            let is_cancelled = state.is_some_and(|state| self.is_text(state, "CANCELLED_AND_NOTIFIED"));
            let is_raised = raised.is_some_and(|raised| raised != api._Py_NoneStruct);
            for object in [raised, state].into_iter().flatten() {
                (api.Py_DecRef)(object);
            }
            match (is_cancelled, is_raised) {
                (true, _) => Outcome::Cancelled,
                (_, true) => Outcome::Panicked,
                _ => Outcome::Ready,
            }
        }
    }

    /// Whether a future stands for one of a pool: then `wrap_future` was the first to ask to be told of its end.
    ///
    /// # Safety
    /// A live future of asyncio's own type, and the lock is held.
    #[inline]
    pub(super) unsafe fn is_of_pool(&self, future: Object) -> bool {
        let Some(layout) = &self.layout.links else {
            return false;
        };
        let (code_layout, text) = (&self.layout.stack.code, &self.layout.stack.text);
        // SAFETY: the caller's promise; functions have code, which has its texts.
        unsafe {
            let callback = word(future + self.layout.task.callback);
            if callback == 0 || type_of(callback) != self.api.PyFunction_Type {
                return false;
            }
            let code = word(callback + layout.function_code);
            self.is_text(word(code + code_layout.name), PASSES_ON)
                && ascii(text, word(code + code_layout.file))
                    .is_some_and(|file| file.ends_with(PASSES_ON_FILE))
        }
    }

    /// The table of work, by its function. Tells who does it, when it is new.
    ///
    /// # Safety
    /// A live object, and the lock is held.
    pub(super) unsafe fn table_of_work(&self, thread: &mut Thread, function: Object) -> u16 {
        // SAFETY: the caller's promise.
        let function = unsafe { Function::of(self, function) };
        let (table, is_new) = self.table_named(thread, |names, naming| {
            // SAFETY: the function keeps what it is called by.
            unsafe { function.frame(names, naming) }
        });
        if is_new {
            // SAFETY: the caller's promise.
            let stack = unsafe { self.running_stack(thread) };
            thread.write(Kind::TableSeen, 0, table, stack);
        }
        table
    }

    /// Whether the code that runs in a frame has this name.
    unsafe fn is_called(&self, frame: u64, name: &str) -> bool {
        // SAFETY: a live frame, or none.
        unsafe {
            let code = match frame {
                0 => 0,
                frame => code_of(&self.layout.stack.frame, frame),
            };
            code != 0
                && type_of(code) == self.api.PyCode_Type
                && self.is_text(word(code + self.layout.stack.code.name), name)
        }
    }

    /// # Safety
    /// A live object.
    pub(super) unsafe fn is_text(&self, text: Object, expected: &str) -> bool {
        // SAFETY: the caller's promise.
        unsafe {
            type_of(text) == self.api.PyUnicode_Type && ascii(&self.layout.stack.text, text) == Some(expected)
        }
    }
}

/// # Safety
/// A live type.
pub(super) unsafe fn is_named(of: Object, name: &CStr) -> bool {
    // SAFETY: a type's name is a C string.
    unsafe { CStr::from_ptr(word(of + TYPE_NAME) as *const _) == name }
}
