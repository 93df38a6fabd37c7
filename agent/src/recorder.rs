//! The calling thread's place in the recording: its ring, what it is polling, its unwind cache.
//!
//! A thread gets its place with its first event and gives it back when it ends. Places are pooled: the state of a
//! slot is allocated once and serves every thread that ever holds the slot. All of it lies in memory that the
//! kernel wipes in a forked child, so a child that goes on without `exec` writes nothing.

use std::ffi::c_void;
use std::io;
use std::ptr;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicPtr, AtomicU32, Ordering, compiler_fence};

use asyncprof_core::event::{Event, Kind};
use asyncprof_core::region::{Region, THREAD_SLOTS};
use asyncprof_core::ring::Producer;
use asyncprof_core::stack_table::MAX_FRAMES;

use crate::thread_pointer;
use crate::unwind::{self, Cache, Entry};

/// This process in the recording.
struct Recorder {
    region: Region,
    process: usize,
    thread_key: libc::pthread_key_t,
    /// 1 here, 0 in a forked child.
    alive: &'static AtomicU32,
}

static RECORDER: OnceLock<Recorder> = OnceLock::new();
static POOL: [AtomicPtr<Thread>; THREAD_SLOTS] = [const { AtomicPtr::new(ptr::null_mut()) }; THREAD_SLOTS];

/// A task that a thread is polling.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Polled {
    /// Address of the task; 0 for none.
    pub(crate) task: u64,
    /// Upper end of its stack: where the poll tap was entered.
    pub(crate) stack_top: u64,
    /// The task's state word when it was first seen complete; 0 until then.
    pub(crate) end_state: u64,
}

impl Polled {
    pub(crate) const NONE: Polled = Polled {
        task: 0,
        stack_top: 0,
        end_state: 0,
    };
}

/// A thread's state. All zeros is a dead one.
#[repr(C)]
pub(crate) struct Thread {
    /// 1 while the thread owns its slot; 0 in a forked child.
    alive: AtomicU32,
    /// Set while we write, so that a signal handler's event cannot come between our words.
    busy: bool,
    /// Set while a waker tap calls the runtime, whose `schedule` is then no wake-up of its own.
    pub(crate) waking: bool,
    slot: usize,
    /// The innermost task being polled.
    pub(crate) polled: Polled,
    /// Panics raised on this thread.
    pub(crate) panics: u32,
    /// Registrations handed out on this thread; their tags are taken from it.
    pub(crate) registrations: u64,
    stack_top: u64,
    producer: Producer<'static>,
    cache: Cache,
    frames: [u64; MAX_FRAMES],
}

/// Makes this process able to record. Once.
pub(crate) fn install(region: Region, process: usize) -> io::Result<()> {
    let alive = wiped_in_child(size_of::<AtomicU32>())?.cast::<AtomicU32>();
    // SAFETY: fresh zeroed memory, never freed, of an atomic's size and more than its alignment.
    let alive = unsafe { &*alive };
    alive.store(1, Ordering::Relaxed);
    let mut thread_key = 0;
    // SAFETY: `thread_key` is valid to write to; `give_back` is a function of this never unloaded library.
    match unsafe { libc::pthread_key_create(&mut thread_key, Some(give_back)) } {
        0 => {}
        code => return Err(io::Error::from_raw_os_error(code)),
    }
    let _ = RECORDER.set(Recorder {
        region,
        process,
        thread_key,
        alive,
    });
    Ok(())
}

/// The calling thread's state, if events are to be written now.
#[inline(always)]
pub(crate) fn current() -> Option<&'static mut Thread> {
    let thread = thread_pointer::get();
    if thread.is_null() {
        return enter();
    }
    // SAFETY: the pointer is this thread's own and its memory is never freed; in a forked child it is zeros,
    // of which only this word is looked at.
    if unsafe { (*thread).alive.load(Ordering::Relaxed) } == 0 {
        return None;
    }
    // SAFETY: alive, so initialised and this thread's alone. Callers let go of it before they call the runtime,
    // and a signal handler that comes between is sent away by `busy`.
    let thread = unsafe { &mut *thread };
    (!thread.busy && RECORDER.get()?.region.is_recording()).then_some(thread)
}

