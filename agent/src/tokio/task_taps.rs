//! What tokio calls instead of a task's own poll, schedule, dealloc and shutdown.

use std::arch::naked_asm;
use std::sync::atomic::{AtomicU64, Ordering};

use asyncprof_core::event::{Kind, Outcome, poll_value};
use asyncprof_core::thinning::has_thinned;

use super::cull::{self, Begin};
use super::left_out::is_marked;
use super::tables::{TASK_TABLES, TaskFn, TaskTable, slot};
use crate::polled::Polled;
use crate::recorder::{self, Thread};
use crate::unwind::Entry;

/// Bits of a task's state word, the same in all known versions.
mod state {
    pub(super) const COMPLETE: u64 = 0b10;
    pub(super) const NOTIFIED: u64 = 0b100;
    pub(super) const CANCELLED: u64 = 0b10_0000;
    pub(super) const REF_ONE: u64 = 0b100_0000;
    pub(super) const REFS: u64 = !(REF_ONE - 1);
}

/// # Safety
/// `task` is the address of a live task header.
#[inline]
unsafe fn state_of<'a>(task: u64) -> &'a AtomicU64 {
    // SAFETY: the state is the header's first word, an atomic in tokio too.
    unsafe { &*(task as *const AtomicU64) }
}

/// Whether a wake-up of this task would change nothing: it is scheduled already, or done.
///
/// # Safety
/// `task` is the address of a live task header.
#[inline]
pub(super) unsafe fn is_notified_or_complete(task: u64) -> bool {
    // SAFETY: the caller's promise.
    unsafe { state_of(task) }.load(Ordering::Relaxed) & (state::NOTIFIED | state::COMPLETE) != 0
}

/// Notes that the task which this thread is polling is done: a finished task wakes its awaiter within that poll.
#[inline]
pub(super) fn note_end(polled: &mut Polled) {
    if polled.task != 0 && polled.end_state == 0 {
        // SAFETY: held by the poll tap for as long as it is `polled`.
        let now = unsafe { state_of(polled.task) }.load(Ordering::Relaxed);
        if now & state::COMPLETE != 0 {
            polled.end_state = now;
        }
    }
}

/// # Safety
/// `task` is the address of a live task header whose table holds one of our functions.
#[inline]
unsafe fn table_of(task: u64) -> &'static TaskTable {
    // SAFETY: the caller's promise.
    let table = TASK_TABLES
        .get()
        .and_then(|tables| unsafe { tables.of_task(task) });
    match table {
        Some(table) => table,
        // tokio found us in the table that the header points to, and every table that holds us is known.
        None => std::process::abort(),
    }
}

/// What stands in the words of a patched table.
pub(super) fn taps() -> [(u64, u64); 4] {
    [
        (slot::POLL, poll as *const () as u64),
        (slot::SCHEDULE, schedule as *const () as u64),
        (slot::DEALLOC, dealloc as *const () as u64),
        (slot::SHUTDOWN, shutdown as *const () as u64),
    ]
}

/// Holds the task over a call that may free it; `release` tells what became of it.
struct Held {
    task: u64,
    table: &'static TaskTable,
}

impl Held {
    /// Returns the state just before, too.
    ///
    /// # Safety
    /// `task` is the address of a live task header of this table.
    unsafe fn new(task: u64, table: &'static TaskTable) -> (Held, u64) {
        // SAFETY: the caller's promise. The count has 58 bits; one more reference cannot overflow it.
        let before = unsafe { state_of(task) }.fetch_add(state::REF_ONE, Ordering::Relaxed);
        (Held { task, table }, before)
    }

    /// Lets go and returns the state just before.
    #[unsafe(link_section = "asyncprof_taps")]
    fn release(self) -> u64 {
        // SAFETY: our reference has kept the task alive.
        let before = unsafe { state_of(self.task) }.fetch_sub(state::REF_ONE, Ordering::AcqRel);
        if before & state::REFS == state::REF_ONE {
            // SAFETY: that was the last reference, so freeing is our duty, as it is of any holder in tokio.
            unsafe { (self.table.dealloc)(self.task) };
        }
        before
    }
}

