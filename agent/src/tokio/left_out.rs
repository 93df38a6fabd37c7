//! Tasks that are left out while only one in so many is recorded.
//!
//! At its first poll such a task is given a copy of its table with the runtime's own functions: of all it does later we
//! hear no more, but for its polls. Those write nothing either; they keep the thread from taking what happens within for
//! another task's, and end the stacks of what it spawns and wakes where they always end.

use std::sync::atomic::AtomicU64;

use asyncprof_core::thinning::{Thinning, has_thinned};

use super::marks::MARKS;
use super::tables::{TaskFn, TaskTable, slot};
use super::task_taps;
use crate::recorder::Thread;

/// Words of a table in every known version; those built with `tokio_unstable` have the last.
pub(super) const WORDS: usize = slot::LEN as usize + 1;

/// The table of tasks that are left out.
#[derive(Debug)]
#[repr(C)]
pub(super) struct LeftOutTable {
    words: [u64; WORDS],
    /// The original's.
    pub(super) address: u64,
    pub(super) poll: TaskFn,
}

impl LeftOutTable {
    /// Of a table that is not patched yet.
    ///
    /// # Safety
    /// It lies at its address, and up to `end` there is memory to read.
    pub(super) unsafe fn of(table: &TaskTable, end: u64) -> LeftOutTable {
        // SAFETY: the caller's promise.
        let mut words = unsafe { words_of(table, end) };
        words[slot::POLL as usize] = task_taps::poll_left_out as *const () as u64;
        LeftOutTable {
            words,
            address: table.address,
            poll: table.poll,
        }
    }
}

/// # Safety
/// The table lies at its address, and up to `end` there is memory to read.
pub(super) unsafe fn words_of(table: &TaskTable, end: u64) -> [u64; WORDS] {
    let mut words = [0; WORDS];
    for (word, address) in words.iter_mut().zip((table.address..end).step_by(8)) {
        // SAFETY: the caller's promise.
        *word = unsafe { *(address as *const u64) };
    }
    words
}

/// Where a task's header holds the address of its table.
///
/// # Safety
/// `task` is the address of a live task header, which holds that at `offset`.
#[inline]
pub(super) unsafe fn table_word<'a>(task: u64, offset: u64) -> &'a AtomicU64 {
    // SAFETY: the caller's promise; an aligned word. The runtime writes it before anybody else knows the task and only
    // reads it after that. What we write means the same to it.
    unsafe { AtomicU64::from_ptr((task + offset) as *mut u64) }
}

/// The level at which a task is recorded for which this memory was just given out; None if it is left out.
#[inline]
pub(super) fn level_of_new(thread: &mut Thread, address: u64) -> Option<u32> {
    match thread.thinning() {
        0 => Some(0),
        word => choose(thread, word, address),
    }
}

fn choose(thread: &mut Thread, word: u64, address: u64) -> Option<u32> {
    let level = Thinning::decode(word).level;
    if !thread.coin.is_head(level) {
        MARKS.set(address);
        return None;
    }
    if has_thinned(word) {
        // Of something that lay here before, and was no task or never polled.
        MARKS.take(address);
    }
    Some(level)
}

/// Whether this task, not polled before, is to be left out. Asked once.
#[inline]
pub(super) fn is_marked(thinning: u64, task: u64) -> bool {
    has_thinned(thinning) && MARKS.take(task)
}
