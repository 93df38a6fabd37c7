//! The original functions of the tables that we patched.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use asyncprof_core::thinning::Parity;

use super::cull::StayedTable;
use super::left_out::{self, LeftOutTable};

/// `unsafe fn(NonNull<Header>)`: poll, schedule, dealloc and shutdown of a task.
pub(super) type TaskFn = unsafe extern "C-unwind" fn(u64);
/// `unsafe fn(*const ())`: wake, wake_by_ref and drop of a waker.
pub(super) type WakerFn = unsafe extern "C-unwind" fn(u64);
/// `unsafe fn(*const ()) -> RawWaker`. A pair of pointers comes back in two registers; which is which is told
/// by its value.
pub(super) type CloneFn = unsafe extern "C-unwind" fn(u64) -> Pair;

#[derive(Clone, Copy, Debug)]
#[repr(C)]
pub(super) struct Pair(pub(super) u64, pub(super) u64);

/// Words of a task's table that are ours to read or replace, in tokio's order.
pub(super) mod slot {
    pub(crate) const POLL: u64 = 0;
    pub(crate) const SCHEDULE: u64 = 1;
    pub(crate) const DEALLOC: u64 = 2;
    pub(crate) const SHUTDOWN: u64 = 6;
    pub(crate) const ID_OFFSET: u64 = 9;
    /// Length of the part that all known versions share.
    pub(crate) const LEN: u64 = 10;
}

/// A patched task vtable, or a copy of it.
#[derive(Debug)]
pub(super) struct TaskTable {
    pub(super) address: u64,
    pub(super) index: u16,
    pub(super) poll: TaskFn,
    pub(super) schedule: TaskFn,
    pub(super) dealloc: TaskFn,
    pub(super) shutdown: TaskFn,
    /// Where a task keeps its id, in bytes from its header.
    pub(super) id_offset: u64,
    /// Set at the first poll.
    pub(super) seen: AtomicBool,
    /// Of a copy: its tasks have stayed in the last cull that they threw in, and that had this parity.
    pub(super) stayed_in: Option<Parity>,
}

impl TaskTable {
    /// That of its copy at `address`.
    fn copied(&self, address: u64, parity: Parity) -> TaskTable {
        TaskTable {
            address,
            seen: AtomicBool::new(true),
            stayed_in: Some(parity),
            ..*self
        }
    }
}

/// All patched task vtables, found by address in a hash table of open addressing.
#[derive(Debug)]
pub(super) struct TaskTables {
    /// With those of tasks that have stayed in a cull.
    tables: Vec<TaskTable>,
    /// Index into `tables` plus one; a power of two of entries, at most half of them used.
    buckets: Vec<u32>,
    /// For each its copy for tasks that are left out.
    left_out: Box<[LeftOutTable]>,
    /// And for those that have stayed, by parity.
    stayed: Box<[[StayedTable; Parity::ALL.len()]]>,
    /// Where a task's header keeps its vtable pointer, in bytes; found at the first poll.
    header_offset: AtomicU64,
}

/// In every known version; looked for elsewhere if it is not there.
const USUAL_HEADER_OFFSET: u64 = 16;
/// Words of a header that are looked at.
const HEADER_WORDS: u64 = 8;

pub(super) static TASK_TABLES: OnceLock<TaskTables> = OnceLock::new();

impl TaskTables {
    pub(super) fn new(
        mut tables: Vec<TaskTable>,
        left_out: Vec<LeftOutTable>,
        stayed: Vec<[StayedTable; Parity::ALL.len()]>,
    ) -> TaskTables {
        // From here on they stay where they are.
        let stayed: Box<[_]> = stayed.into();
        let copies = tables.iter().zip(&stayed).flat_map(|(table, copies)| {
            let copies = Parity::ALL.iter().zip(copies);
            copies.map(|(parity, copy)| table.copied(copy.address(), *parity))
        });
        let copies: Vec<TaskTable> = copies.collect();
        tables.extend(copies);
        let mut buckets = vec![0; (tables.len() * 2).next_power_of_two().max(2)];
        for (index, table) in tables.iter().enumerate() {
            let mut bucket = bucket_of(table.address, buckets.len());
            while buckets[bucket] != 0 {
                bucket = (bucket + 1) & (buckets.len() - 1);
            }
            buckets[bucket] = index as u32 + 1;
        }
        TaskTables {
            tables,
            buckets,
            left_out: left_out.into(),
            stayed,
            header_offset: AtomicU64::new(USUAL_HEADER_OFFSET),
        }
    }

    #[inline]
    fn get(&self, address: u64) -> Option<&TaskTable> {
        let mut bucket = bucket_of(address, self.buckets.len());
        loop {
            let table = self
                .tables
                .get((*self.buckets.get(bucket)? as usize).checked_sub(1)?)?;
            if table.address == address {
                return Some(table);
            }
            bucket = (bucket + 1) & (self.buckets.len() - 1);
        }
    }

