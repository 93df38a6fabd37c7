//! Which task's end ends a wait, where callbacks stand between the two: those of `gather`, `wait`, `shield`, `TaskGroup`.
//!
//! The loop calls them when no task is being stepped. Such a callback has the task that ended among its arguments, which
//! are still in its frame, or in its caller's, when it ends the future that somebody waits for. Not so the one of
//! `gather`, which reuses the variable: of the future that stands for all it is remembered whose end came last.

use std::sync::atomic::{AtomicU64, Ordering};

use asyncprof_core::event::{Kind, wake_aux};
use asyncprof_core::python::LEN;

use super::interpreter::Object;
use super::layout::{code_of, innermost};
use super::memory::{LIST_ITEMS, LIST_LEN, TYPE_BASE, half, type_of, word};
use super::tap::{PENDING, Tap};
use super::workers;
use crate::recorder::Thread;

/// Of the one place where a task waits.
pub(super) const TAG: u16 = 1;
/// Tasks that wait for one future themselves, of which more than one is rare.
const MAX_WAITING: usize = 16;
/// Functions of ours to be called at a future's end.
const MAX_FUNCTIONS: usize = 2;
/// Looked at of each of so many innermost frames.
const MAX_LOCALS: u32 = 4;
const MAX_FRAMES: usize = 3;
/// Variables of outer functions that a callback uses.
const MAX_CELLS: u64 = 8;

/// Whom a future's end is told: its callbacks.
pub(super) struct Told {
    waiting: [Object; MAX_WAITING],
    tasks: usize,
    functions: [Object; MAX_FUNCTIONS],
    others: usize,
}

impl Told {
    /// The tasks that wait for this future themselves, the first few of them.
    pub(super) fn waiting(&self) -> &[Object] {
        &self.waiting[..self.tasks]
    }

    /// Whether others than those are to be told.
    pub(super) fn lingers(&self) -> bool {
        self.others > 0
    }

    fn functions(&self) -> impl Iterator<Item = Object> {
        self.functions.into_iter().take_while(|&function| function != 0)
    }

    /// Keeps the callbacks alive.
    ///
    /// # Safety
    /// They are, and the lock is held.
    #[inline]
    pub(super) unsafe fn hold(&self, tap: &Tap) {
        // SAFETY: the caller's promise.
        self.functions()
            .for_each(|function| unsafe { (tap.api.Py_IncRef)(function) });
    }

    /// # Safety
    /// They are held, and the lock is.
    #[inline]
    pub(super) unsafe fn let_go(&self, tap: &Tap) {
        // SAFETY: the caller's promise.
        self.functions()
            .for_each(|function| unsafe { (tap.api.Py_DecRef)(function) });
    }
}

impl Tap {
    /// # Safety
    /// A live future of asyncio's own type, or a task, and the lock is held.
    #[inline]
    pub(super) unsafe fn told_by(&self, future: Object) -> Told {
        let task = &self.layout.task;
        let mut told = Told {
            waiting: [0; MAX_WAITING],
            tasks: 0,
            functions: [0; MAX_FUNCTIONS],
            others: 0,
        };
        // SAFETY: the caller's promise; the list holds tuples whose first item is the callback.
        unsafe {
            let first = word(future + task.callback);
            if first != 0 {
                self.add(&mut told, first);
            }
            let others = word(future + task.callbacks);
            if others != 0 && type_of(others) == self.api.PyList_Type {
                let (items, len) = (word(others + LIST_ITEMS), word(others + LIST_LEN));
                for at in 0..len {
                    self.add(&mut told, word(word(items + at * 8) + task.tuple_item));
                }
            }
        }
        told
    }

    /// # Safety
    /// A live callback.
    #[inline]
    unsafe fn add(&self, told: &mut Told, callback: Object) {
        // SAFETY: the caller's promise; one that wakes has a task.
        let (woken, is_function) = unsafe {
            let woken = self.woken_by(callback);
            (woken, type_of(callback) == self.api.PyFunction_Type)
        };
        if woken != 0 {
            if told.tasks < MAX_WAITING {
                told.waiting[told.tasks] = woken;
                told.tasks += 1;
            }
            return;
        }
        told.others += 1;
        if is_function && let Some(place) = told.functions.iter_mut().find(|function| **function == 0) {
            *place = callback;
        }
    }

    /// A future that is not a step's own to end is about to be ended by `cause`, or, as far as we know, by nobody: those
    /// who wait are woken.
    ///
    /// # Safety
    /// The lock is held, and the future is pending.
    #[inline]
    pub(super) unsafe fn ends(&self, thread: &mut Thread, future: Object) {
        // SAFETY: the caller's promise.
        unsafe {
            let told = self.told_by(future);
            let linked = take(future);
            if told.waiting().is_empty() && !told.lingers() {
                return;
            }
            let is_in_step = thread.polled.is_own();
            let cause = match linked {
                _ if is_in_step => thread.polled.task,
                Some(cause) => cause,
                None if self.stands_for_all(future) => 0,
                None => self.argument(future),
            };
            self.pass_on(&told, cause);
            if cause != 0 && told.lingers() {
                put(future | ENDED, cause);
            }
            if told.waiting().is_empty() {
                return;
            }
            let stack = self.running_stack(thread);
            for &waiting in told.waiting() {
                // What is polled here may be a thread's work in which a loop runs: that wakes nobody.
                if !is_in_step && (cause != 0 || thread.polled.task != 0) {
                    thread.write(Kind::Passed, waiting, 0, cause);
                }
                thread.write(Kind::Wake, waiting, wake_aux(TAG, 0), stack);
            }
        }
    }

