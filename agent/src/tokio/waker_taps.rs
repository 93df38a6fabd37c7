//! What is called instead of a waker's own clone, wake, wake_by_ref and drop.
//!
//! A leaf future that suspends keeps a clone of the waker it was given: at that clone the native stack up to our
//! poll tap is the await stack. The clone carries a number (a tag) in the free low bits of its data pointer, so
//! that the wake-up tells which registration it came from. Tags are masked before the originals see them. A
//! tagged waker may outlive the recording, so these taps stay for as long as the process lives.

use std::arch::naked_asm;

use asyncprof_core::event::Kind;

use super::tables::{CloneFn, Pair, WAKER_TABLES, WakerFn, WakerKind, WakerTable};
use super::task_taps::{is_notified_or_complete, note_end};
use crate::recorder;
use crate::unwind::Entry;

/// The four taps of waker table number `N`.
pub(super) struct Taps {
    pub(super) clone: CloneFn,
    pub(super) wake: WakerFn,
    pub(super) wake_by_ref: WakerFn,
    pub(super) drop: WakerFn,
}

/// The taps of each waker table.
pub(super) static TAPS: [Taps; super::tables::MAX_WAKER_TABLES] = [
    taps::<0>(),
    taps::<1>(),
    taps::<2>(),
    taps::<3>(),
    taps::<4>(),
    taps::<5>(),
    taps::<6>(),
    taps::<7>(),
    taps::<8>(),
    taps::<9>(),
    taps::<10>(),
    taps::<11>(),
    taps::<12>(),
    taps::<13>(),
    taps::<14>(),
    taps::<15>(),
];

const fn taps<const N: usize>() -> Taps {
    Taps {
        clone: clone::<N>,
        wake: wake::<N>,
        wake_by_ref: wake_by_ref::<N>,
        drop: drop::<N>,
    }
}

#[unsafe(naked)]
unsafe extern "C-unwind" fn clone<const N: usize>(_data: u64) -> Pair {
    naked_asm!("mov rsi, rsp", "mov rdx, rbp", "mov ecx, {n}", "jmp {tap}", n = const N, tap = sym clone_tap)
}

#[unsafe(naked)]
unsafe extern "C-unwind" fn wake<const N: usize>(_data: u64) {
    naked_asm!("mov rsi, rsp", "mov rdx, rbp", "mov ecx, {n}", "jmp {tap}", n = const N, tap = sym wake_tap)
}

#[unsafe(naked)]
unsafe extern "C-unwind" fn wake_by_ref<const N: usize>(_data: u64) {
    naked_asm!("mov rsi, rsp", "mov rdx, rbp", "mov ecx, {n}", "jmp {tap}", n = const N, tap = sym wake_by_ref_tap)
}

unsafe extern "C-unwind" fn drop<const N: usize>(data: u64) {
    let table = table(N);
    let bare = data & !table.tag_mask;
    // The waker of `block_on` itself has no tag; letting go of it is the end.
    if table.kind == WakerKind::Root
        && bare == data
        && let Some(thread) = recorder::current()
    {
        thread.write(Kind::RootEnd, bare, 0, 0);
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

unsafe extern "C-unwind" fn clone_tap(data: u64, sp: u64, bp: u64, n: usize) -> Pair {
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
        };
        if let Some(kind) = await_kind {
            thread.registrations = thread.registrations.wrapping_add(1);
            tag = thread.registrations % table.tag_mask + 1;
            let stack = thread.stack(Entry { sp, bp });
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
    let mut known = WAKER_TABLES.iter().map_while(|other| other.get());
    known.any(|other| {
        other.address == vtable && other.kind == table.kind && other.clone as usize == table.clone as usize
    })
}

/// Notes a wake-up, then calls the original on the bare pointer.
///
/// # Safety
/// `data` is the data pointer of a waker of this table, and `original` one of its functions.
#[inline]
unsafe fn note_and_wake(table: &WakerTable, original: WakerFn, data: u64, entry: Entry) {
    let bare = data & !table.tag_mask;
    let tag = (data & table.tag_mask) as u16;
    let kind = match table.kind {
        WakerKind::Task => Kind::Wake,
        WakerKind::Root => Kind::RootWake,
    };
    // SAFETY: a waker of a task keeps it alive.
    if table.kind == WakerKind::Task && unsafe { is_notified_or_complete(bare) } {
        // SAFETY: the call that was meant, with the pointer that was meant.
        return unsafe { original(bare) };
    }
    let Some(thread) = recorder::current() else {
        // SAFETY: as above.
        return unsafe { original(bare) };
    };
    note_end(&mut thread.polled);
    let stack = thread.stack(entry);
    thread.write(kind, bare, tag, stack);
    thread.waking = true;
    // SAFETY: as above.
    unsafe { original(bare) };
    if let Some(thread) = recorder::current() {
        thread.waking = false;
    }
}

unsafe extern "C-unwind" fn wake_tap(data: u64, sp: u64, bp: u64, n: usize) {
    let table = table(n);
    // SAFETY: called in place of this table's `wake`.
    unsafe { note_and_wake(table, table.wake, data, Entry { sp, bp }) }
}

unsafe extern "C-unwind" fn wake_by_ref_tap(data: u64, sp: u64, bp: u64, n: usize) {
    let table = table(n);
    // SAFETY: called in place of this table's `wake_by_ref`.
    unsafe { note_and_wake(table, table.wake_by_ref, data, Entry { sp, bp }) }
}
