//! What is called instead of a waker's own clone, wake, wake_by_ref and drop.
//!
//! A leaf future that suspends keeps a clone of the waker it was given: at that clone the native stack up to our
//! poll tap is the await stack. The clone carries a number (a tag) in the free low bits of its data pointer, so
//! that the wake-up tells which registration it came from. Tags are masked before the originals see them. A
//! tagged waker may outlive the recording, so these taps stay for as long as the process lives.
//!
//! A *relay* is the waker of a branch: what `FuturesUnordered` and the like poll their children with. A clone of it
//! is a registration of the branch, and its wake-up calls, within itself, the task's.

use asyncprof_core::event::{Kind, wake_aux};
use asyncprof_core::thinning::has_thinned;

use super::tables::{Pair, WAKER_TABLES, WakerFn, WakerKind, WakerTable};
use super::task_taps::{is_left_out, is_notified_or_complete, note_end};
use super::waker_entries;
use crate::recorder::{self, Thread};
use crate::unwind::Entry;

#[unsafe(link_section = "asyncprof_taps")]
pub(super) unsafe extern "C-unwind" fn drop_tap(data: u64, _sp: u64, _bp: u64, n: usize) {
    let table = table(n);
    let bare = data & !table.tag_mask;
    let tag = (data & table.tag_mask) as u16;
    let kind = match table.kind {
        // The waker of `block_on` itself has no tag; letting go of it is the end.
        WakerKind::Root => (tag == 0).then_some(Kind::RootEnd),
        WakerKind::Relay => (tag != 0).then_some(Kind::RelayDrop),
        WakerKind::Task => None,
    };
    if let Some(kind) = kind
        && let Some(thread) = recorder::current()
    {
        thread.write(kind, bare, tag, 0);
    }
    // SAFETY: the call that was meant, with the pointer that was meant.
    unsafe { (table.drop)(bare) }
}

fn table(n: usize) -> &'static WakerTable {
    match WAKER_TABLES.get(n).and_then(|table| table.get()) {
        Some(table) => table,
        // The taps of a table are written into it after the table is known.
        None => std::process::abort(),
    }
}

#[unsafe(link_section = "asyncprof_taps")]
pub(super) unsafe extern "C-unwind" fn clone_tap(data: u64, sp: u64, bp: u64, n: usize) -> Pair {
    let table = table(n);
    let bare = data & !table.tag_mask;
    // SAFETY: the call that was meant, with the pointer that was meant.
    let pair = unsafe { (table.clone)(bare) };
    let mut tag = data & table.tag_mask;
    if let Some(thread) = recorder::current() {
        let await_kind = match table.kind {
            // A waker of the task that this thread is polling: a registration. Else only passed on.
            WakerKind::Task => (thread.polled.task == bare).then_some(Kind::Await),
            // Only `block_on` hands out untagged ones.
            WakerKind::Root => (tag == 0).then_some(Kind::RootAwait),
            // As for `Root`: a branch is polled with the untagged one.
            WakerKind::Relay => (tag == 0 && !thread.polled.is_left_out()).then_some(Kind::RelayAwait),
        };
        if let Some(kind) = await_kind {
            tag = thread.next_tag(table.tag_mask);
            let stack = thread.await_stack(Entry { sp, bp });
            thread.write(kind, bare, tag as u16, stack);
        }
    }
    match pair {
        Pair(data, vtable) if data == bare && is_equal_table(table, vtable) => Pair(data | tag, vtable),
        Pair(vtable, data) if data == bare && is_equal_table(table, vtable) => Pair(vtable, data | tag),
        // Another kind of waker than we know came back: leave it alone.
        other => other,
    }
}

/// Whether `vtable` is this table, or another copy of it: compilers leave one in each part of the program that
/// needs it, and the original `clone` may name another than the one that we were called through.
#[inline]
fn is_equal_table(table: &WakerTable, vtable: u64) -> bool {
    vtable == table.address || is_copy(table, vtable)
}

#[cold]
fn is_copy(table: &WakerTable, vtable: u64) -> bool {
    // SAFETY: the table of a waker; its first word is what it clones by.
    let clone = unsafe { *(vtable as *const u64) };
    let other = waker_entries::table_of_clone(clone).and_then(|n| WAKER_TABLES.get(n)?.get());
    other.is_some_and(|other| other.kind == table.kind && other.clone as usize == table.clone as usize)
}

/// Whether wakers of this table are those of root tasks.
///
/// # Safety
/// `vtable` is the address of a waker's table.
pub(crate) unsafe fn is_root_waker(vtable: u64) -> bool {
    // SAFETY: its first word is what it clones by.
    let clone = unsafe { *(vtable as *const u64) };
    let table = waker_entries::table_of_clone(clone).and_then(|n| WAKER_TABLES.get(n)?.get());
    table.is_some_and(|table| table.kind == WakerKind::Root)
}

