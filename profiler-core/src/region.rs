//! The memory that a recording's processes share: one anonymous file, mapped by the recorder and by every
//! process recorded. Its layout is fixed; [`LAYOUT_VERSION`] changes with it.
//!
//! ```text
//! header | process table | thread controls | stack index | stack arena | one ring per thread slot
//! ```
//!
//! The file is sparse: what nobody writes to takes no memory.

use std::fs::File;
use std::io;
use std::os::fd::AsRawFd;
use std::ptr::NonNull;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::clock::ClockSource;
use crate::process_info::ProcessInfo;
use crate::ring::{Consumer, Producer, RingControl};
use crate::slots::Slots;
use crate::stack_table::{StackControl, StackTable};

/// Changes with every change of the layout or of the events.
pub const LAYOUT_VERSION: u64 = 1;
const MAGIC: u64 = u64::from_le_bytes(*b"asyncprf");

/// Names the region to recorded processes: `PATH:TOKEN`, the token in hexadecimal. Inherited by all descendants.
pub const REGION_VARIABLE: &str = "ASYNCPROF_REGION";
/// Set to 1 to patch a tokio of a version that this build does not know.
pub const ALLOW_UNKNOWN_TOKIO_VARIABLE: &str = "ASYNCPROF_ALLOW_UNKNOWN_TOKIO";

/// Threads that can write at one time.
pub const THREAD_SLOTS: usize = 2048;
/// Processes that can be alive at one time.
pub const PROCESS_SLOTS: usize = 512;
const PROCESS_WORDS: usize = 8192;
const STACK_INDEX_WORDS: usize = 1 << 20;
const STACK_ARENA_WORDS: usize = 1 << 23;
/// 4 MiB: at the 80 bytes of a suspension with its stack, 5 million suspensions a second between two drains
/// 10 ms apart.
const RING_WORDS: usize = 1 << 19;

#[repr(C, align(4096))]
struct Header {
    magic: u64,
    layout_version: u64,
    /// Tells this recording's region from any other file.
    token: u64,
    clock: u64,
    base_ticks: u64,
    /// Words of a ring that are used; a power of two, at most [`RING_WORDS`].
    ring_words: u64,
    /// 1 while events are wanted.
    recording: AtomicU64,
    /// Threads that found no free slot.
    threads_lost: AtomicU64,
    thread_bits: [AtomicU64; THREAD_SLOTS / 64],
    /// One more than the highest thread slot that was ever taken.
    thread_slots_used: AtomicU64,
    process_bits: [AtomicU64; PROCESS_SLOTS / 64],
    stacks: StackControl,
}

/// A process's place. `message` is valid once `message_len` is not 0.
#[repr(C, align(4096))]
struct ProcessSlot {
    pid: AtomicU64,
    message_len: AtomicU64,
    message: [AtomicU64; PROCESS_WORDS],
}

#[repr(C)]
struct Layout {
    header: Header,
    processes: [ProcessSlot; PROCESS_SLOTS],
    threads: [ThreadSlot; THREAD_SLOTS],
    stack_index: [AtomicU64; STACK_INDEX_WORDS],
    stack_arena: [AtomicU64; STACK_ARENA_WORDS],
    rings: [[AtomicU64; RING_WORDS]; THREAD_SLOTS],
}

#[repr(C, align(512))]
struct ThreadSlot {
    ring: RingControl,
    /// Process slot that owns it, plus one; for taking back what a killed process held.
    owner: AtomicU64,
}

