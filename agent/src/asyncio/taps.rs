//! What CPython calls instead of asyncio's own functions: a task's step and wake-up, its constructor and destructor, and
//! the methods that end a future.

use std::arch::naked_asm;
use std::sync::atomic::{AtomicU64, Ordering};

use asyncprof_core::event::{Kind, LINGERS, Outcome, wake_aux};

use super::interpreter::Object;
use super::layout::innermost;
use super::links::TAG;
use super::memory::{type_of, word};
use super::tap::{self, CANCELLED, PENDING, Tap};
use crate::polled::Polled;
use crate::recorder;

type Call = unsafe extern "C-unwind" fn(Object, Object, Object) -> Object;
type Builtin = unsafe extern "C-unwind" fn(Object, Object) -> Object;
type Init = unsafe extern "C-unwind" fn(Object, Object, Object) -> i32;
type Dealloc = unsafe extern "C-unwind" fn(Object);

/// The taps are put into the slots after the tap is known.
fn known() -> &'static Tap {
    tap::get().unwrap_or_else(|| std::process::abort())
}

/// In place of `TaskStepMethWrapper`'s `tp_call`: the first step, and those after a bare `yield`.
pub(super) unsafe extern "C-unwind" fn step(callable: Object, args: Object, kwargs: Object) -> Object {
    let tap = known();
    // SAFETY: called with an object of the type that this word was found in, and in place of this function.
    unsafe {
        let task = word(callable + tap.layout.task.step_task);
        let original = std::mem::transmute::<u64, Call>(tap.originals.step);
        polled(tap, task, || original(callable, args, kwargs))
    }
}

/// In place of `TaskWakeupMethWrapper`'s `tp_call`, before 3.10.
pub(super) unsafe extern "C-unwind" fn wakeup_object(
    callable: Object,
    args: Object,
    kwargs: Object,
) -> Object {
    let tap = known();
    // SAFETY: as in `step`.
    unsafe {
        let task = word(callable + tap.layout.task.wakeup_task);
        let original = std::mem::transmute::<u64, Call>(tap.originals.wakeup);
        polled(tap, task, || original(callable, args, kwargs))
    }
}

/// In place of the builtin function `task_wakeup`, from 3.10 on.
pub(super) unsafe extern "C-unwind" fn wakeup_function(task: Object, future: Object) -> Object {
    let tap = known();
    // SAFETY: called in place of this function, with the task that it is bound to.
    unsafe {
        let original = std::mem::transmute::<u64, Builtin>(tap.originals.wakeup);
        polled(tap, task, || original(task, future))
    }
}

/// One step of a task.
///
/// # Safety
/// The lock is held, `task` is a live task, and `original` runs its step.
#[inline]
unsafe fn polled(tap: &Tap, task: Object, original: impl FnOnce() -> Object) -> Object {
    let layout = &tap.layout.task;
    // SAFETY: a live task; as long as it is pending it has a coroutine.
    let (coroutine, name, is_pending) = unsafe {
        (
            word(task + layout.coroutine),
            word(task + layout.name),
            tap.state_of(task) == PENDING,
        )
    };
    let Some(thread) = tap::current().filter(|_| is_pending && coroutine != 0) else {
        return original();
    };
    // SAFETY: as above.
    let table = unsafe { tap.table_of(thread, coroutine, name) };
    // SAFETY: as above.
    unsafe { poll(tap, task, table, original) }
}

/// As [`polled`], of a task of this table.
///
/// # Safety
/// As for [`polled`], but the task may still be without a coroutine.
#[inline]
unsafe fn poll(tap: &Tap, task: Object, table: u16, original: impl FnOnce() -> Object) -> Object {
    let Some(thread) = tap::current() else {
        return original();
    };
    // SAFETY: the lock is held by this thread, so it has a state.
    let polled = unsafe { tap.polled(task) };
    thread.write(Kind::PollStart, task, table, 0);
    let outer = thread.begin_poll(polled);
    // SAFETY: a live task.
    let told = unsafe {
        let told = tap.told_by(task);
        told.hold(tap);
        told
    };

    let result = original();

    // Recording may have stopped meanwhile, or this is a forked child.
    let Some(thread) = recorder::current() else {
        // SAFETY: held above.
        unsafe { told.let_go(tap) };
        return result;
    };
    let layout = &tap.layout.task;
    // SAFETY: whoever calls holds the task.
    let outcome = unsafe {
        match tap.state_of(task) {
            PENDING => Outcome::Pending,
            CANCELLED => Outcome::Cancelled,
            _ if word(task + layout.exception) != 0 => Outcome::Panicked,
            _ => Outcome::Ready,
        }
    };
    if outcome == Outcome::Pending && result != 0 {
        // SAFETY: it is suspended, and so are all that it awaits; no exception is in flight.
        unsafe {
            let awaited = word(task + layout.awaited);
            let stack = tap.await_stack(thread, word(task + layout.coroutine), awaited);
            thread.write(Kind::Await, task, TAG, stack);
            if awaited == 0 || tap.is_done(awaited) {
                thread.write(Kind::Wake, task, wake_aux(TAG, 0), 0);
            }
        }
    } else {
        for &waiting in told.waiting() {
            thread.write(Kind::Wake, waiting, wake_aux(TAG, 0), 0);
        }
        // SAFETY: the callbacks are held.
        unsafe { tap.pass_on(&told, task) };
    }
    thread.end_poll(outer);
    let lingers = if outcome != Outcome::Pending && told.lingers() {
        LINGERS
    } else {
        0
    };
    thread.write(Kind::PollEnd, task, outcome as u16 | lingers, 0);
    // SAFETY: held above. What that sets off may be anything, so it comes last.
    unsafe { told.let_go(tap) };
    result
}

