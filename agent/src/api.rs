//! What a program that links the library `asyncprof` calls.
//!
//! Under `asyncprof record` the program has two copies of this code: the preloaded one, which records, and the one
//! that is linked with the library, which then must not. So the library calls through a table of functions, which it
//! finds by its name in the preloaded copy, or else has from its own. The table only ever grows at its end.

use std::arch::naked_asm;
use std::ffi::c_void;

use asyncprof_core::event::{
    Kind, LABEL_REMOVED, LIBRARY_BLOCKING, LIBRARY_TASKS, MAX_SUBJECT, Outcome, wake_aux,
};

use crate::polled::Polled;
use crate::recorder;
use crate::tokio::is_root_waker;
use crate::unwind::Entry;

/// Name of the preloaded agent's table.
pub const API_NAME: &std::ffi::CStr = c"asyncprof_api_v1";

/// Addresses of tasks are multiples of this, and their wakers' tags below it.
pub const TASK_ALIGN: usize = 128;

/// Polls a task's future. Returns how that ended.
pub type Run = unsafe extern "C" fn(*mut c_void) -> Polling;
/// Wakes whoever polls a task.
pub type Wake = unsafe extern "C" fn(*mut c_void);

/// How a poll ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(C)]
pub enum Polling {
    Pending,
    Ready,
    Panicked,
}

#[derive(Debug)]
#[repr(C)]
pub struct Api {
    /// Size of the table in bytes.
    pub size: usize,
    /// To be called once, first. Whether this process is being recorded.
    pub join: extern "C" fn() -> bool,
    /// What runs on this thread has done units of work.
    pub work: extern "C" fn(units: u64),
    /// What runs on this thread carries a label from here on. Both are texts (UTF-8); without a value (null) the
    /// label is taken away.
    pub label: unsafe extern "C" fn(key: *const u8, key_len: usize, value: *const u8, value_len: usize),
    /// A task was made, with its name (UTF-8) or none. `task` is an address of its own, a multiple of [`TASK_ALIGN`].
    pub spawned: unsafe extern "C" fn(task: u64, name: *const u8, name_len: usize),
    /// Whether what is polled here, with a waker of this table, is recorded without the library: it is part of a task
    /// that is being polled, or it is a root task.
    pub is_seen: unsafe extern "C" fn(waker_vtable: u64) -> bool,
    /// Calls `run` with `data`, as a poll of the task.
    pub poll: unsafe extern "C" fn(task: u64, is_blocking: bool, run: Run, data: *mut c_void),
    /// The task's waker was cloned. Returns the tag of the clone; 0 if it is no registration.
    pub registered: unsafe extern "C" fn(task: u64) -> u64,
    /// Calls `wake` with `data`, as a wake-up of the task by the waker with this tag (0 if it has none).
    pub wake: unsafe extern "C" fn(task: u64, tag: u64, wake: Wake, data: *mut c_void),
    /// The task was dropped before it was done.
    pub cancelled: extern "C" fn(task: u64),
}

/// This copy's table.
#[cfg_attr(feature = "preload", unsafe(export_name = "asyncprof_api_v1"))]
pub static API: Api = Api {
    size: size_of::<Api>(),
    join,
    work,
    label,
    spawned,
    is_seen,
    poll,
    registered,
    wake,
    cancelled,
};

extern "C" fn join() -> bool {
    crate::start::join_for_library()
}

extern "C" fn work(units: u64) {
    if let Some(thread) = recorder::current()
        && !thread.polled.is_left_out()
    {
        thread.write(Kind::Work, units.min(MAX_SUBJECT), 0, 0);
    }
}

unsafe extern "C" fn label(key: *const u8, key_len: usize, value: *const u8, value_len: usize) {
    let Some(thread) = recorder::current().filter(|thread| !thread.polled.is_left_out()) else {
        return;
    };
    // SAFETY: the caller's promise.
    let (key, value) = unsafe { (text(key, key_len), text(value, value_len)) };
    let key = thread.text(key.unwrap_or_default());
    let (aux, value) = match value {
        Some(value) => (0, thread.text(value)),
        None => (LABEL_REMOVED, 0),
    };
    thread.write(Kind::Label, key, aux, value);
}