/// Why a file cannot serve as a region.
#[derive(Debug, thiserror::Error)]
pub enum RegionError {
    #[error("the shared memory could not be {step}")]
    System { step: &'static str, source: io::Error },
    #[error("the shared memory is not this recording's")]
    Foreign,
    #[error("the shared memory has layout {found}, this asyncprof knows {LAYOUT_VERSION}")]
    OtherLayout { found: u64 },
}

/// A mapped region. The mapping lives as long as the value.
#[derive(Debug)]
pub struct Region {
    base: NonNull<Layout>,
}

// SAFETY: what is not atomic in the layout is written before the region is shared and never again.
unsafe impl Send for Region {}
// SAFETY: as above; all else is reached through atomics.
unsafe impl Sync for Region {}

impl Region {
    /// Makes a new, empty region and the anonymous file behind it. `ring_words` (a power of two) is for tests
    /// that want losses; None means the full size.
    pub fn create(
        token: u64,
        clock: ClockSource,
        ring_words: Option<usize>,
    ) -> Result<(Region, File), RegionError> {
        let file = create_memfd()?;
        let layout_size = size_of::<Layout>() as u64;
        file.set_len(layout_size).map_err(|source| RegionError::System {
            step: "sized",
            source,
        })?;
        let region = Region::map(&file)?;
        let ring_words = ring_words
            .unwrap_or(RING_WORDS)
            .clamp(16, RING_WORDS)
            .next_power_of_two();
        let header = region.base.as_ptr().cast::<Header>();
        // SAFETY: the mapping holds a whole `Layout`, begins with its header, is zeroed, and nobody else has it yet;
        // only plain words are written, each within the header.
        unsafe {
            (*header).magic = MAGIC;
            (*header).layout_version = LAYOUT_VERSION;
            (*header).token = token;
            (*header).clock = clock as u64;
            (*header).base_ticks = clock.ticks();
            (*header).ring_words = ring_words as u64;
        }
        region.header().recording.store(1, Ordering::Release);
        Ok((region, file))
    }

    /// Maps a region made by another process, after checking that it is one and the right one.
    pub fn open(file: &File, token: u64) -> Result<Region, RegionError> {
        let metadata = file.metadata().map_err(|source| RegionError::System {
            step: "examined",
            source,
        })?;
        if !metadata.is_file() || metadata.len() != size_of::<Layout>() as u64 {
            return Err(RegionError::Foreign);
        }
        let region = Region::map(file)?;
        let header = region.header();
        if header.magic != MAGIC || header.token != token {
            return Err(RegionError::Foreign);
        }
        if header.layout_version != LAYOUT_VERSION {
            return Err(RegionError::OtherLayout {
                found: header.layout_version,
            });
        }
        let ring_words = header.ring_words as usize;
        if !ring_words.is_power_of_two()
            || ring_words > RING_WORDS
            || ClockSource::from_word(header.clock).is_none()
        {
            return Err(RegionError::Foreign);
        }
        Ok(region)
    }

    fn map(file: &File) -> Result<Region, RegionError> {
        // SAFETY: a fresh mapping at an address of the kernel's choice, of a file of at least this size.
        let base = unsafe {
            libc::mmap(
                std::ptr::null_mut(),
                size_of::<Layout>(),
                libc::PROT_READ | libc::PROT_WRITE,
                libc::MAP_SHARED | libc::MAP_NORESERVE,
                file.as_raw_fd(),
                0,
            )
        };
        if base == libc::MAP_FAILED {
            return Err(RegionError::System {
                step: "mapped",
                source: io::Error::last_os_error(),
            });
        }
        for advice in [libc::MADV_DONTDUMP, libc::MADV_NOHUGEPAGE] {
            // SAFETY: exactly the mapping just made. A failure changes nothing but the size of core dumps, and of the
            // memory used where the system gives 2 MiB at the first touch.
            unsafe { libc::madvise(base, size_of::<Layout>(), advice) };
        }
        let base = NonNull::new(base.cast()).ok_or(RegionError::Foreign)?;
        Ok(Region { base })
    }

    fn layout(&self) -> &Layout {
        // SAFETY: the mapping holds a whole `Layout` for as long as `self`; any bit pattern is valid in it, and
        // what changes under us is atomic.
        unsafe { self.base.as_ref() }
    }

    fn header(&self) -> &Header {
        &self.layout().header
    }

    pub fn clock(&self) -> ClockSource {
        ClockSource::from_word(self.header().clock).unwrap_or(ClockSource::Monotonic)
    }

    /// The clock's reading at tick 0 of this recording's events.
    pub fn base_ticks(&self) -> u64 {
        self.header().base_ticks
    }

    /// Ticks since the recording's start.
    pub fn now(&self) -> u64 {
        self.clock().ticks().saturating_sub(self.base_ticks())
    }

    /// Whether events are still wanted.
    #[inline]
    pub fn is_recording(&self) -> bool {
        self.header().recording.load(Ordering::Relaxed) != 0
    }

    /// Tells all processes that nothing more is wanted.
    pub fn stop(&self) {
        self.header().recording.store(0, Ordering::Release);
    }

    pub fn stacks(&self) -> StackTable<'_> {
        let layout = self.layout();
        StackTable::new(&layout.header.stacks, &layout.stack_index, &layout.stack_arena)
    }

