//! Looks at polling threads some two hundred times a second: on the CPU, or blocked, and at which stack?
//!
//! The kernel tells of each thread whether it is blocked in a system call (or a page fault), and where. The stack of
//! a blocked thread stands still, so it is read from outside. One that is not blocked is asked: a signal makes it
//! write its stack into its own ring (the agent's `sampling`).

mod frame_pointer;
mod memory;
mod process;
mod python;
mod python_lines;
mod thread_state;

use std::collections::HashMap;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use asyncprof_core::probe::{Polling, Question};
use asyncprof_core::region::Region;
use crossbeam_channel::{Receiver, Sender, unbounded};

use crate::pause::pause_until;
use crate::recording::Settings;
use process::Process;
use thread_state::{ThreadFile, ThreadState, ask};

/// Ticks between two looks at a thread that stays blocked at one place: at most this share of the time that it has
/// been there, and at most so many.
const PATIENCE: u32 = 8;
const MAX_PATIENCE_TICKS: u32 = 16;

/// New processes are looked for once in so many looks at threads.
const LOOKS_PER_SEARCH: u64 = 2;

/// A thread on a CPU answers in this time; one that takes longer was ready, but off the CPU.
const PROMPT: Duration = Duration::from_micros(250);

/// A blocked thread's stack.
#[derive(Clone, Copy, Debug)]
pub(crate) struct BlockedSample {
    pub(crate) ticks: u64,
    /// The thread's slot.
    pub(crate) slot: usize,
    pub(crate) stack: u32,
    /// The time that it stands for.
    pub(crate) weight_ticks: u64,
}

/// A running thread that takes samples.
#[derive(Debug)]
pub(crate) struct StackSampler {
    stop: Arc<AtomicBool>,
    thread: JoinHandle<Option<String>>,
}

impl StackSampler {
    /// Takes samples at the settings' rate.
    pub(crate) fn start(
        region: Arc<Region>,
        settings: &Settings,
    ) -> io::Result<(StackSampler, Receiver<BlockedSample>)> {
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = Arc::clone(&stop);
        let (samples, taken) = unbounded();
        let state = State {
            region,
            samples,
            processes: HashMap::new(),
            threads: Vec::new(),
            obstacle: None,
            looked_ticks: 0,
            most_open_files: settings.most_open_files,
        };
        let prompt_ticks = state.region.clock().ticks_in(PROMPT);
        state.region.enable_sampling(prompt_ticks);
        let (hz, begin_thread) = (settings.freq_hz, settings.begin_thread);
        let thread = thread::Builder::new()
            .name("asyncprof-look".into())
            .spawn(move || {
                begin_thread();
                state.run(&stopped, hz)
            })?;
        Ok((StackSampler { stop, thread }, taken))
    }

    /// Stops, and returns what stood in the way, if something did.
    pub(crate) fn finish(self) -> Option<String> {
        self.stop.store(true, Ordering::Release);
        self.thread.thread().unpark();
        self.thread.join().ok().flatten()
    }
}

/// A thread that was seen polling.
#[derive(Debug)]
struct Thread {
    tid: u64,
    /// None beyond a number of threads: then it is opened for each look.
    file: Option<ThreadFile>,
    block: Option<Block>,
}

/// Where a thread is blocked.
#[derive(Clone, Copy, Debug)]
struct Block {
    polling: Polling,
    sp: u64,
    ip: u64,
    stack: u32,
    seen_ticks: u64,
    /// For how many looks it has been there, and for how many more it is left alone.
    looks: u32,
    skip: u32,
}

struct State {
    region: Arc<Region>,
    samples: Sender<BlockedSample>,
    /// By slot.
    processes: HashMap<usize, Process>,
    /// By slot.
    threads: Vec<Option<Thread>>,
    obstacle: Option<String>,
    /// When all threads were looked at for the last time.
    looked_ticks: u64,
    most_open_files: usize,
}

impl State {
    /// Returns what stood in the way.
    fn run(mut self, stopped: &AtomicBool, hz: u32) -> Option<String> {
        prefer_short_turns();
        let period = Duration::from_nanos(1_000_000_000 / u64::from(hz.max(1)));
        let mut next = Instant::now() + period;
        for look in 0u64.. {
            if look.is_multiple_of(LOOKS_PER_SEARCH) {
                self.find_processes();
            }
            let is_over = pause_until(next, || stopped.load(Ordering::Acquire).then_some(()));
            if is_over.is_some() {
                break;
            }
            self.look();
            // Looks that were missed are not made up for.
            next = (next + period).max(Instant::now());
        }
        self.obstacle
    }

    /// Reads what is needed of new processes' files, before their threads are looked at.
    fn find_processes(&mut self) {
        for (slot, pid) in self.region.processes() {
            let is_known = self
                .processes
                .get(&slot)
                .is_some_and(|process| process.pid == pid);
            if !is_known
                && let Some(info) = self.region.process_info(slot).filter(|info| info.pid == pid)
                && info.tap.is_tapped()
            {
                self.processes.insert(slot, Process::new(&info));
            }
        }
        let region = &self.region;
        self.processes
            .retain(|&slot, process| region.pid(slot) == process.pid);
    }