    /// The table of a task that tokio called us for through that very table.
    ///
    /// # Safety
    /// `task` is the address of a live task header.
    #[inline]
    pub(super) unsafe fn of_task(&self, task: u64) -> Option<&TaskTable> {
        // SAFETY: the caller's promise.
        let address = unsafe { self.table_word(task) }.load(Ordering::Relaxed);
        match self.get(address) {
            Some(table) => Some(table),
            // SAFETY: the caller's promise.
            None => unsafe { self.search_header(task) },
        }
    }

    /// # Safety
    /// `task` is the address of a live task header.
    #[inline]
    unsafe fn table_word<'a>(&self, task: u64) -> &'a AtomicU64 {
        // SAFETY: a header is longer than the offset, which is below its eight words.
        unsafe { left_out::table_word(task, self.header_offset.load(Ordering::Relaxed)) }
    }

    /// From now on the task is left out. If its table is not found where it was a moment ago, it is recorded as one
    /// first seen late.
    ///
    /// # Safety
    /// `task` is the address of a live task header of this table.
    #[cold]
    pub(super) unsafe fn leave_out(&self, task: u64, table: &TaskTable) {
        let Some(copy) = self.left_out.get(usize::from(table.index)) else {
            return;
        };
        // SAFETY: the caller's promise.
        unsafe { self.exchange(task, table, &raw const *copy as u64) };
    }

    /// The task has stayed in a cull of this parity. If its table is not found where it was a moment ago, it throws anew.
    ///
    /// # Safety
    /// `task` is the address of a live task header of this table.
    #[cold]
    pub(super) unsafe fn stay(&self, task: u64, table: &TaskTable, parity: Parity) {
        if let Some(copies) = self.stayed.get(usize::from(table.index)) {
            // SAFETY: the caller's promise.
            unsafe { self.exchange(task, table, copies[parity as usize].address()) };
        }
    }

    /// Gives the task a copy of its table.
    ///
    /// # Safety
    /// `task` is the address of a live task header of this table.
    unsafe fn exchange(&self, task: u64, table: &TaskTable, copy: u64) {
        // SAFETY: the caller's promise.
        let word = unsafe { self.table_word(task) };
        let _ = word.compare_exchange(table.address, copy, Ordering::Release, Ordering::Relaxed);
    }

    /// The table of a task that is left out; None if it is not.
    ///
    /// # Safety
    /// `task` is the address of a live task header.
    #[inline]
    pub(super) unsafe fn left_out(&self, task: u64) -> Option<&LeftOutTable> {
        // SAFETY: the caller's promise.
        let address = unsafe { self.table_word(task) }.load(Ordering::Relaxed);
        self.left_out_at(address)
    }

    #[inline]
    fn left_out_at(&self, address: u64) -> Option<&LeftOutTable> {
        let offset = address.wrapping_sub(self.left_out.as_ptr() as u64) as usize;
        self.left_out.get(offset / size_of::<LeftOutTable>())
    }

    #[cold]
    unsafe fn search_header(&self, task: u64) -> Option<&TaskTable> {
        for offset in (0..HEADER_WORDS).map(|word| word * 8) {
            // SAFETY: a task's allocation is longer than eight words: header, core and trailer.
            let address = unsafe { *((task + offset) as *const u64) };
            // Left out while its former table was about to be used.
            let left_out = self.left_out_at(address);
            let former = left_out.map_or(address, |table| table.address);
            if let Some(table) = self.get(former) {
                self.header_offset.store(offset, Ordering::Relaxed);
                return Some(table);
            }
        }
        None
    }
}

#[inline]
fn bucket_of(address: u64, buckets: usize) -> usize {
    let shift = 64 - buckets.trailing_zeros();
    ((address >> 3).wrapping_mul(0x9e37_79b9_7f4a_7c15) >> shift) as usize
}

/// What a waker of some table stands for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum WakerKind {
    /// A task: the data pointer is its header.
    Task,
    /// The future under `block_on`: the data pointer is the parker's or the scheduler's.
    Root,
    /// A branch of a task: whoever polls it with a waker of its own (`FuturesUnordered`) passes the wake-up on. The
    /// data pointer is that of an `Arc`.
    Relay,
}

/// A patched waker vtable.
#[derive(Debug)]
pub(super) struct WakerTable {
    pub(super) address: u64,
    pub(super) kind: WakerKind,
    /// Low bits of the data pointer that are free for tags.
    pub(super) tag_mask: u64,
    pub(super) clone: CloneFn,
    pub(super) wake: WakerFn,
    pub(super) wake_by_ref: WakerFn,
    pub(super) drop: WakerFn,
}

/// How many waker vtables of tokio's own can be patched, and how many others: there is one for each type of future
/// in a `FuturesUnordered`, and each may have copies.
pub(super) const MAX_TOKIO_TABLES: usize = 32;
pub(super) const MAX_RELAY_TABLES: usize = 992;
pub(super) const MAX_WAKER_TABLES: usize = MAX_TOKIO_TABLES + MAX_RELAY_TABLES;

pub(super) static WAKER_TABLES: [OnceLock<WakerTable>; MAX_WAKER_TABLES] =
    [const { OnceLock::new() }; MAX_WAKER_TABLES];
