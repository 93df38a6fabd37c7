//! Where the fields of tasks and futures are.

use std::ffi::CStr;

use super::super::memory::{LIST_ITEMS, half, read, word, words_of};
use super::super::probe::Probe;
use super::{WORDS, half_place, place};

/// Offsets in `_asyncio.Task`, and in `_asyncio.Future`, which begins alike.
#[derive(Clone, Copy, Debug)]
pub(in crate::asyncio) struct TaskLayout {
    pub(in crate::asyncio) coroutine: u64,
    pub(in crate::asyncio) awaited: u64,
    pub(in crate::asyncio) name: u64,
    /// A number of half a word: 0 pending, 1 cancelled, 2 finished.
    pub(in crate::asyncio) state: u64,
    pub(in crate::asyncio) exception: u64,
    /// The first callback, and the list of tuples that hold the others first.
    pub(in crate::asyncio) callback: u64,
    pub(in crate::asyncio) callbacks: u64,
    pub(in crate::asyncio) tuple_item: u64,
    /// In the object that is called for a step, and in the one for a wake-up: the task.
    pub(in crate::asyncio) step_task: u64,
    pub(in crate::asyncio) wakeup_task: u64,
}

/// # Safety
/// The lock is held.
pub(super) unsafe fn find(probe: &Probe<'_>) -> Option<TaskLayout> {
    let words = |name: &CStr| Some(words_of(probe.get(name)?, WORDS));
    let task_words = words(c"task")?;
    let task = probe.get(c"task")?;
    let in_task = |name: &CStr| place([(task_words.as_slice(), probe.get(name)?)]);
    let called = words(c"called")?;
    let callback = place([(&called, probe.get(c"one")?)])?;
    let [_, list_type] = read::<2>(probe.get(c"ready")?)?;
    let callbacks = called.iter().enumerate().skip(2).find_map(|(at, &list)| {
        let is_list = read::<2>(list)?[1] == list_type;
        is_list.then_some(at as u64 * 8)
    })?;
    // SAFETY: the list that was just found, with the second callback's tuple.
    let tuple = unsafe {
        let list = word(probe.get(c"called")? + callbacks);
        word(word(list + LIST_ITEMS))
    };
    let tuple_item = place([(&read::<8>(tuple)?, probe.get(c"two")?)])?;
    let future = words(c"future")?;
    let wakeup = *future.get(callback as usize / 8)?;
    let layout = TaskLayout {
        coroutine: in_task(c"outer")?,
        awaited: in_task(c"future")?,
        name: in_task(c"name")?,
        state: half_place([
            (&future, 0),
            (&words(c"cancelled")?, 1),
            (&words(c"finished")?, 2),
            (&words(c"raised")?, 2),
        ])?,
        exception: place([(&words(c"raised")?, probe.get(c"error")?)])?,
        callback,
        callbacks,
        tuple_item,
        step_task: place([(&words_of(probe.get(c"step")?, WORDS), task)])?,
        wakeup_task: place([(&words_of(wakeup, WORDS), task)])?,
    };
    // A task begins as a future does.
    // SAFETY: a live task.
    (unsafe { half(task + layout.state) } == 0).then_some(layout)
}
