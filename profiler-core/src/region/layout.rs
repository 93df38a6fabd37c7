//! What lies where in the region's file. [`LAYOUT_VERSION`] changes with it.

use std::sync::atomic::AtomicU64;

use crate::probe::ThreadProbe;
use crate::ring::RingControl;
use crate::stack_table::StackControl;

/// Changes with every change of the layout or of the events.
pub const LAYOUT_VERSION: u64 = 7;
pub(super) const MAGIC: u64 = u64::from_le_bytes(*b"asyncprf");

/// Names the region to recorded processes: `PATH:TOKEN`, the token in hexadecimal. Inherited by all descendants.
pub const REGION_VARIABLE: &str = "ASYNCPROF_REGION";
/// Set to 1 to patch a tokio of a version that this build does not know.
pub const ALLOW_UNKNOWN_TOKIO_VARIABLE: &str = "ASYNCPROF_ALLOW_UNKNOWN_TOKIO";

/// Folders with debug files of stripped programs, separated as in `PATH`.
pub const SYMBOLS_VARIABLE: &str = "ASYNCPROF_SYMBOLS";

/// Asks a thread for its stack. Ignored by default, and hardly used by any program.
pub const SAMPLING_SIGNAL: i32 = libc::SIGURG;

/// Threads that can write at one time.
pub const THREAD_SLOTS: usize = 2048;
/// Processes that can be alive at one time.
pub const PROCESS_SLOTS: usize = 512;
pub(super) const PROCESS_WORDS: usize = 8192;
pub(super) const STACK_INDEX_WORDS: usize = 1 << 20;
pub(super) const STACK_ARENA_WORDS: usize = 1 << 23;
/// Some 8,000 labels, however many a program makes; 1 MiB of text.
pub(super) const TEXT_INDEX_WORDS: usize = 1 << 13;
pub(super) const TEXT_ARENA_WORDS: usize = 1 << 17;
/// 4 MiB: at the 64 bytes of a suspension with its stack, 6 million suspensions a second between two drains
/// 10 ms apart.
pub(super) const RING_WORDS: usize = 1 << 19;

#[repr(C, align(4096))]
pub(super) struct Header {
    pub(super) magic: u64,
    pub(super) layout_version: u64,
    /// Tells this recording's region from any other file.
    pub(super) token: u64,
    pub(super) clock: u64,
    pub(super) base_ticks: u64,
    /// Words of a ring that are used; a power of two, at most [`RING_WORDS`].
    pub(super) ring_words: u64,
    /// 1 while events are wanted.
    pub(super) recording: AtomicU64,
    /// What is left out ([`Thinning`](crate::thinning::Thinning)); 0: nothing.
    pub(super) thinning: AtomicU64,
    /// How long a wait is short, in ticks.
    pub(super) short_wait_ticks: u64,
    /// Not 0 if threads may be asked for their stacks: then the ticks in which one that is on a CPU answers.
    pub(super) prompt_ticks: AtomicU64,
    /// When the recorder was last heard of, and after what silence it counts as gone (0: never).
    pub(super) beat_ticks: AtomicU64,
    pub(super) gone_after_ticks: AtomicU64,
    /// Threads that found no free slot.
    pub(super) threads_lost: AtomicU64,
    /// Processes that found no free slot.
    pub(super) processes_lost: AtomicU64,
    pub(super) thread_bits: [AtomicU64; THREAD_SLOTS / 64],
    /// One more than the highest thread slot that was ever taken.
    pub(super) thread_slots_used: AtomicU64,
    pub(super) process_bits: [AtomicU64; PROCESS_SLOTS / 64],
    pub(super) stacks: StackControl,
    pub(super) texts: StackControl,
}

/// A process's place. `message` is valid once `message_len` is not 0.
#[repr(C, align(4096))]
pub(super) struct ProcessSlot {
    pub(super) pid: AtomicU64,
    pub(super) message_len: AtomicU64,
    /// 1 while its threads answer when they are asked for their stacks.
    pub(super) answers: AtomicU64,
    pub(super) message: [AtomicU64; PROCESS_WORDS],
}

#[repr(C)]
pub(super) struct Layout {
    pub(super) header: Header,
    pub(super) processes: [ProcessSlot; PROCESS_SLOTS],
    pub(super) threads: [ThreadSlot; THREAD_SLOTS],
    pub(super) stack_index: [AtomicU64; STACK_INDEX_WORDS],
    pub(super) stack_arena: [AtomicU64; STACK_ARENA_WORDS],
    pub(super) text_index: [AtomicU64; TEXT_INDEX_WORDS],
    pub(super) text_arena: [AtomicU64; TEXT_ARENA_WORDS],
}

#[repr(C, align(512))]
pub(super) struct ThreadSlot {
    pub(super) ring: RingControl,
    pub(super) probe: ThreadProbe,
    /// Process slot that owns it, plus one; for taking back what a killed process held.
    pub(super) owner: AtomicU64,
}

/// One ring's words. They follow the `Layout` in the file, one for each thread slot.
pub(super) type RingWords = [AtomicU64; RING_WORDS];

/// Size of the file in bytes.
pub(super) const FILE_LEN: u64 = (size_of::<Layout>() + THREAD_SLOTS * size_of::<RingWords>()) as u64;

/// Where a slot's ring begins in the file.
pub(super) fn ring_offset(slot: usize) -> u64 {
    (size_of::<Layout>() + slot * size_of::<RingWords>()) as u64
}