/// # Safety
/// `start` is null, or the start of so many bytes of UTF-8.
unsafe fn text<'a>(start: *const u8, len: usize) -> Option<&'a str> {
    // SAFETY: the caller's promise.
    (!start.is_null()).then(|| unsafe { str::from_utf8_unchecked(std::slice::from_raw_parts(start, len)) })
}

#[unsafe(naked)]
unsafe extern "C" fn spawned(_task: u64, _name: *const u8, _name_len: usize) {
    naked_asm!("mov rcx, rsp", "mov r8, rbp", "jmp {tap}", tap = sym spawned_tap)
}

unsafe extern "C" fn spawned_tap(task: u64, name: *const u8, name_len: usize, sp: u64, bp: u64) {
    let Some(thread) = recorder::current() else { return };
    // SAFETY: the caller's promise.
    let name = unsafe { text(name, name_len) }.map_or(0, |name| thread.text(name));
    let stack = thread.stack(Entry { sp, bp });
    thread.write(Kind::Spawn, task, 0, name << 32 | stack);
}

unsafe extern "C" fn is_seen(waker_vtable: u64) -> bool {
    // SAFETY: the caller's promise.
    recorder::current().is_some_and(|thread| thread.polled.task != 0)
        || unsafe { is_root_waker(waker_vtable) }
}

#[unsafe(naked)]
unsafe extern "C" fn poll(_task: u64, _is_blocking: bool, _run: Run, _data: *mut c_void) {
    naked_asm!("mov r8, rsp", "jmp {tap}", tap = sym poll_tap)
}

unsafe extern "C" fn poll_tap(task: u64, is_blocking: bool, run: Run, data: *mut c_void, sp: u64) {
    let Some(thread) = recorder::current() else {
        // SAFETY: the caller's promise.
        unsafe { run(data) };
        return;
    };
    let table = if is_blocking {
        LIBRARY_BLOCKING
    } else {
        LIBRARY_TASKS
    };
    thread.write(Kind::PollStart, task, table, 0);
    let outer = thread.begin_poll(Polled::of_library(task, sp));
    // SAFETY: the caller's promise.
    let polling = unsafe { run(data) };
    let Some(thread) = recorder::current() else { return };
    thread.end_poll(outer);
    let outcome = match polling {
        Polling::Pending => Outcome::Pending,
        Polling::Ready => Outcome::Ready,
        Polling::Panicked => Outcome::Panicked,
    };
    thread.write(Kind::PollEnd, task, outcome as u16, 0);
}

#[unsafe(naked)]
unsafe extern "C" fn registered(_task: u64) -> u64 {
    naked_asm!("mov rsi, rsp", "mov rdx, rbp", "jmp {tap}", tap = sym registered_tap)
}

unsafe extern "C" fn registered_tap(task: u64, sp: u64, bp: u64) -> u64 {
    // By what this thread is polling: a registration. Else only passed on.
    match recorder::current().filter(|thread| thread.polled.task == task) {
        Some(thread) => {
            let tag = thread.next_tag(TASK_ALIGN as u64 - 1);
            let stack = thread.stack(Entry { sp, bp });
            thread.write(Kind::Await, task, tag as u16, stack);
            tag
        }
        None => 0,
    }
}

#[unsafe(naked)]
unsafe extern "C" fn wake(_task: u64, _tag: u64, _wake: Wake, _data: *mut c_void) {
    naked_asm!("mov r8, rsp", "mov r9, rbp", "jmp {tap}", tap = sym wake_tap)
}

unsafe extern "C" fn wake_tap(task: u64, tag: u64, wake: Wake, data: *mut c_void, sp: u64, bp: u64) {
    if let Some(thread) = recorder::current() {
        let stack = thread.stack(Entry { sp, bp });
        thread.write(Kind::Wake, task, wake_aux(tag as u16, thread.relays), stack);
    }
    // SAFETY: the caller's promise.
    unsafe { wake(data) }
}

extern "C" fn cancelled(task: u64) {
    if let Some(thread) = recorder::current() {
        thread.write(Kind::End, task, Outcome::Cancelled as u16, 0);
    }
}
