//! What the taps know of the interpreter that they stand in.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, Ordering};

use asyncprof_core::event::Kind;
use asyncprof_core::region::Region;
use asyncprof_core::stack_table::MAX_FRAMES;

use super::interpreter::{Api, Object, Renamed};
use super::layout::Layout;
use super::memory::{half, type_of};
use super::names::{Cache, Naming, Room};
use crate::recorder::{self, Thread};

#[derive(Debug)]
pub(super) struct Tap {
    pub(super) api: &'static Api,
    pub(super) renamed: &'static Renamed,
    pub(super) layout: Layout,
    /// Tasks' type derives from it.
    pub(super) future_type: Object,
    pub(super) task_type: Object,
    /// Type of the callable that wakes a task, and if that is one for all builtin functions, which one it is.
    pub(super) wakeup_type: Object,
    pub(super) wakeup_def: u64,
    pub(super) originals: Originals,
}

/// What our functions stand in place of.
#[derive(Clone, Copy, Debug)]
pub(super) struct Originals {
    pub(super) step: u64,
    pub(super) wakeup: u64,
    pub(super) task_init: u64,
    pub(super) task_dealloc: u64,
}

static TAP: OnceLock<Tap> = OnceLock::new();

#[inline(always)]
pub(super) fn get() -> Option<&'static Tap> {
    TAP.get()
}

pub(super) fn set(tap: Tap) -> &'static Tap {
    TAP.get_or_init(|| tap)
}

/// A future's state.
pub(super) const PENDING: u32 = 0;
pub(super) const CANCELLED: u32 = 1;

/// Tables of tasks: a place for each name, by the number of the stack of one frame that is the name.
static TABLES: [AtomicU32; 1 << 16] = [const { AtomicU32::new(0) }; 1 << 16];
/// Places looked at before names beyond share one.
const MAX_PROBES: u32 = 64;

/// Forgets all names: they are to be told again, in a forked child.
pub(super) fn forget_tables() {
    for table in &TABLES {
        table.store(0, Ordering::Relaxed);
    }
}

impl Tap {
    pub(super) fn naming<'a>(&'a self, region: &'a Region) -> Naming<'a> {
        Naming {
            layout: &self.layout.stack,
            api: self.api,
            table: region.stacks(),
        }
    }

    /// # Safety
    /// A live future of asyncio's own type, or a task.
    #[inline]
    pub(super) unsafe fn state_of(&self, future: Object) -> u32 {
        // SAFETY: the caller's promise.
        unsafe { half(future + self.layout.task.state) }
    }

    /// The index of a task's table: that of its name, if it was given one, or of its coroutine. Tells of it when it is
    /// new.
    ///
    /// # Safety
    /// Live objects, and the lock is held; `name` may be 0.
    pub(super) unsafe fn table_of(&self, thread: &mut Thread, coroutine: Object, name: Object) -> u16 {
        // SAFETY: the caller's promise.
        let name = |names: &mut Cache, naming: &Naming<'_>| unsafe {
            self.given_name(names, naming, name)
                .unwrap_or_else(|| self.name_of(names, naming, coroutine))
        };
        self.table_named(thread, name).0
    }

    /// The index of the table for the name that has this frame, and whether it is new: then it is told of.
    #[inline]
    pub(super) fn table_named(
        &self,
        thread: &mut Thread,
        name: impl FnOnce(&mut Cache, &Naming<'_>) -> u64,
    ) -> (u16, bool) {
        let found = thread.with_names(|names, _, region| {
            let frame = name(names, &self.naming(region));
            names.table(frame).ok_or(frame)
        });
        match found.unwrap_or(Err(0)) {
            Ok(table) => (table, false),
            Err(frame) => {
                let (table, is_new) = table_of_name(thread, frame);
                thread.with_names(|names, _, _| names.set_table(frame, table));
                (table, is_new)
            }
        }
    }

    /// The frame for the name that the program gave; None for asyncio's own `Task-123`.
    unsafe fn given_name(&self, names: &mut Cache, naming: &Naming<'_>, name: Object) -> Option<u64> {
        // SAFETY: the caller's promise. Before it is asked for, a name of asyncio's own may be a mere number.
        unsafe {
            if name == 0 || type_of(name) != self.api.PyUnicode_Type {
                return None;
            }
            let mut room = Room::new();
            let text = naming.text(name, &mut room)?;
            let number = text.strip_prefix("Task-");
            let is_automatic = number.is_some_and(|number| number.bytes().all(|byte| byte.is_ascii_digit()));
            (!is_automatic && !text.is_empty()).then(|| names.given(naming, name, text))
        }
    }
}

/// The index of the table of tasks with this name, which is told of when it is new.
#[cold]
fn table_of_name(thread: &mut Thread, name: u64) -> (u16, bool) {
    let number = thread.intern_with(|_, frames, _| {
        frames[0] = name;
        usize::from(name != 0)
    }) as u32;
    let start = number.wrapping_mul(0x9e37_79b9) >> 16;
    for probe in 0..MAX_PROBES {
        let at = start.wrapping_add(probe) as u16;
        let table = &TABLES[usize::from(at)];
        match table.compare_exchange(0, number, Ordering::Relaxed, Ordering::Relaxed) {
            Ok(_) if number != 0 => {
                thread.write(Kind::TableNamed, 0, at, number.into());
                return (at, true);
            }
            Err(known) if known != number => {}
            _ => return (at, false),
        }
    }
    (start as u16, false)
}

/// The functions that this thread is in, leaf first, up to the frame `until`; returns how many. From a signal's handler:
/// nothing of the interpreter's is called that does more than read.
///
/// # Safety
/// `thread_state` is this thread's, which is within a step of a task that began in the frame `until`.
pub(crate) unsafe fn sampled(
    names: &mut Cache,
    frames: &mut [u64; MAX_FRAMES],
    region: &Region,
    thread_state: u64,
    until: u64,
) -> usize {
    let Some(tap) = get() else { return 0 };
    let naming = tap.naming(region);
    // SAFETY: both only read the interpreter's own variables.
    let (holds_lock, is_ending) = unsafe {
        (
            (tap.renamed.lock_holder)() == thread_state,
            (tap.renamed.is_finalizing)() != 0,
        )
    };
    if !holds_lock && is_ending {
        // An interpreter that ends takes away the state and frames of who does not hold the lock.
        return 0;
    }
    // SAFETY: the caller's promise: this thread stands still in all of these functions.
    unsafe { naming.interrupted(names, frames, thread_state, until) }
}

/// The calling thread, in a process that may have to join first.
#[inline(always)]
pub(super) fn current() -> Option<&'static mut Thread> {
    recorder::current().or_else(joined)
}

#[cold]
fn joined() -> Option<&'static mut Thread> {
    if !recorder::can_join() {
        return None;
    }
    // A forked child, whose loop has just begun to run a task.
    forget_tables();
    super::attach::join();
    recorder::current()
}
