//! The calling thread's place in the recording: its ring, what it is polling, its unwind cache.
//!
//! A thread gets its place with its first event and gives it back when it ends. Places are pooled: the state of a
//! slot is allocated once and serves every thread that ever holds the slot. All of it lies in memory that the
//! kernel wipes in a forked child, so a child that goes on without `exec` writes nothing.

use std::ffi::c_void;
use std::io;
use std::ops::Range;
use std::ptr;
use std::sync::atomic::{AtomicPtr, AtomicU32, AtomicU64, AtomicUsize, Ordering, compiler_fence};
use std::sync::{Arc, OnceLock};

use asyncprof_core::clock::ClockSource;
use asyncprof_core::event::{Event, Found, Kind};
use asyncprof_core::probe::ThreadProbe;
use asyncprof_core::region::{Region, THREAD_SLOTS};
use asyncprof_core::ring::Producer;
use asyncprof_core::stack_table::MAX_FRAMES;

use crate::asyncio::{self, NameCache};
use crate::coin::Coin;
use crate::pauses::Pauses;
use crate::polled::{Polled, Work};
use crate::sampling::{Callers, Interrupted};
use crate::stack_memo::StackMemo;
use crate::thread_pointer;
use crate::unwind::{self, Cache, Entry};
use crate::unwind_rules::Rules;
use crate::wiped::wiped_in_child;

/// This process in the recording.
struct Recorder {
    region: Arc<Region>,
    /// Its slot, once it has joined.
    process: AtomicUsize,
    thread_key: libc::pthread_key_t,
    /// 1 while this process has joined, [`JOINING`] while it does; 0 before, and again in a forked child.
    alive: &'static AtomicU32,
}

const JOINING: u32 = 2;

static RECORDER: OnceLock<Recorder> = OnceLock::new();
static POOL: [AtomicPtr<Thread>; THREAD_SLOTS] = [const { AtomicPtr::new(ptr::null_mut()) }; THREAD_SLOTS];

/// A thread's state. All zeros is a dead one.
#[repr(C)]
pub(crate) struct Thread {
    /// 1 while the thread owns its slot; 0 in a forked child.
    alive: AtomicU32,
    /// Set while we write, so that a signal handler's event cannot come between our words.
    busy: bool,
    /// Whether `cache` was made.
    has_cache: bool,
    /// Set while a waker tap calls the runtime, whose `schedule` is then no wake-up of its own.
    pub(crate) waking: bool,
    /// Wake-ups of branches that this thread is in: what they wake is woken through them.
    pub(crate) relays: u8,
    slot: usize,
    /// The innermost task being polled.
    pub(crate) polled: Polled,
    /// The work of a pool's that the thread is at.
    pub(crate) work: Work,
    /// Panics raised on this thread.
    pub(crate) panics: u32,
    /// Registrations handed out on this thread; their tags are taken from it.
    pub(crate) registrations: u64,
    /// Not 0 while events are wanted.
    recording: &'static AtomicU64,
    /// What is to be left out ([`thinning`](asyncprof_core::thinning)).
    thinning: &'static AtomicU64,
    pub(crate) coin: Coin,
    pub(crate) pauses: Pauses,
    clock: ClockSource,
    /// The clock's reading at tick 0.
    base_ticks: u64,
    /// The thread's own stack.
    own_stack: Range<u64>,
    producer: Producer<'static>,
    probe: &'static ThreadProbe,
    cache: Cache,
    /// Zeros are an empty table, and an empty memo.
    rules: Rules,
    memo: StackMemo,
    frames: [u64; MAX_FRAMES],
    /// Zeros are an empty one, and names are the same for all owners.
    names: NameCache,
    /// Where the thread answers when it is asked for its stack.
    sampling_stack: SamplingStack,
}

#[repr(C, align(16))]
struct SamplingStack([u8; 2 * unwind::STACK_NEEDED as usize]);