    fn look(&mut self) {
        let now = self.region.now();
        let since_ticks = now.saturating_sub(std::mem::replace(&mut self.looked_ticks, now));
        let used = self.region.thread_slots_used();
        if self.threads.len() < used {
            self.threads.resize_with(used, || None);
        }
        let region = Arc::clone(&self.region);
        for slot in 0..used {
            let probe = region.probe(slot);
            let polling = probe.polling();
            if !polling.is_polling() {
                continue;
            }
            let (tid, Some(owner)) = (probe.tid(), region.owner(slot)) else {
                continue;
            };
            if tid != 0 {
                self.look_at(slot, owner, tid, polling, since_ticks);
            }
        }
    }

    fn look_at(&mut self, slot: usize, owner: usize, tid: u64, polling: Polling, since_ticks: u64) {
        let pid = self.region.pid(owner);
        let Some(process) = self
            .processes
            .get_mut(&owner)
            .filter(|process| process.pid == pid)
        else {
            return;
        };
        let thread = match &mut self.threads[slot] {
            Some(thread) if thread.tid == tid => thread,
            place => place.insert(Thread {
                tid,
                file: None,
                block: None,
            }),
        };
        if let Some(block) = &mut thread.block
            && block.polling == polling
            && block.skip > 0
        {
            block.skip -= 1;
            block.looks = block.looks.saturating_add(1);
            return;
        }
        let probe = self.region.probe(slot);
        let file = match thread.file.take().map_or_else(|| ThreadFile::open(pid, tid), Ok) {
            Ok(file) => file,
            Err(error) => {
                note(&mut self.obstacle, pid, &error);
                return;
            }
        };
        let state = file.read();
        if slot < self.most_open_files {
            thread.file = Some(file);
        }
        match state {
            Ok(ThreadState::Running) => {
                thread.block = None;
                let question = Question {
                    asked_ticks: self.region.now(),
                    weight_ticks: since_ticks,
                };
                if self.region.answers(owner) && probe.ask(question) {
                    ask(pid, tid);
                }
            }
            Ok(ThreadState::Blocked { sp, ip }) => {
                let former = thread
                    .block
                    .filter(|block| (block.polling, block.sp, block.ip) == (polling, sp, ip));
                let stacks = self.region.stacks();
                let stack = match (former, &mut process.python) {
                    // The interpreter blocks at the same place for all of its functions.
                    (_, Some(python)) => stacks.intern(&python.stack_of(probe.top(), &stacks)),
                    (Some(block), None) => block.stack,
                    (None, None) => stacks.intern(process.stack_of(sp, ip, probe.top())),
                };
                let now = self.region.now();
                // Only if it was the same poll all the time the stack is that poll's.
                if probe.polling() != polling {
                    thread.block = None;
                    return;
                }
                let looks = former.map_or(0, |block| block.looks).saturating_add(1);
                thread.block = Some(Block {
                    polling,
                    sp,
                    ip,
                    stack,
                    seen_ticks: now,
                    looks,
                    skip: (looks / PATIENCE).min(MAX_PATIENCE_TICKS),
                });
                let _ = self.samples.send(BlockedSample {
                    ticks: now,
                    slot,
                    stack,
                    weight_ticks: former.map_or(since_ticks, |block| now.saturating_sub(block.seen_ticks)),
                });
            }
            Err(error) => {
                thread.block = None;
                note(&mut self.obstacle, pid, &error);
            }
        }
    }
}

/// Keeps the first thing that stood in the way of looking at threads. One that has just ended is nothing of note.
fn note(obstacle: &mut Option<String>, pid: u32, error: &io::Error) {
    let has_ended = error.kind() == io::ErrorKind::NotFound || error.raw_os_error() == Some(libc::ESRCH);
    if obstacle.is_none() && !has_ended {
        *obstacle = Some(format!(
            "process {pid}: running time is not split into on-cpu and blocked, as the system does not let us look at \
             its threads (/proc/{pid}/task/*/syscall: {error})"
        ));
    }
}

/// Asks the kernel to let this thread run soon after it wakes, at the price of short turns: what it does takes
/// microseconds, and late looks are fewer. Kernels before 6.12 do not know this and refuse.
#[allow(unsafe_code)]
fn prefer_short_turns() {
    const TURN_NS: u64 = 100_000;
    #[repr(C)]
    #[derive(Default)]
    struct Attributes {
        size: u32,
        policy: u32,
        flags: u64,
        nice: i32,
        priority: u32,
        runtime_ns: u64,
        deadline_ns: u64,
        period_ns: u64,
    }
    let size = size_of::<Attributes>() as u32;
    let mut attributes = Attributes::default();
    // SAFETY: the system writes at most `size` bytes, then reads as many.
    unsafe {
        if libc::syscall(libc::SYS_sched_getattr, 0, &raw mut attributes, size, 0) == 0 {
            attributes.runtime_ns = TURN_NS;
            libc::syscall(libc::SYS_sched_setattr, 0, &raw const attributes, 0);
        }
    }
}