#[cold]
fn enter() -> Option<&'static mut Thread> {
    let recorder = RECORDER.get()?;
    if recorder.alive.load(Ordering::Relaxed) == 0 || !recorder.region.is_recording() {
        return None;
    }
    let (slot, producer) = recorder.region.claim_thread(recorder.process)?;
    let Some(thread) = place(slot, producer) else {
        recorder.region.release_thread(slot);
        return None;
    };
    thread.stack_top = thread_pointer::stack_top();
    // SAFETY: a key made in `install`; the value only comes back to `give_back`.
    if unsafe { libc::pthread_setspecific(recorder.thread_key, (&raw const *thread).cast()) } != 0 {
        thread.alive.store(0, Ordering::Relaxed);
        recorder.region.release_thread(slot);
        return None;
    }
    thread_pointer::set(thread);
    // SAFETY: always succeeds.
    let tid = unsafe { libc::gettid() } as u64;
    thread.write(Kind::ThreadStart, tid, recorder.process as u16, 0);
    Some(thread)
}

/// The pooled state of a slot, made alive for its new owner.
fn place(slot: usize, producer: Producer<'static>) -> Option<&'static mut Thread> {
    let pooled = POOL.get(slot)?;
    let known = pooled.load(Ordering::Acquire);
    let thread = if known.is_null() {
        wiped_in_child(size_of::<Thread>()).ok()?.cast::<Thread>()
    } else {
        known
    };
    if known.is_null() {
        // SAFETY: fresh memory of this size, page-aligned, and ours alone.
        unsafe {
            thread.write(Thread {
                alive: AtomicU32::new(1),
                busy: false,
                waking: false,
                slot,
                polled: Polled::NONE,
                panics: 0,
                registrations: 0,
                stack_top: 0,
                producer,
                cache: Cache::new_in(),
                frames: [0; MAX_FRAMES],
            });
        }
        pooled.store(thread, Ordering::Release);
        // SAFETY: just initialised; whoever claims the slot owns it.
        return Some(unsafe { &mut *thread });
    }
    // SAFETY: initialised by an earlier owner of the slot, who has let go of it; the slot is ours now.
    let thread = unsafe { &mut *thread };
    (thread.busy, thread.waking, thread.polled) = (false, false, Polled::NONE);
    thread.producer = producer;
    thread.alive.store(1, Ordering::Relaxed);
    Some(thread)
}

/// Called by the C library when a thread that owns a slot ends.
unsafe extern "C" fn give_back(thread: *mut c_void) {
    thread_pointer::set(ptr::null_mut());
    let thread = thread.cast::<Thread>();
    // SAFETY: the pointer set in `enter` by this thread; in a forked child it is zeros.
    unsafe {
        if (*thread).alive.swap(0, Ordering::Relaxed) == 1
            && let Some(recorder) = RECORDER.get()
        {
            recorder.region.release_thread((*thread).slot);
        }
    }
}

impl Thread {
    /// Writes one event, stamped now.
    #[inline]
    pub(crate) fn write(&mut self, kind: Kind, subject: u64, aux: u16, value: u64) {
        let Some(recorder) = RECORDER.get() else { return };
        self.busy = true;
        compiler_fence(Ordering::SeqCst);
        self.producer.push(Event {
            kind,
            ticks: recorder.region.now(),
            subject,
            aux,
            value,
        });
        compiler_fence(Ordering::SeqCst);
        self.busy = false;
    }

    /// The number of the stack above `entry`, up to the poll or the thread's end.
    #[inline]
    pub(crate) fn stack(&mut self, entry: Entry) -> u64 {
        let Some(recorder) = RECORDER.get() else { return 0 };
        let top = if self.polled.task != 0 {
            self.polled.stack_top
        } else {
            self.stack_top
        };
        self.busy = true;
        compiler_fence(Ordering::SeqCst);
        let len = unwind::capture(&mut self.cache, entry, top, &mut self.frames);
        let number = recorder.region.stacks().intern(&self.frames[..len]);
        compiler_fence(Ordering::SeqCst);
        self.busy = false;
        u64::from(number)
    }
}

/// Zeroed memory of at least this size that a forked child sees as zeros again; never freed.
fn wiped_in_child(size: usize) -> io::Result<*mut u8> {
    // SAFETY: a fresh anonymous mapping at an address of the kernel's choice.
    let memory = unsafe {
        let (protection, flags) = (
            libc::PROT_READ | libc::PROT_WRITE,
            libc::MAP_PRIVATE | libc::MAP_ANONYMOUS,
        );
        libc::mmap(ptr::null_mut(), size, protection, flags, -1, 0)
    };
    if memory == libc::MAP_FAILED {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: exactly the mapping just made.
    match unsafe { libc::madvise(memory, size, libc::MADV_WIPEONFORK) } {
        0 => Ok(memory.cast()),
        _ => Err(io::Error::last_os_error()),
    }
}
