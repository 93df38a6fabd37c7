//! Await stacks: from a task's coroutine, await by await, to the leaf it is suspended at.

use asyncprof_core::stack_table::MAX_FRAMES;

use super::interpreter::Object;
use super::layout::{FIRST, code_of, innermost, position_of};
use super::memory::{TYPE, type_of, word};
use super::names::{Cache, Naming};
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
            let mut circle = [0; MAX_FRAMES];
            let mut len = 0;
            let mut add = |frame: u64| {
                if frame != 0 {
                    circle[len % MAX_FRAMES] = frame;
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
                add(unsafe { naming.of_type(type_of(awaited)) });
            }
            let kept = len.min(MAX_FRAMES);
            for (at, frame) in frames.iter_mut().take(kept).enumerate() {
                *frame = circle[(len - 1 - at) % MAX_FRAMES];
            }
            kept
        })
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
                frame => naming.frame(names, frame, |at| word(at)),
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
                    code_of(&naming.layout.frame, frame, |at| word(at))
                };
                if code != 0 && type_of(code) == api.PyCode_Type {
                    return names.whole(naming, code);
                }
            }
            naming.of_type(of)
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
                naming.running(names, frames, thread_state, until, |at| word(at))
            }
        })
    }
}

impl Naming<'_> {
    /// The frame of a stack for an interpreter's frame; 0 if it is no function's.
    ///
    /// # Safety
    /// A frame of this thread or of what is suspended, and the lock is held or this thread stands still. `read` reads
    /// what is there, or 0.
    #[inline(always)]
    unsafe fn frame(&self, names: &mut Cache, frame: u64, read: impl Fn(u64) -> u64) -> u64 {
        let layout = &self.layout.frame;
        let code = code_of(layout, frame, &read);
        if code == 0 || read(code + TYPE) != self.layout.code_type {
            return 0;
        }
        // SAFETY: the caller's promise, and it is a code object.
        unsafe { names.frame(self, code, position_of(layout, frame, read)) }
    }

    /// The functions that this thread is in, leaf first, up to the frame `until`; returns how many.
    ///
    /// # Safety
    /// As for [`Naming::frame`]; the state is this thread's.
    #[inline]
    pub(super) unsafe fn running(
        &self,
        names: &mut Cache,
        frames: &mut [u64; MAX_FRAMES],
        thread_state: u64,
        until: u64,
        read: impl Fn(u64) -> u64,
    ) -> usize {
        let layout = &self.layout.frame;
        let mut len = 0;
        let mut frame = innermost(layout, thread_state, &read);
        for _ in 0..MAX_DEPTH {
            if frame == 0 || frame == until || len == MAX_FRAMES {
                break;
            }
            // SAFETY: frames of this thread, which is in all of them; between them lie some that are no function's.
            frames[len] = unsafe { self.frame(names, frame, &read) };
            len += usize::from(frames[len] != 0);
            frame = read(frame + layout.previous);
        }
        len
    }
}