    pub fn stacks_lost(&self) -> u64 {
        self.header().stacks.lost()
    }

    pub fn threads_lost(&self) -> u64 {
        self.header().threads_lost.load(Ordering::Relaxed)
    }

    /// Events dropped so far in all rings.
    pub fn events_lost(&self) -> u64 {
        self.layout()
            .threads
            .iter()
            .map(|thread| thread.ring.lost())
            .sum()
    }

    /// Events dropped so far in one ring.
    pub fn events_lost_in(&self, slot: usize) -> u64 {
        self.layout().threads[slot].ring.lost()
    }

    /// A ring for the calling thread of the process in `process`; None (counted) if there are too many threads.
    pub fn claim_thread(&self, process: usize) -> Option<(usize, Producer<'_>)> {
        let Some(slot) = Slots::new(&self.header().thread_bits).claim() else {
            self.header().threads_lost.fetch_add(1, Ordering::Relaxed);
            return None;
        };
        let thread = &self.layout().threads[slot];
        thread.owner.store(process as u64 + 1, Ordering::Relaxed);
        self.header()
            .thread_slots_used
            .fetch_max(slot as u64 + 1, Ordering::Relaxed);
        Some((slot, Producer::new(&thread.ring, self.ring(slot))))
    }

    /// Gives a thread's ring back; its producer must not be used again.
    pub fn release_thread(&self, slot: usize) {
        if let Some(thread) = self.layout().threads.get(slot) {
            thread.owner.store(0, Ordering::Relaxed);
            Slots::new(&self.header().thread_bits).release(slot);
        }
    }

    /// One more than the highest slot that was ever taken.
    pub fn thread_slots_used(&self) -> usize {
        (self.header().thread_slots_used.load(Ordering::Relaxed) as usize).min(THREAD_SLOTS)
    }

    /// The reading side of a slot's ring, whether or not it is taken.
    pub fn consumer(&self, slot: usize) -> Consumer<'_> {
        Consumer::new(&self.layout().threads[slot].ring, self.ring(slot))
    }

    fn ring(&self, slot: usize) -> &[AtomicU64] {
        &self.layout().rings[slot][..(self.header().ring_words as usize).min(RING_WORDS)]
    }

    /// Takes a place in the process table; None if it is full.
    pub fn claim_process(&self, pid: u32) -> Option<usize> {
        let slot = Slots::new(&self.header().process_bits).claim()?;
        let process = &self.layout().processes[slot];
        process.message_len.store(0, Ordering::Relaxed);
        process.pid.store(u64::from(pid), Ordering::Release);
        Some(slot)
    }

    /// Publishes what a process says of itself. Modules that do not fit are left out, the last ones first.
    pub fn publish_process(&self, slot: usize, mut info: ProcessInfo) {
        let process = &self.layout().processes[slot];
        let message = loop {
            match postcard::to_stdvec(&info) {
                Ok(message) if message.len() <= PROCESS_WORDS * 8 => break message,
                _ if info.modules.pop().is_some() => {}
                _ => return,
            }
        };
        for (word, chunk) in process.message.iter().zip(message.chunks(8)) {
            let mut bytes = [0; 8];
            bytes[..chunk.len()].copy_from_slice(chunk);
            word.store(u64::from_le_bytes(bytes), Ordering::Relaxed);
        }
        process.message_len.store(message.len() as u64, Ordering::Release);
    }

    /// Process slots that are taken, each with its pid (0 for an instant after it was claimed).
    pub fn processes(&self) -> impl Iterator<Item = (usize, u32)> + '_ {
        self.header()
            .process_bits
            .iter()
            .enumerate()
            .flat_map(move |(at, bits)| {
                let bits = bits.load(Ordering::Acquire);
                (0..64)
                    .filter(move |bit| bits & 1 << bit != 0)
                    .map(move |bit| at * 64 + bit)
                    .map(|slot| {
                        (
                            slot,
                            self.layout().processes[slot].pid.load(Ordering::Acquire) as u32,
                        )
                    })
            })
    }

    /// What the process in a slot said of itself; None as long as it has not.
    pub fn process_info(&self, slot: usize) -> Option<ProcessInfo> {
        let process = self.layout().processes.get(slot)?;
        let len = process.message_len.load(Ordering::Acquire) as usize;
        if len == 0 || len > PROCESS_WORDS * 8 {
            return None;
        }
        let words = process.message.iter().take(len.div_ceil(8));
        let bytes: Vec<u8> = words
            .flat_map(|word| word.load(Ordering::Relaxed).to_le_bytes())
            .take(len)
            .collect();
        postcard::from_bytes(&bytes).ok()
    }

    /// Takes back the place and the rings of a process that is gone.
    pub fn release_process(&self, slot: usize) {
        for (thread, owned) in self.layout().threads.iter().enumerate() {
            if owned.owner.load(Ordering::Relaxed) == slot as u64 + 1 {
                self.release_thread(thread);
            }
        }
        if let Some(process) = self.layout().processes.get(slot) {
            process.pid.store(0, Ordering::Relaxed);
            // Else the next owner would be taken for this one until it has cleared it.
            process.message_len.store(0, Ordering::Relaxed);
            Slots::new(&self.header().process_bits).release(slot);
        }
    }
}