/// Makes this process able to [`join`] the recording. Once.
pub(crate) fn install(region: Arc<Region>) -> io::Result<()> {
    let alive = wiped_in_child(size_of::<AtomicU32>())?.cast::<AtomicU32>();
    // SAFETY: fresh zeroed memory, never freed, of an atomic's size and more than its alignment.
    let alive = unsafe { &*alive };
    let mut thread_key = 0;
    // SAFETY: `thread_key` is valid to write to; `give_back` is a function of this never unloaded library.
    match unsafe { libc::pthread_key_create(&mut thread_key, Some(give_back)) } {
        0 => {}
        code => return Err(io::Error::from_raw_os_error(code)),
    }
    let _ = RECORDER.set(Recorder {
        region,
        process: AtomicUsize::new(0),
        thread_key,
        alive,
    });
    Ok(())
}

/// Whether [`install`] was.
pub(crate) fn is_installed() -> bool {
    RECORDER.get().is_some()
}

/// Whether this process has joined.
pub(crate) fn is_joined() -> bool {
    let joined = |recorder: &Recorder| recorder.alive.load(Ordering::Acquire) == 1;
    RECORDER.get().is_some_and(joined)
}

/// The region of a process that [has joined](is_joined).
pub(crate) fn joined_region() -> Option<&'static Region> {
    RECORDER
        .get()
        .filter(|_| is_joined())
        .map(|recorder| &*recorder.region)
}

/// From now on this process's events are written, if it had not joined: `claim` takes its slot in the table and tells
/// of it. In a forked child that is a new one.
pub(crate) fn join(claim: impl FnOnce(&Region) -> Option<usize>) {
    let Some(recorder) = RECORDER.get() else { return };
    let alive = recorder.alive;
    if alive
        .compare_exchange(0, JOINING, Ordering::Acquire, Ordering::Relaxed)
        .is_err()
        || !recorder.region.is_recording()
    {
        return;
    }
    // One that finds no slot does not look again.
    if let Some(process) = claim(&recorder.region) {
        recorder.process.store(process, Ordering::Relaxed);
        // What the calling thread had in the process that it was forked from.
        thread_pointer::set(ptr::null_mut());
        alive.store(1, Ordering::Release);
    }
}

/// Whether this process could [`join`]: it has not, or is the forked child of one that has.
pub(crate) fn can_join() -> bool {
    RECORDER
        .get()
        .is_some_and(|recorder| recorder.alive.load(Ordering::Relaxed) == 0 && recorder.region.is_recording())
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
    (!thread.busy && thread.recording.load(Ordering::Relaxed) != 0).then_some(thread)
}

/// As [`current`], for a signal that may have come between the words of an event: then the question is let go, to be
/// asked again.
pub(crate) fn interrupted() -> Option<&'static mut Thread> {
    let thread = thread_pointer::get();
    // SAFETY: as in `current`; an alive thread's probe was initialised, and is shared memory.
    let probe = unsafe {
        if thread.is_null() || (*thread).alive.load(Ordering::Relaxed) == 0 {
            return None;
        }
        (*thread).probe
    };
    let thread = current();
    if thread.is_none() {
        probe.answer();
    }
    thread
}

/// Takes from the calling thread the work that it began in the frame of Python that is `here`, even if nothing is
/// recorded any more.
pub(crate) fn take_work(here: impl FnOnce() -> u64) -> Option<Work> {
    let thread = thread_pointer::get();
    // SAFETY: as in `current`; a signal's handler does not touch it.
    unsafe {
        if thread.is_null() || (*thread).alive.load(Ordering::Relaxed) == 0 {
            return None;
        }
        let work = &mut (*thread).work;
        let is_meant = work.future != 0 && work.frame == here();
        is_meant.then(|| std::mem::replace(work, Work::NONE))
    }
}

/// What the pointer of a thread refers to that has no place, and none to come: it has ended, or found no room.
static NO_PLACE: NoPlace = NoPlace(AtomicU32::new(0));

#[repr(align(128))]
struct NoPlace(AtomicU32);

const _: () = assert!(align_of::<NoPlace>() >= align_of::<Thread>());

pub(crate) fn no_place() -> *mut Thread {
    // Only the first word of a dead thread is ever looked at.
    (&raw const NO_PLACE.0).cast_mut().cast()
}

