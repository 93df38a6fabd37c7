//! Await stacks: from a task's coroutine, await by await, to the leaf it is suspended at.

use asyncprof_core::python::FIELD_WORDS;
use asyncprof_core::stack_table::MAX_FRAMES;

use super::cython;
use super::interpreter::Object;
use super::layout::{FIRST, code_of, position_of};
use super::memory::{TYPE, type_of, word};
use super::names::{Cache, Naming};
use super::pages::Pages;
use super::tap::Tap;
use crate::recorder::Thread;

/// Awaits followed at most: beyond that it is a circle, or nothing that a picture could show.
const MAX_DEPTH: usize = 10_000;

impl Tap {
    /// The number of the stack of a suspended task: its innermost frames, if there are too many. `awaited` is the future
    /// that it waits for; 0 for none.
    ///
    /// # Safety
    /// The lock is held, no exception is in flight, and both are live objects.
    pub(super) unsafe fn await_stack(&self, thread: &mut Thread, coroutine: Object, awaited: Object) -> u64 {
        thread.intern_with(|names, frames, region| {
            let naming = self.naming(region);
            // From the root on in a circle, so that the last ones remain.
            let mut len = 0;
            let mut add = |frame: u64| {
                if frame != 0 {
                    frames[len % MAX_FRAMES] = frame;
                    len += 1;
                }
            };
            let mut object = coroutine;
            for _ in 0..MAX_DEPTH {
                // SAFETY: each is held by the one before, which is suspended there.
                let next = unsafe { self.next(names, &naming, object, &mut add) };
                match next {
                    0 => break,
                    next => object = next,
                }
            }
            if awaited != 0 {
                // SAFETY: a live object.
                add(unsafe { self.leaf(names, &naming, awaited) });
            }
            if len > MAX_FRAMES {
                frames.rotate_left(len % MAX_FRAMES);
            }
            let kept = len.min(MAX_FRAMES);
            frames[..kept].reverse();
            kept
        })
    }

    /// The frame for the future that a task is suspended at: its type, but any kind of task is a task.
    unsafe fn leaf(&self, names: &mut Cache, naming: &Naming<'_>, awaited: Object) -> u64 {
        // SAFETY: the caller's promise.
        unsafe {
            let of = type_of(awaited);
            if of == self.future_type {
                if self.is_of_pool(awaited) {
                    return names.of_pool(naming);
                }
            } else if (self.api.PyType_IsSubtype)(of, self.task_type) != 0 {
                return names.of_type(naming, self.task_type);
            }
            names.of_type(naming, of)
        }
    }

    /// Adds the frame of this awaitable, if it has one, and returns what it awaits; 0 at the leaf.
    unsafe fn next(
        &self,
        names: &mut Cache,
        naming: &Naming<'_>,
        object: Object,
        add: &mut impl FnMut(u64),
    ) -> Object {
        let (api, chain) = (self.api, &self.layout.chain);
        // SAFETY: the caller's promise; getters are called with objects of their types.
        unsafe {
            let of = type_of(object);
            let getter = if of == api.PyCoro_Type {
                chain.of_coroutine
            } else if of == api.PyGen_Type {
                chain.of_generator
            } else if of == api.PyAsyncGen_Type {
                chain.of_stream
            } else if chain.wrappers.contains(&of) {
                return word(object + FIRST);
            } else if cython::is_cython(of) {
                let code = cython::code(api, object);
                if code != 0 {
                    add(names.whole(naming, code));
                }
                return cython::awaited(api, object);
            } else {
                return 0;
            };
            add(self.frame_of(names, naming, object));
            let next = getter.get(object);
            if next == 0 {
                (api.PyErr_Clear)();
                return 0;
            }
            // Its awaiter holds it, and nothing else runs meanwhile.
            (api.Py_DecRef)(next);
            if next == api._Py_NoneStruct { 0 } else { next }
        }
    }

    /// # Safety
    /// A live coroutine, generator or asynchronous generator.
    unsafe fn frame_of(&self, names: &mut Cache, naming: &Naming<'_>, object: Object) -> u64 {
        // SAFETY: the caller's promise; what says to be code is looked at before it is taken for it.
        unsafe {
            match self.layout.in_coroutine.frame_of(object) {
                0 => 0,
                frame => naming.frame(names, frame),
            }
        }
    }