impl Tap {
    /// What is polled from here on, on the stack below.
    ///
    /// # Safety
    /// The lock is held.
    #[inline(always)]
    pub(super) unsafe fn polled(&self, task: Object) -> Polled {
        let here = 0_u64;
        let mut polled = Polled::new(task, std::ptr::from_ref(std::hint::black_box(&here)) as u64);
        // SAFETY: the lock is held by this thread, so it has a state.
        unsafe {
            polled.thread_state = (self.api.PyThreadState_Get)();
            polled.outer_frame = innermost(&self.layout.stack.frame, polled.thread_state);
        }
        polled
    }

    /// Whether this is a future of asyncio's own that is done.
    unsafe fn is_done(&self, awaited: Object) -> bool {
        // SAFETY: a live object; of those types it has a state.
        unsafe {
            (self.api.PyType_IsSubtype)(type_of(awaited), self.future_type) != 0
                && self.state_of(awaited) != PENDING
        }
    }
}

/// In place of the task type's `tp_init`.
pub(super) unsafe extern "C-unwind" fn task_init(task: Object, args: Object, kwargs: Object) -> i32 {
    let tap = known();
    // SAFETY: called in place of this function.
    let original = unsafe { std::mem::transmute::<u64, Init>(tap.originals.task_init) };
    let Some(thread) = tap::current() else {
        // SAFETY: the call that was meant.
        return unsafe { original(task, args, kwargs) };
    };
    // SAFETY: the lock is held.
    let stack = unsafe { tap.running_stack(thread) };
    // SAFETY: the arguments of a call.
    let eager = unsafe { tap.eager_coroutine(args, kwargs) };
    if let Some(coroutine) = eager {
        thread.write(Kind::Spawn, task, 0, stack);
        let mut result = 0;
        // SAFETY: live objects; its first step runs within the constructor.
        unsafe {
            let table = tap.table_of(thread, coroutine, 0);
            poll(tap, task, table, || {
                result = original(task, args, kwargs);
                u64::from(result == 0)
            });
        }
        return result;
    }
    // SAFETY: the call that was meant.
    let result = unsafe { original(task, args, kwargs) };
    if result == 0
        && let Some(thread) = recorder::current()
    {
        thread.write(Kind::Spawn, task, 0, stack);
    }
    result
}

impl Tap {
    /// The coroutine of a task that is to start at once (3.12 and later).
    unsafe fn eager_coroutine(&self, args: Object, kwargs: Object) -> Option<Object> {
        if kwargs == 0 {
            return None;
        }
        // SAFETY: a dictionary, and a tuple; borrowed references.
        unsafe {
            let api = self.api;
            let eager = (api.PyDict_GetItemString)(kwargs, c"eager_start".as_ptr());
            if eager == 0 || (api.PyObject_IsTrue)(eager) != 1 {
                return None;
            }
            let named = (api.PyDict_GetItemString)(kwargs, c"coro".as_ptr());
            if named != 0 {
                return Some(named);
            }
            let first = (api.PyTuple_GetItem)(args, 0);
            if first == 0 {
                (api.PyErr_Clear)();
                return None;
            }
            Some(first)
        }
    }
}

/// In place of the task type's `tp_dealloc`. A task that is done has told so.
pub(super) unsafe extern "C-unwind" fn task_dealloc(task: Object) {
    let tap = known();
    // SAFETY: called in place of this function, with a task that is not freed yet.
    let is_pending = unsafe {
        let original = std::mem::transmute::<u64, Dealloc>(tap.originals.task_dealloc);
        let is_pending = tap.state_of(task) == PENDING;
        original(task);
        is_pending
    };
    if is_pending && let Some(thread) = recorder::current() {
        thread.write(Kind::End, task, Outcome::Freed as u16, 0);
    }
}

/// The originals of a future's methods that end it: `set_result`, `set_exception`, `cancel`.
pub(super) static ENDINGS: [AtomicU64; 3] = [const { AtomicU64::new(0) }; 3];

/// Notes that whoever waits for this future is woken now: what it has set off is to run as soon as the loop comes to it.
unsafe extern "C-unwind" fn note_ending(future: Object) {
    let Some((tap, thread)) = tap::get().zip(tap::current()) else {
        return;
    };
    // SAFETY: the method was called with a live future of its type.
    unsafe {
        if tap.state_of(future) == PENDING {
            tap.ends(thread, future);
        }
    }
}

macro_rules! ending {
    ($name:ident, $at:literal) => {
        /// In place of a method, whatever its arguments: notes it and goes on to the original.
        #[unsafe(naked)]
        pub(super) unsafe extern "C-unwind" fn $name() {
            naked_asm!(
                "push rdi",
                "push rsi",
                "push rdx",
                "push rcx",
                "push r8",
                "push r9",
                "sub rsp, 8",
                "call {note}",
                "add rsp, 8",
                "pop r9",
                "pop r8",
                "pop rcx",
                "pop rdx",
                "pop rsi",
                "pop rdi",
                "jmp qword ptr [rip + {originals} + {at}]",
                note = sym note_ending,
                originals = sym ENDINGS,
                at = const $at * 8,
            )
        }
    };
}

ending!(set_result, 0);
ending!(set_exception, 1);
ending!(cancel, 2);

/// Puts a function in the place of another.
///
/// # Safety
/// `slot` is a writable word that holds a function's address.
pub(super) unsafe fn put(slot: u64, function: u64) {
    // SAFETY: the caller's promise; readers take the word as a whole.
    unsafe { (*(slot as *const AtomicU64)).store(function, Ordering::Release) };
}