#[cold]
fn enter() -> Option<&'static mut Thread> {
    let recorder = RECORDER.get()?;
    if recorder.alive.load(Ordering::Acquire) != 1 || !recorder.region.is_recording() {
        return None;
    }
    // Whoever finds no place does not look again with each event; nor does a signal handler that comes between.
    thread_pointer::set(no_place());
    let process = recorder.process.load(Ordering::Relaxed);
    let (slot, producer) = recorder.region.claim_thread(process)?;
    let Some(memory) = pooled(slot) else {
        recorder.region.release_thread(slot);
        return None;
    };
    // SAFETY: initialised, or zeros, of which this word is valid; never freed.
    let alive = unsafe { &(*memory).alive };
    if alive
        .compare_exchange(0, 1, Ordering::Acquire, Ordering::Relaxed)
        .is_err()
    {
        // The recorder took this process for gone and gave its slots away; their owners here still run. The shared
        // memory says who may write a ring, but never who owns memory of this process.
        return None;
    }
    let own_stack = thread_pointer::own_stack();
    // SAFETY: page-aligned memory of this size, and ours alone since the exchange above. Every field but `alive` is
    // written by each new owner, except the cache, whose rules are the same for all: it is made by the first.
    let thread = unsafe {
        let place = &raw mut *memory;
        (&raw mut (*place).busy).write(false);
        (&raw mut (*place).waking).write(false);
        (&raw mut (*place).relays).write(0);
        (&raw mut (*place).slot).write(slot);
        (&raw mut (*place).polled).write(Polled::NONE);
        (&raw mut (*place).work).write(Work::NONE);
        (&raw mut (*place).recording).write(recorder.region.recording_word());
        (&raw mut (*place).thinning).write(recorder.region.thinning_word());
        (&raw mut (*place).coin).write(Coin::new(recorder.region.now() ^ (slot as u64) << 48));
        (&raw mut (*place).pauses.short_ticks).write(recorder.region.short_wait_ticks());
        (&raw mut (*place).clock).write(recorder.region.clock());
        (&raw mut (*place).base_ticks).write(recorder.region.base_ticks());
        (&raw mut (*place).own_stack).write(own_stack);
        (&raw mut (*place).producer).write(producer);
        (&raw mut (*place).probe).write(recorder.region.probe(slot));
        if !(*place).has_cache {
            (&raw mut (*place).cache).write(Cache::new_in());
            (*place).has_cache = true;
        }
        &mut *place
    };
    // SAFETY: a key made in `install`; the value only comes back to `give_back`.
    if unsafe { libc::pthread_setspecific(recorder.thread_key, (&raw const *thread).cast()) } != 0 {
        thread.alive.store(0, Ordering::Release);
        recorder.region.release_thread(slot);
        return None;
    }
    thread_pointer::set(thread);
    // SAFETY: always succeeds.
    let tid = unsafe { libc::gettid() } as u64;
    thread.probe.begin(tid);
    thread.write(Kind::ThreadStart, tid, process as u16, 0);
    Some(thread)
}

/// The memory of a slot: zeros if it had no owner yet.
fn pooled(slot: usize) -> Option<*mut Thread> {
    let pooled = POOL.get(slot)?;
    let known = pooled.load(Ordering::Acquire);
    if !known.is_null() {
        return Some(known);
    }
    let fresh = wiped_in_child(size_of::<Thread>()).ok()?.cast::<Thread>();
    match pooled.compare_exchange(known, fresh, Ordering::AcqRel, Ordering::Acquire) {
        Ok(_) => Some(fresh),
        Err(other) => {
            // SAFETY: the mapping just made, which nobody else knows.
            unsafe { libc::munmap(fresh.cast(), size_of::<Thread>()) };
            Some(other)
        }
    }
}

/// Called by the C library when a thread that owns a slot ends. What other destructors still do is not recorded.
unsafe extern "C" fn give_back(thread: *mut c_void) {
    thread_pointer::set(no_place());
    let thread = thread.cast::<Thread>();
    // SAFETY: the pointer set in `enter` by this thread; in a forked child it is zeros.
    unsafe {
        let slot = (*thread).slot;
        if (*thread).alive.swap(0, Ordering::Release) == 1
            && let Some(recorder) = RECORDER.get()
        {
            recorder.region.release_thread(slot);
        }
    }
}

