//! Work that anyio gives to its threads, as for FastAPI's plain `def` routes. They call it through `Context.run`, as the
//! loops do with every callback: whose call it is, is told by the code that calls. Just before the work is handed over,
//! the asking coroutine calls that method, too. In both frames is the future that the work is known by.

use std::sync::atomic::{AtomicU64, Ordering};

use asyncprof_core::event::{Kind, LINGERS, Outcome};

use super::interpreter::{Interpreter, Object};
use super::layout::{code_of, innermost};
use super::links;
use super::memory::{DEF_FLAGS, DEF_FUNCTION, half, is_writable, type_of, word};
use super::names::ascii;
use super::probe::attribute;
use super::tap::{self, Tap};
use super::{attach, taps, workers};
use crate::recorder;

const FILE: &str = "anyio/_backends/_asyncio.py";
const ASKS: &str = "run_sync_in_worker_thread";
const WORKS: &str = "run";

/// A function that calls the method: what tells its code, and which of its variables is the future.
struct Caller {
    identity: AtomicU64,
    future_at: AtomicU64,
}

impl Caller {
    const fn unknown() -> Caller {
        Caller {
            identity: AtomicU64::new(0),
            future_at: AtomicU64::new(0),
        }
    }
}

static ASKING: Caller = Caller::unknown();
static WORKING: Caller = Caller::unknown();
/// The last other one: the loop, nearly always.
static OTHER: AtomicU64 = AtomicU64::new(0);

type Run = unsafe extern "C-unwind" fn(Object, *const Object, isize, Object) -> Object;

static RUN: AtomicU64 = AtomicU64::new(0);

/// Puts the tap into contexts.
///
/// # Safety
/// The lock is held, and no exception is in flight.
pub(super) unsafe fn attach(interpreter: &Interpreter) -> Option<()> {
    // SAFETY: the caller's promise; a static type.
    unsafe {
        let place = attach::method_slot(interpreter, interpreter.api.PyContext_Type, c"run")?;
        let is_usable = is_writable(place)
            && workers::array_at(half(place - DEF_FUNCTION + DEF_FLAGS)) == Some(1)
            && word(place) != run as *const () as u64;
        if is_usable {
            RUN.store(word(place), Ordering::Relaxed);
            taps::put(place, run as *const () as u64);
        }
    }
    Some(())
}

unsafe extern "C-unwind" fn run(
    context: Object,
    args: *const Object,
    number: isize,
    names: Object,
) -> Object {
    // SAFETY: stored before ours was put in its place; the call that was meant.
    let call = || unsafe {
        std::mem::transmute::<u64, Run>(RUN.load(Ordering::Relaxed))(context, args, number, names)
    };
    let Some(tap) = tap::get().filter(|_| number > 0) else {
        return call();
    };
    // SAFETY: the lock is held by this thread, and the arguments are those of a call.
    unsafe {
        let frame = innermost(&tap.layout.stack.frame, (tap.api.PyThreadState_Get)());
        let Some((is_work, future)) = tap.asked(frame) else {
            return call();
        };
        if is_work {
            return tap.work(future, *args, call);
        }
        if let Some(thread) = tap::current() {
            let stack = tap.running_stack(thread);
            thread.write(Kind::Spawn, future, 0, stack);
            links::put(future, future);
        }
        call()
    }
}

impl Tap {
    /// Whether this function of anyio's is about to do work, or asks for it, and the future that it is known by.
    #[inline]
    unsafe fn asked(&self, frame: u64) -> Option<(bool, Object)> {
        let layout = &self.layout.stack;
        let links = self.layout.links.as_ref()?;
        // SAFETY: a live frame, or none; variables' values live.
        unsafe {
            let code = match frame {
                0 => 0,
                frame => code_of(&layout.frame, frame),
            };
            if code == 0 || type_of(code) != self.api.PyCode_Type {
                return None;
            }
            let identity = layout.code.identity(|at| word(code + at));
            if identity == OTHER.load(Ordering::Relaxed) {
                return None;
            }
            let is_work = identity == WORKING.identity.load(Ordering::Relaxed);
            let caller = match is_work {
                true => &WORKING,
                false if identity == ASKING.identity.load(Ordering::Relaxed) => &ASKING,
                false => self.learnt(code, identity)?,
            };
            let at = caller.future_at.load(Ordering::Relaxed);
            if at >= u64::from(half(code + links.locals_of_code)) {
                return None;
            }
            let future = word(frame + links.locals + at * 8) & !1;
            (future != 0 && type_of(future) == self.future_type)
                .then_some((std::ptr::eq(caller, &WORKING), future))
        }
    }

    /// Looks at a function that calls for the first time.
    #[cold]
    unsafe fn learnt(&self, code: Object, identity: u64) -> Option<&'static Caller> {
        let layout = &self.layout.stack;
        // SAFETY: code keeps its texts.
        unsafe {
            let name = word(code + layout.code.name);
            let caller = if self.is_text(name, ASKS) {
                Some(&ASKING)
            } else {
                self.is_text(name, WORKS).then_some(&WORKING)
            };
            let is_anyio =
                ascii(&layout.text, word(code + layout.code.file)).is_some_and(|file| file.ends_with(FILE));
            let known = caller.filter(|_| is_anyio).zip(self.variable(code, "future"));
            let Some((caller, at)) = known else {
                OTHER.store(identity, Ordering::Relaxed);
                return None;
            };
            caller.future_at.store(at, Ordering::Relaxed);
            caller.identity.store(identity, Ordering::Relaxed);
            Some(caller)
        }
    }

    /// The number of a function's variable.
    unsafe fn variable(&self, code: Object, wanted: &str) -> Option<u64> {
        let api = self.api;
        // SAFETY: a live code object has a tuple of texts; borrowed references.
        unsafe {
            let names = attribute(api, code, c"co_varnames")?;
            let number = word(names + asyncprof_core::python::LEN);
            let is_wanted = |at: &u64| self.is_text((api.PyTuple_GetItem)(names, *at as isize), wanted);
            let at = (0..number).find(is_wanted);
            (api.Py_DecRef)(names);
            at
        }
    }

    /// A thread does the work.
    unsafe fn work(&self, future: Object, function: Object, call: impl FnOnce() -> Object) -> Object {
        let Some(thread) = tap::current() else {
            return call();
        };
        // SAFETY: the lock is held, and both live as long as the calling frame has them.
        unsafe {
            let table = self.table_of_work(thread, function);
            thread.write(Kind::PollStart, future, table, 0);
            let outer = thread.begin_poll(self.polled(future));
            let result = call();
            if let Some(thread) = recorder::current() {
                let outcome = if result == 0 {
                    Outcome::Panicked
                } else {
                    Outcome::Ready
                };
                thread.end_poll(outer);
                thread.write(Kind::PollEnd, future, outcome as u16 | LINGERS, 0);
            }
            result
        }
    }
}