    /// The frame that names a task by its coroutine.
    ///
    /// # Safety
    /// A live object, and the lock is held.
    pub(super) unsafe fn name_of(&self, names: &mut Cache, naming: &Naming<'_>, coroutine: Object) -> u64 {
        let api = self.api;
        // SAFETY: as in `frame_of`.
        unsafe {
            let of = type_of(coroutine);
            if of == api.PyCoro_Type || of == api.PyGen_Type {
                let frame = self.layout.in_coroutine.frame_of(coroutine);
                let code = if frame == 0 {
                    0
                } else {
                    code_of(&naming.layout.frame, frame)
                };
                if code != 0 && type_of(code) == api.PyCode_Type {
                    return names.whole(naming, code);
                }
            } else if cython::is_cython(of) {
                let code = cython::code(api, coroutine);
                if code != 0 {
                    return names.whole(naming, code);
                }
            }
            names.of_type(naming, of)
        }
    }

    /// The number of the stack of Python functions that this thread is in, up to where its current poll began.
    ///
    /// # Safety
    /// The lock is held.
    pub(super) unsafe fn running_stack(&self, thread: &mut Thread) -> u64 {
        let until = thread.polled.outer_frame;
        thread.intern_with(|names, frames, region| {
            // SAFETY: the lock is held by this thread, so it has a state, which is its own.
            unsafe {
                let thread_state = (self.api.PyThreadState_Get)();
                let naming = self.naming(region);
                naming.running(names, frames, thread_state, until)
            }
        })
    }
}

impl Naming<'_> {
    /// The frame of a stack for the frame of what is suspended; 0 if it is no function's.
    ///
    /// # Safety
    /// Such a frame, and the lock is held.
    #[inline(always)]
    unsafe fn frame(&self, names: &mut Cache, frame: u64) -> u64 {
        let layout = &self.layout.frame;
        // SAFETY: the caller's promise; what says to be code is looked at before it is taken for it.
        unsafe {
            let code = code_of(layout, frame);
            if code == 0 || type_of(code) != self.layout.code_type {
                return 0;
            }
            names.frame(self, code, position_of(layout, frame))
        }
    }

    /// The functions that this thread is in, leaf first, up to the frame `until`; returns how many.
    ///
    /// # Safety
    /// The state is this thread's, and the lock is held.
    unsafe fn running(
        &self,
        names: &mut Cache,
        frames: &mut [u64; MAX_FRAMES],
        thread_state: u64,
        until: u64,
    ) -> usize {
        let mut len = 0;
        let read = |address: u64, words: &mut [u64]| {
            for (at, word) in words.iter_mut().enumerate() {
                // SAFETY: between two instructions of the interpreter's, a thread's frames are whole.
                *word = unsafe { super::memory::word(address + at as u64 * 8) };
            }
            true
        };
        self.layout
            .frame
            .walk(thread_state, until, read, |code, position| {
                // SAFETY: as above; between functions' frames lie some that are none's.
                unsafe {
                    if code != 0 && type_of(code) == self.layout.code_type {
                        frames[len] = names.frame(self, code, position);
                        len += usize::from(frames[len] != 0);
                    }
                }
                len < MAX_FRAMES
            });
        len
    }

    /// As [`Naming::running`], from a signal's handler: frames may be half made, so nothing is taken for what it should
    /// be, or to be there at all.
    ///
    /// # Safety
    /// The thread stands still, and code objects that its frames name live. It holds the lock, under which others give
    /// none of the interpreter's memory back; or it is in a call outside of the interpreter, and its frames are whole.
    pub(super) unsafe fn interrupted(
        &self,
        names: &mut Cache,
        frames: &mut [u64; MAX_FRAMES],
        thread_state: u64,
        until: u64,
    ) -> usize {
        let code_layout = &self.layout.code;
        let pages = Pages::new();
        // SAFETY: the caller's promise.
        let read = |address: u64, words: &mut [u64]| unsafe { pages.read_into(address, words) };
        let mut len = 0;
        let is_whole = self
            .layout
            .frame
            .walk(thread_state, until, read, |code, position| {
                let mut words = [0; FIELD_WORDS];
                let words = &mut words[..code_layout.identity_words()];
                if read(code, words) && words[TYPE as usize / 8] == self.layout.code_type {
                    let identity = code_layout.identity(|at| words[at as usize / 8]);
                    // SAFETY: the caller's promise; it is a code object.
                    frames[len] = unsafe { names.known_as(self, code, position, identity) };
                    len += usize::from(frames[len] != 0);
                }
                len < MAX_FRAMES
            });
        if is_whole { len } else { 0 }
    }
}