/// Whether this process's threads answer when they are asked for their stacks.
pub(crate) fn answers() -> bool {
    RECORDER
        .get()
        .is_some_and(|recorder| recorder.region.answers(recorder.process.load(Ordering::Relaxed)))
}

pub(crate) fn set_answers(answers: bool) {
    if let Some(recorder) = RECORDER.get() {
        recorder
            .region
            .set_answers(recorder.process.load(Ordering::Relaxed), answers);
    }
}

/// An event found no room. Perhaps nobody reads any more: looked at now and then.
#[cold]
fn lost(producer: &Producer<'_>) {
    const LOOK_EVERY: u64 = 1024;
    if producer.untold() % LOOK_EVERY == 1
        && let Some(recorder) = RECORDER.get()
    {
        recorder.region.stop_if_abandoned();
    }
}

impl Thread {
    /// A poll begins. Returns what was being polled, for [`Thread::end_poll`].
    #[inline]
    pub(crate) fn begin_poll(&mut self, polled: Polled) -> Polled {
        self.polled.is_host = true;
        let outer = std::mem::replace(&mut self.polled, polled);
        self.probe.set_polling(self.polled.top());
        outer
    }

    /// The poll has returned.
    #[inline]
    pub(crate) fn end_poll(&mut self, outer: Polled) -> Polled {
        let ended = std::mem::replace(&mut self.polled, outer);
        let top = if outer.is_host { 0 } else { self.polled.top() };
        self.probe.set_polling(top);
        ended
    }

    /// What is to be left out, as a word; 0 for nothing.
    #[inline]
    pub(crate) fn thinning(&self) -> u64 {
        self.thinning.load(Ordering::Relaxed)
    }

    /// The clock's reading.
    #[inline]
    pub(crate) fn clock_ticks(&self) -> u64 {
        self.clock.ticks()
    }

    /// Upper end of the stack on which the thread answers.
    pub(crate) fn sampling_stack_top(&self) -> u64 {
        (&raw const self.sampling_stack) as u64 + size_of::<SamplingStack>() as u64
    }

    /// Answers with the stack of the poll, if the thread was asked and is in one. Tells who called the innermost function.
    pub(crate) fn sample(&mut self, at: Interrupted, callers: &mut Callers) {
        let Some(recorder) = RECORDER.get() else { return };
        let now = self.clock.ticks().saturating_sub(self.base_ticks);
        let question = self.probe.answer();
        if !self.own_stack.contains(&at.entry.sp) {
            return;
        }
        let in_poll = self.probe.polling().is_polling() && at.entry.sp < self.polled.stack_top;
        let top = if in_poll {
            self.polled.stack_top.min(self.own_stack.end)
        } else {
            self.own_stack.end
        };
        self.busy = true;
        compiler_fence(Ordering::SeqCst);
        let is_python = in_poll && self.polled.thread_state != 0;
        let mut len = 0;
        if !is_python || at.has_interrupted_call {
            len = unwind::capture_at(&mut self.rules, &mut self.cache, at, top, &mut self.frames);
            let innermost = len.min(callers.len());
            callers[..innermost].copy_from_slice(&self.frames[..innermost]);
        }
        if is_python {
            let Polled {
                thread_state,
                outer_frame,
                ..
            } = self.polled;
            let (names, frames, region) = (&mut self.names, &mut self.frames, &recorder.region);
            // SAFETY: as the step noted them, in which this thread still is.
            len = unsafe { asyncio::sampled(names, frames, region, thread_state, outer_frame) };
        }
        let answer = question.filter(|_| in_poll && len > 0);
        let stack = answer.map_or(0, |_| recorder.region.stacks().intern(&self.frames[..len]));
        compiler_fence(Ordering::SeqCst);
        self.busy = false;
        if let Some(asked) = answer {
            let took_ticks = now.saturating_sub(asked.asked_ticks);
            let (found, weight_ticks) = if took_ticks < recorder.region.prompt_ticks() {
                (Found::OnCpu, asked.weight_ticks)
            } else {
                (Found::Blocked, asked.weight_ticks.max(took_ticks))
            };
            self.write(Kind::Sample, weight_ticks, found as u16, stack.into());
        }
    }