    /// Of futures that stand for all of several, of which this is one, the last end is that of `cause`.
    ///
    /// # Safety
    /// The lock is held, and the callbacks live.
    #[inline]
    pub(super) unsafe fn pass_on(&self, told: &Told, cause: Object) {
        let Some(layout) = &self.layout.links else { return };
        for function in told.functions() {
            // SAFETY: a function has a tuple of cells, or none.
            unsafe {
                let closure = word(function + layout.closure);
                if closure == 0 || type_of(closure) != self.api.PyTuple_Type {
                    continue;
                }
                for at in 0..word(closure + LEN).min(MAX_CELLS) {
                    let cell = word(closure + self.layout.task.tuple_item + at * 8);
                    if type_of(cell) != self.api.PyCell_Type {
                        continue;
                    }
                    let future = word(cell + layout.in_cell);
                    if future != 0 && self.stands_for_all(future) && self.state_of(future) == PENDING {
                        put(future, cause);
                    }
                }
            }
        }
    }

    /// Whether it is the future of a `gather`: of a type that derives from futures', and is not tasks'.
    ///
    /// # Safety
    /// A live object.
    #[inline]
    unsafe fn stands_for_all(&self, object: Object) -> bool {
        // SAFETY: the caller's promise; types have a base.
        unsafe {
            let of = type_of(object);
            of != self.future_type && of != self.task_type && word(of + TYPE_BASE) == self.future_type
        }
    }

    /// What has ended among the variables of the innermost functions that run here; 0 if there is none.
    ///
    /// # Safety
    /// The lock is held.
    unsafe fn argument(&self, ending: Object) -> Object {
        let Some(layout) = &self.layout.links else {
            return 0;
        };
        let frames = &self.layout.stack.frame;
        // SAFETY: between two of the interpreter's instructions frames are whole, and their variables live.
        unsafe {
            let mut frame = innermost(frames, (self.api.PyThreadState_Get)());
            for _ in 0..MAX_FRAMES {
                if frame == 0 {
                    break;
                }
                let code = code_of(frames, frame);
                if code != 0 && type_of(code) == self.api.PyCode_Type {
                    let number = half(code + layout.locals_of_code).min(MAX_LOCALS);
                    let mut locals =
                        (0..number).map(|at| word(frame + layout.locals + u64::from(at) * 8) & !1);
                    if let Some(ended) = locals.find_map(|object| self.ended_in(object, ending)) {
                        return ended;
                    }
                }
                frame = word(frame + frames.previous);
            }
            0
        }
    }

    /// The task or thread's work that has ended, if that is a variable's value, or its first item (`*args`), or what has
    /// ended that.
    #[inline]
    unsafe fn ended_in(&self, object: Object, ending: Object) -> Option<Object> {
        if object == 0 || object == ending {
            return None;
        }
        // SAFETY: live objects; a tuple that is not empty has a first item.
        unsafe {
            let of = type_of(object);
            if of == self.api.PyTuple_Type {
                let first = word(object + self.layout.task.tuple_item);
                return (word(object + LEN) > 0).then(|| self.by_type(type_of(first), first))?;
            }
            self.by_type(of, object)
        }
    }

    #[inline]
    unsafe fn by_type(&self, of: Object, object: Object) -> Option<Object> {
        // SAFETY: live objects; tasks have a state.
        unsafe {
            let base = word(of + TYPE_BASE);
            if of == self.task_type || base == self.task_type {
                (self.state_of(object) != PENDING).then_some(object)
            } else if of == self.future_type || base == self.future_type {
                find(object | ENDED)
            } else {
                (of == workers::future_type()).then_some(object)
            }
        }
    }

    /// The task that this callback wakes; 0 if it is another callback.
    ///
    /// # Safety
    /// A live object.
    #[inline]
    unsafe fn woken_by(&self, callback: Object) -> Object {
        // SAFETY: objects of these types have those words.
        unsafe {
            let is_ours = type_of(callback) == self.wakeup_type
                && (self.wakeup_def == 0 || word(callback + super::memory::FUNCTION_DEF) == self.wakeup_def);
            if is_ours {
                word(callback + self.layout.task.wakeup_task)
            } else {
                0
            }
        }
    }
}

/// A future, and whose end will end it; or, with the mark [`ENDED`], has ended it.
struct Link {
    future: AtomicU64,
    cause: AtomicU64,
}

const ENDED: u64 = 1;
/// One that finds another in its place takes it.
const LINKS: usize = 1 << 12;
static ALL: [Link; LINKS] = [const {
    Link {
        future: AtomicU64::new(0),
        cause: AtomicU64::new(0),
    }
}; LINKS];

#[inline]
fn place(future: u64) -> &'static Link {
    &ALL[((future & !ENDED).wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 52) as usize % LINKS]
}

/// It will end this future, as far as is known now.
pub(super) fn put(future: u64, cause: Object) {
    let link = place(future);
    link.future.store(future, Ordering::Relaxed);
    link.cause.store(cause, Ordering::Relaxed);
}

fn find(future: u64) -> Option<Object> {
    let link = place(future);
    (link.future.load(Ordering::Relaxed) == future).then(|| link.cause.load(Ordering::Relaxed))
}

/// What is to end a future that ends now. Also forgets what is known of another one in its memory.
#[inline]
fn take(future: Object) -> Option<Object> {
    let link = place(future);
    match link.future.load(Ordering::Relaxed) ^ future {
        0 => {
            link.future.store(0, Ordering::Relaxed);
            Some(link.cause.load(Ordering::Relaxed))
        }
        ENDED => {
            link.future.store(0, Ordering::Relaxed);
            None
        }
        _ => None,
    }
}