/// In place of `poll`. Passes on where it was entered: the upper end of the task's stack.
#[unsafe(naked)]
pub(super) unsafe extern "C-unwind" fn poll(_task: u64) {
    naked_asm!("mov rsi, rsp", "mov rdx, rbp", "jmp {tap}", tap = sym poll_tap)
}

#[unsafe(link_section = "asyncprof_taps")]
unsafe extern "C-unwind" fn poll_tap(task: u64, sp: u64, bp: u64) {
    // SAFETY: tokio calls with a live task.
    let table = unsafe { table_of(task) };
    // One that was shut down while it was queued has ended, and told so: this poll only lets go of it.
    //
    // SAFETY: as above.
    let has_ended = unsafe { state_of(task) }.load(Ordering::Relaxed) & state::COMPLETE != 0;
    let Some(thread) = recorder::current().filter(|_| !has_ended) else {
        // SAFETY: the call that tokio meant to make.
        return unsafe { (table.poll)(task) };
    };
    let (is_short, stays) = match thread.thinning() {
        0 => (false, None),
        thinning => match cull::begin(thread, thinning, task, table) {
            Begin::Recorded { is_short, stays } => (is_short, stays),
            Begin::LeftOut => {
                // SAFETY: as above.
                return unsafe {
                    leave_out(task, table);
                    poll_unrecorded(task, table.poll, sp);
                };
            }
        },
    };
    if !table.seen.load(Ordering::Relaxed) && !table.seen.swap(true, Ordering::Relaxed) {
        let stack = thread.stack(Entry { sp, bp });
        thread.write(Kind::TableSeen, 0, table.index, stack);
    }
    // SAFETY: the id lies within the task, at the offset that its own table tells.
    let id = unsafe { *((task + table.id_offset) as *const u64) };
    let value = poll_value(id, stays.map_or(0, |cull| cull.step));
    let is_told = thread.write(Kind::PollStart, task, table.index, value);
    if let Some(cull) = stays
        && is_told
        && let Some(tables) = TASK_TABLES.get()
    {
        // SAFETY: as above.
        unsafe { tables.stay(task, table, cull.parity) };
    }
    let mut polled = Polled::new(task, sp);
    polled.is_short = is_short;
    let outer = thread.begin_poll(polled);
    let (panics, registrations) = (thread.panics, thread.registrations);
    // SAFETY: as above.
    let (held, before) = unsafe { Held::new(task, table) };

    // SAFETY: the call that tokio meant to make.
    unsafe { (table.poll)(task) };

    let after = held.release();
    // Recording may have stopped meanwhile; then the thread's state is never used again.
    let Some(thread) = recorder::current() else { return };
    let polled = thread.end_poll(outer);
    let is_cancelled = || {
        // A shutdown marks finished tasks, too, if it finds them before they are let go: what counts is the moment
        // when the task told its awaiter, and a poll that registered nothing was not suspended.
        let at_end = if polled.end_state == 0 {
            after
        } else {
            polled.end_state
        };
        before & state::CANCELLED != 0
            || at_end & state::CANCELLED != 0 && thread.registrations != registrations
    };
    let outcome = match after {
        _ if after & state::COMPLETE == 0 => Outcome::Pending,
        _ if is_cancelled() => Outcome::Cancelled,
        _ if thread.panics != panics => Outcome::Panicked,
        _ => Outcome::Ready,
    };
    if outcome == Outcome::Pending {
        thread.write(Kind::PollPending, task, 0, 0);
    } else {
        thread.write(Kind::PollEnd, task, outcome as u16, 0);
    }
    if thread.thinning() != 0 {
        thread.note_pause(task, outcome == Outcome::Pending);
    }
    if outcome == Outcome::Pending && after & state::REFS == state::REF_ONE {
        // Nobody else held the suspended task: our letting go has freed it.
        thread.write(Kind::End, task, Outcome::Freed as u16, 0);
    }
}

/// In place of `poll`, for tasks that are left out.
#[unsafe(naked)]
pub(super) unsafe extern "C-unwind" fn poll_left_out(_task: u64) {
    naked_asm!("mov rsi, rsp", "jmp {tap}", tap = sym poll_left_out_tap)
}