    /// Writes one event, stamped now if its kind is. False if it found no room.
    #[inline(always)]
    pub(crate) fn write(&mut self, kind: Kind, subject: u64, aux: u16, value: u64) -> bool {
        self.busy = true;
        compiler_fence(Ordering::SeqCst);
        let ticks = if kind.has_time() {
            self.clock.ticks().saturating_sub(self.base_ticks)
        } else {
            0
        };
        let written = self.producer.push(Event {
            kind,
            ticks,
            subject,
            aux,
            value,
        });
        if !written {
            lost(&self.producer);
        }
        compiler_fence(Ordering::SeqCst);
        self.busy = false;
        written
    }

    /// The tag of a registration made now, from 1 to `most`, which is one less than a power of two.
    #[inline]
    pub(crate) fn next_tag(&mut self, most: u64) -> u64 {
        self.registrations = self.registrations.wrapping_add(1);
        if self.registrations & most == 0 {
            self.registrations = self.registrations.wrapping_add(1);
        }
        self.registrations & most
    }

    /// The number of a text that the program gives us.
    pub(crate) fn text(&mut self, text: &str) -> u64 {
        RECORDER
            .get()
            .map_or(0, |recorder| recorder.region.texts().intern(text).into())
    }

    /// The number of the stack whose frames, leaf first, `fill` puts into place; it returns how many.
    #[inline]
    pub(crate) fn intern_with(
        &mut self,
        fill: impl FnOnce(&mut NameCache, &mut [u64; MAX_FRAMES], &'static Region) -> usize,
    ) -> u64 {
        let number = self.with_names(|names, frames, region| {
            let len = fill(names, frames, region);
            region.stacks().intern(&frames[..len])
        });
        number.map_or(0, u64::from)
    }

    /// Does what needs the names that this thread remembers. A signal's handler needs them, too, and stays away.
    #[inline]
    pub(crate) fn with_names<T>(
        &mut self,
        work: impl FnOnce(&mut NameCache, &mut [u64; MAX_FRAMES], &'static Region) -> T,
    ) -> Option<T> {
        let recorder = RECORDER.get()?;
        self.busy = true;
        compiler_fence(Ordering::SeqCst);
        let result = work(&mut self.names, &mut self.frames, &recorder.region);
        compiler_fence(Ordering::SeqCst);
        self.busy = false;
        Some(result)
    }

    /// The number of the stack above `entry`, up to the poll or the thread's end.
    #[inline]
    pub(crate) fn stack(&mut self, entry: Entry) -> u64 {
        let own = &self.own_stack;
        // The upper end of what may be read. On a stack that is not the thread's own (a coroutine's, a signal's) only
        // the return address itself is known to be there.
        let top = if !own.contains(&entry.sp) {
            entry.sp + 8
        } else if entry.sp - own.start < unwind::STACK_NEEDED {
            return 0;
        } else if self.polled.task != 0 {
            self.polled.stack_top.min(own.end)
        } else {
            own.end
        };
        // SAFETY: as was just told; on the thread's own stack all between where it stands and an end is mapped.
        match unsafe { self.memo.recognise(entry, top) } {
            Some(number) => number.into(),
            None => self.unwind(entry, top),
        }
    }

    /// As [`Thread::stack`], of a registration in the poll that the thread is in.
    #[inline]
    pub(crate) fn await_stack(&mut self, entry: Entry) -> u64 {
        if self.polled.is_short {
            self.short_stack()
        } else {
            self.stack(entry)
        }
    }

    #[cold]
    fn unwind(&mut self, entry: Entry, top: u64) -> u64 {
        let Some(recorder) = RECORDER.get() else { return 0 };
        self.busy = true;
        compiler_fence(Ordering::SeqCst);
        let len = unwind::capture(&mut self.rules, &mut self.cache, entry, top, &mut self.frames);
        let number = recorder.region.stacks().intern(&self.frames[..len]);
        if number != 0 {
            // SAFETY: as in `stack`.
            unsafe {
                unwind::remember(
                    &mut self.memo,
                    &mut self.rules,
                    &mut self.cache,
                    entry,
                    top,
                    number,
                )
            };
        }
        compiler_fence(Ordering::SeqCst);
        self.busy = false;
        u64::from(number)
    }
}