impl Drop for Region {
    fn drop(&mut self) {
        // SAFETY: exactly the mapping made in `map`; all borrows of it end with `self`.
        unsafe { libc::munmap(self.base.as_ptr().cast(), size_of::<Layout>()) };
    }
}

fn create_memfd() -> Result<File, RegionError> {
    use std::os::fd::FromRawFd;
    // SAFETY: the name is a C string. Anonymous memory has no name in any file system, so nobody can guess it.
    let fd = unsafe { libc::memfd_create(c"asyncprof".as_ptr(), libc::MFD_CLOEXEC) };
    if fd < 0 {
        return Err(RegionError::System {
            step: "made",
            source: io::Error::last_os_error(),
        });
    }
    // SAFETY: a new descriptor that nobody else owns.
    Ok(unsafe { File::from_raw_fd(fd) })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::{Event, Kind};

    #[test]
    fn two_mappings_see_the_same_recording() {
        let (recorder, file) = Region::create(7, ClockSource::detect(), None).unwrap();
        let app = Region::open(&file, 7).unwrap();
        let process = app.claim_process(42).unwrap();
        let info = ProcessInfo {
            pid: 42,
            executable: "/bin/app".into(),
            ..Default::default()
        };
        app.publish_process(process, info.clone());
        assert_eq!(recorder.process_info(process), Some(info));
        assert_eq!(recorder.processes().collect::<Vec<_>>(), [(process, 42)]);

        let (slot, mut producer) = app.claim_thread(process).unwrap();
        let stack = app.stacks().intern(&[1, 2, 3]);
        let event = Event {
            kind: Kind::Spawn,
            ticks: app.now(),
            subject: 0x1000,
            aux: 0,
            value: u64::from(stack),
        };
        producer.push(event);
        let mut seen = Vec::new();
        recorder.consumer(slot).drain(|event| seen.push(event)).unwrap();
        assert_eq!(seen, [event]);
        let mut frames = Vec::new();
        recorder.stacks().read(stack, &mut frames);
        assert_eq!(frames, [1, 2, 3]);

        recorder.release_process(process);
        assert_eq!(recorder.processes().count(), 0);
        assert_eq!(
            recorder.process_info(process),
            None,
            "the next owner is not taken for the last"
        );
        assert_eq!(
            app.claim_thread(0).unwrap().0,
            slot,
            "the killed process's ring is free again"
        );
    }

    #[test]
    fn a_foreign_file_is_refused() {
        let (_region, file) = Region::create(7, ClockSource::Monotonic, None).unwrap();
        assert!(matches!(Region::open(&file, 8), Err(RegionError::Foreign)));
        let other = create_memfd().unwrap();
        assert!(matches!(Region::open(&other, 7), Err(RegionError::Foreign)));
    }

    #[test]
    fn a_message_too_long_loses_its_last_modules() {
        let (region, _file) = Region::create(7, ClockSource::Monotonic, None).unwrap();
        let slot = region.claim_process(1).unwrap();
        let module = crate::process_info::ModuleInfo {
            path: "x".repeat(1000),
            ..Default::default()
        };
        region.publish_process(
            slot,
            ProcessInfo {
                modules: vec![module; 100],
                ..Default::default()
            },
        );
        let kept = region.process_info(slot).unwrap().modules.len();
        assert!((60..=65).contains(&kept), "{kept}");
    }
}
