//! A task that is told to the agent by ourselves: its polls, and the wakers with which it is polled.
//!
//! As in tokio's own tasks, a waker that was cloned during a poll carries a tag in the low bits of its data pointer: the
//! number of that registration. Its wake-up then tells which await it ends.

use std::ffi::c_void;
use std::mem::ManuallyDrop;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{RawWaker, RawWakerVTable, Waker};

use asyncprof_agent::api::{Api, Polling, TASK_ALIGN};

/// Its address stands for the task.
#[repr(align(128))]
pub(crate) struct Task {
    agent: &'static Api,
    /// Wakes whoever polls the task.
    outer: Mutex<Waker>,
}

const _: () = assert!(align_of::<Task>() == TASK_ALIGN);
const TAG_MASK: usize = TASK_ALIGN - 1;

impl Task {
    /// A task that is spawned here.
    #[inline(never)]
    pub(crate) fn spawned(agent: &'static Api, name: Option<&str>) -> Arc<Task> {
        let task = Arc::new(Task {
            agent,
            outer: Mutex::new(Waker::noop().clone()),
        });
        let (start, len) = name.map_or((std::ptr::null(), 0), |name| (name.as_ptr(), name.len()));
        // SAFETY: an address of its own, as aligned as is asked for, and a text or none.
        unsafe { (agent.spawned)(task.address(), start, len) };
        task
    }

    fn address(&self) -> u64 {
        (&raw const *self) as u64
    }

    /// Whether what is polled with this waker is recorded without us.
    pub(crate) fn is_seen(&self, outer: &Waker) -> bool {
        // SAFETY: the table of a waker.
        unsafe { (self.agent.is_seen)((&raw const *outer.vtable()) as u64) }
    }

    /// The waker to be used wakes this one.
    pub(crate) fn set_outer(&self, outer: &Waker) {
        let mut known = self.outer.lock().unwrap_or_else(PoisonError::into_inner);
        known.clone_from(outer);
    }

    /// The waker to poll the task's future with.
    pub(crate) fn waker(self: &Arc<Task>) -> ManuallyDrop<Waker> {
        let data = Arc::as_ptr(self).cast::<()>();
        // SAFETY: the table's functions take the pointer of such an `Arc`, whose count this waker, which is never
        // dropped, does not share in.
        ManuallyDrop::new(unsafe { Waker::from_raw(RawWaker::new(data, &VTABLE)) })
    }

    /// Calls `poll` as a poll of the task. It must not panic.
    pub(crate) fn poll(&self, is_blocking: bool, mut poll: impl FnMut() -> Polling) {
        unsafe extern "C" fn run<F: FnMut() -> Polling>(poll: *mut c_void) -> Polling {
            // SAFETY: the closure given below, which nobody else uses meanwhile.
            unsafe { (*poll.cast::<F>())() }
        }
        fn run_of<F: FnMut() -> Polling>(_: &F) -> unsafe extern "C" fn(*mut c_void) -> Polling {
            run::<F>
        }
        let run = run_of(&poll);
        // SAFETY: the function and what it takes.
        unsafe { (self.agent.poll)(self.address(), is_blocking, run, (&raw mut poll).cast()) }
    }

    /// It was dropped before it was done.
    pub(crate) fn cancelled(&self) {
        (self.agent.cancelled)(self.address());
    }

    /// Wakes whoever polls the task, by a waker with that tag.
    fn wake(&self, tag: u64) {
        unsafe extern "C" fn wake_outer(task: *mut c_void) {
            // SAFETY: the task given below.
            let task = unsafe { &*task.cast::<Task>() };
            // Whoever is woken may poll the task at once, on this very thread.
            let outer = task.outer.lock().unwrap_or_else(PoisonError::into_inner).clone();
            outer.wake();
        }
        let data = (&raw const *self).cast_mut().cast();
        // SAFETY: the function and what it takes.
        unsafe { (self.agent.wake)(self.address(), tag, wake_outer, data) }
    }
}

static VTABLE: RawWakerVTable = RawWakerVTable::new(clone, wake, wake_by_ref, drop_waker);

fn untagged(data: *const ()) -> *const Task {
    data.map_addr(|address| address & !TAG_MASK).cast()
}

fn tag(data: *const ()) -> u64 {
    (data.addr() & TAG_MASK) as u64
}

unsafe fn clone(data: *const ()) -> RawWaker {
    let task = untagged(data);
    // SAFETY: the pointer of an `Arc` that whoever clones holds; the clone holds another.
    let agent = unsafe {
        Arc::increment_strong_count(task);
        (*task).agent
    };
    if tag(data) != 0 {
        return RawWaker::new(data, &VTABLE);
    }
    // SAFETY: a task of the agent's.
    let tag = unsafe { (agent.registered)(task.addr() as u64) } as usize & TAG_MASK;
    let data = task.cast::<()>().map_addr(|address| address | tag);
    RawWaker::new(data, &VTABLE)
}

unsafe fn wake(data: *const ()) {
    // SAFETY: the waker that is used up holds the `Arc`.
    let task = unsafe { Arc::from_raw(untagged(data)) };
    task.wake(tag(data));
}

unsafe fn wake_by_ref(data: *const ()) {
    // SAFETY: the waker holds the `Arc`, or whoever polls the task does.
    unsafe { &*untagged(data) }.wake(tag(data));
}

unsafe fn drop_waker(data: *const ()) {
    // SAFETY: the waker that is dropped holds the `Arc`.
    drop(unsafe { Arc::from_raw(untagged(data)) });
}