/// Notes a wake-up, then calls the original on the bare pointer.
///
/// # Safety
/// `data` is the data pointer of a waker of this table, and `original` one of its functions.
#[inline]
#[unsafe(link_section = "asyncprof_taps")]
unsafe fn note_and_wake(table: &WakerTable, original: WakerFn, data: u64, entry: Entry) {
    let bare = data & !table.tag_mask;
    let tag = (data & table.tag_mask) as u16;
    let kind = match table.kind {
        // SAFETY: a waker of a task keeps it alive; and the caller's promise.
        WakerKind::Task if unsafe { is_notified_or_complete(bare) } => return unsafe { original(bare) },
        WakerKind::Task => Kind::Wake,
        WakerKind::Root => Kind::RootWake,
        // SAFETY: the caller's promise.
        WakerKind::Relay => return unsafe { note_and_relay(table, original, bare, tag) },
    };
    let Some(thread) = recorder::current() else {
        // SAFETY: the call that was meant, with the pointer that was meant.
        return unsafe { original(bare) };
    };
    note_end(&mut thread.polled);
    // SAFETY: as for `is_notified_or_complete`.
    if thread.thinning() != 0 && unsafe { skips_wake(thread, kind, bare) } {
        // SAFETY: as above.
        return unsafe { original(bare) };
    }
    let stack = thread.stack(entry);
    thread.write(kind, bare, wake_aux(tag, thread.relays), stack);
    thread.waking = true;
    // SAFETY: as above.
    unsafe { original(bare) };
    if let Some(thread) = recorder::current() {
        thread.waking = false;
    }
}

/// Whether nothing is to be written of the wake-up: its task is left out. If the one that wakes is, that is told first.
///
/// # Safety
/// For a wake-up of a task, `bare` is the address of its header.
#[cold]
unsafe fn skips_wake(thread: &mut Thread, kind: Kind, bare: u64) -> bool {
    // SAFETY: the caller's promise.
    if kind == Kind::Wake && unsafe { is_left_out(thread, bare) } {
        return true;
    }
    if thread.polled.is_left_out() {
        // Else what hosts that task would count as the waker.
        thread.write(Kind::Passed, bare, 0, 0);
    }
    false
}

/// A branch is woken: what that wakes in its turn, within this call, is woken through it.
///
/// # Safety
/// `bare` is the data pointer of a relay, and `original` a function of its table.
#[unsafe(link_section = "asyncprof_taps")]
unsafe fn note_and_relay(table: &WakerTable, original: WakerFn, bare: u64, tag: u16) {
    /// Any program's code is called, so it may panic.
    struct Outer(u8);
    impl Drop for Outer {
        fn drop(&mut self) {
            if let Some(thread) = recorder::current() {
                thread.relays = self.0;
            }
        }
    }
    // A branch of a task that is left out was given no tag. Without one it may be that of the task polled here.
    let is_left_out = |thread: &Thread| {
        let polled = &thread.polled;
        tag == 0 && has_thinned(thread.thinning()) && (polled.is_left_out() || !polled.is_own())
    };
    let thread = recorder::current().filter(|thread| !is_left_out(thread));
    let _outer = thread.map(|thread| {
        let outer = Outer(thread.relays);
        thread.write(Kind::RelayWake, bare, wake_aux(tag, thread.relays), 0);
        // `wake` takes the waker.
        if tag != 0 && original as usize == table.wake as usize {
            thread.write(Kind::RelayDrop, bare, tag, 0);
        }
        thread.relays = thread.relays.saturating_add(1);
        outer
    });
    // SAFETY: the call that was meant, with the pointer that was meant.
    unsafe { original(bare) }
}

#[unsafe(link_section = "asyncprof_taps")]
pub(super) unsafe extern "C-unwind" fn wake_tap(data: u64, sp: u64, bp: u64, n: usize) {
    let table = table(n);
    // SAFETY: called in place of this table's `wake`.
    unsafe { note_and_wake(table, table.wake, data, Entry { sp, bp }) }
}

#[unsafe(link_section = "asyncprof_taps")]
pub(super) unsafe extern "C-unwind" fn wake_by_ref_tap(data: u64, sp: u64, bp: u64, n: usize) {
    let table = table(n);
    // SAFETY: called in place of this table's `wake_by_ref`.
    unsafe { note_and_wake(table, table.wake_by_ref, data, Entry { sp, bp }) }
}