#[unsafe(link_section = "asyncprof_taps")]
unsafe extern "C-unwind" fn poll_left_out_tap(task: u64, sp: u64) {
    // SAFETY: tokio calls with a live task.
    let table = TASK_TABLES
        .get()
        .and_then(|tables| unsafe { tables.left_out(task) });
    match table {
        // SAFETY: as above.
        Some(table) => unsafe { poll_unrecorded(task, table.poll, sp) },
        // tokio found us in the table that the header points to, and only those hold us.
        None => std::process::abort(),
    }
}

/// # Safety
/// `task` is the address of a live task header that tokio means to poll, with its table's `poll`.
#[inline]
#[unsafe(link_section = "asyncprof_taps")]
unsafe fn poll_unrecorded(task: u64, poll: TaskFn, sp: u64) {
    let outer = recorder::current().map(|thread| thread.begin_poll(Polled::left_out(sp)));
    // SAFETY: the call that tokio meant to make.
    unsafe { poll(task) };
    if let Some(outer) = outer
        && let Some(thread) = recorder::current()
    {
        thread.end_poll(outer);
    }
}

/// # Safety
/// `task` is the address of a live task header of this table.
unsafe fn leave_out(task: u64, table: &TaskTable) {
    if let Some(tables) = TASK_TABLES.get() {
        // SAFETY: the caller's promise.
        unsafe { tables.leave_out(task, table) };
    }
}

/// Whether nothing is to be written of this task.
///
/// # Safety
/// `task` is the address of a live task header.
#[inline]
pub(super) unsafe fn is_left_out(thread: &Thread, task: u64) -> bool {
    has_thinned(thread.thinning())
        && TASK_TABLES
            .get()
            // SAFETY: the caller's promise.
            .is_some_and(|tables| unsafe { tables.left_out(task) }.is_some())
}

/// In place of `schedule`. Within a wake-up it is part of it; by itself it is one, by `abort`.
#[unsafe(naked)]
pub(super) unsafe extern "C-unwind" fn schedule(_task: u64) {
    naked_asm!("mov rsi, rsp", "mov rdx, rbp", "jmp {tap}", tap = sym schedule_tap)
}

#[unsafe(link_section = "asyncprof_taps")]
unsafe extern "C-unwind" fn schedule_tap(task: u64, sp: u64, bp: u64) {
    // SAFETY: tokio calls with a live task.
    let table = unsafe { table_of(task) };
    if let Some(thread) = recorder::current()
        && !thread.waking
    {
        let stack = thread.stack(Entry { sp, bp });
        thread.write(Kind::Wake, task, 0, stack);
    }
    // SAFETY: the call that tokio meant to make.
    unsafe { (table.schedule)(task) }
}

/// In place of `dealloc`: the last that is heard of a task that ended without a poll.
#[unsafe(link_section = "asyncprof_taps")]
pub(super) unsafe extern "C-unwind" fn dealloc(task: u64) {
    // SAFETY: tokio calls with a task that is not yet freed.
    let table = unsafe { table_of(task) };
    if let Some(thread) = recorder::current()
        && !is_marked(thread.thinning(), task)
    {
        thread.write(Kind::End, task, Outcome::Freed as u16, 0);
    }
    // SAFETY: the call that tokio meant to make.
    unsafe { (table.dealloc)(task) }
}

/// In place of `shutdown`: cancels the task, unless it is running.
#[unsafe(link_section = "asyncprof_taps")]
pub(super) unsafe extern "C-unwind" fn shutdown(task: u64) {
    // SAFETY: tokio calls with a live task.
    let (table, before) = unsafe { (table_of(task), state_of(task).load(Ordering::Relaxed)) };
    if recorder::current().is_some_and(|thread| is_marked(thread.thinning(), task)) {
        // SAFETY: as above, and the call that tokio meant to make.
        return unsafe {
            leave_out(task, table);
            (table.shutdown)(task);
        };
    }
    // SAFETY: as above.
    let (held, _) = unsafe { Held::new(task, table) };
    // SAFETY: the call that tokio meant to make.
    unsafe { (table.shutdown)(task) };
    let after = held.release();
    if before & state::COMPLETE == 0
        && after & state::COMPLETE != 0
        && let Some(thread) = recorder::current()
    {
        thread.write(Kind::End, task, Outcome::Cancelled as u16, 0);
    }
}
