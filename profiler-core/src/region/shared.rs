//! The region as a value: what both sides do with it.

use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::fd::FromRawFd;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use super::layout::{
    FILE_LEN, Header, LAYOUT_VERSION, Layout, MAGIC, PROCESS_WORDS, RING_WORDS, RingWords, THREAD_SLOTS,
    ring_offset,
};
use super::mapping::Mapping;
use crate::clock::ClockSource;
use crate::probe::ThreadProbe;
use crate::process_info::ProcessInfo;
use crate::ring::{Consumer, Producer};
use crate::slots::Slots;
use crate::stack_table::StackTable;
use crate::texts::TextTable;
use crate::thinning::{SHORT_WAIT_NS, Thinning};

/// Name of the anonymous file.
const FILE_NAME: &std::ffi::CStr = c"asyncprof";

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

/// A mapped region. Rings are mapped when they are first used: a process has few threads, and what it maps counts
/// against its limits.
#[derive(Debug)]
pub struct Region {
    layout: Mapping<Layout>,
    rings: Box<[OnceLock<Mapping<RingWords>>]>,
    access: Access,
}

/// How to come by the region's file again.
#[derive(Debug)]
enum Access {
    /// The recorder's own.
    Own(File),
    /// In another process a descriptor would be in the program's way. Device and inode tell the file from one that
    /// the path may name later.
    Path { path: PathBuf, identity: (u64, u64) },
}

impl Region {
    /// Makes a new, empty region and the anonymous file behind it. `ring_words` (a power of two) is for tests
    /// that want losses; None means the full size.
    pub fn create(
        token: u64,
        clock: ClockSource,
        ring_words: Option<usize>,
    ) -> Result<(Region, File), RegionError> {
        let file = create_memfd()?;
        let failed = |step| move |source| RegionError::System { step, source };
        file.set_len(FILE_LEN).map_err(failed("sized"))?;
        let own = file.try_clone().map_err(failed("kept open"))?;
        let region = Region::map(&file, Access::Own(own))?;
        let ring_words = ring_words
            .unwrap_or(RING_WORDS)
            .clamp(16, RING_WORDS)
            .next_power_of_two();
        let header = region.layout.as_ptr().cast::<Header>();
        // SAFETY: the mapping holds a whole `Layout`, begins with its header, is zeroed, and nobody else has it yet;
        // only plain words are written, each within the header.
        unsafe {
            (*header).magic = MAGIC;
            (*header).layout_version = LAYOUT_VERSION;
            (*header).token = token;
            (*header).clock = clock as u64;
            (*header).base_ticks = clock.ticks();
            (*header).ring_words = ring_words as u64;
            (*header).short_wait_ticks = clock.ticks_in(Duration::from_nanos(SHORT_WAIT_NS));
        }
        region.header().recording.store(1, Ordering::Release);
        Ok((region, file))
    }

    /// Maps a region made by another process, after checking that it is one and the right one. Opens nothing that
    /// could block or act: the recorder may be gone, and its number taken by another process.
    pub fn open(path: &Path, token: u64) -> Result<Region, RegionError> {
        let failed = |step| move |source| RegionError::System { step, source };
        let file = open_memfd(path).map_err(failed("opened"))?;
        let metadata = file.metadata().map_err(failed("examined"))?;
        if !metadata.is_file() || metadata.len() != FILE_LEN {
            return Err(RegionError::Foreign);
        }
        let identity = (metadata.dev(), metadata.ino());
        let region = Region::map(
            &file,
            Access::Path {
                path: path.to_owned(),
                identity,
            },
        )?;
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

    fn map(file: &File, access: Access) -> Result<Region, RegionError> {
        // SAFETY: the file begins with a `Layout`, and is never made shorter; the layout is plain words, and those
        // that change once the region is shared are atomic.
        let layout = unsafe { Mapping::new(file, 0) };
        let layout = layout.map_err(|source| RegionError::System {
            step: "mapped",
            source,
        })?;
        let rings = (0..THREAD_SLOTS).map(|_| OnceLock::new()).collect();
        Ok(Region {
            layout,
            rings,
            access,
        })
    }

    fn header(&self) -> &Header {
        &self.layout.header
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

    /// What [`Region::is_recording`] asks.
    pub fn recording_word(&self) -> &AtomicU64 {
        &self.header().recording
    }

    /// Words of a ring that are used.
    pub fn ring_words(&self) -> usize {
        (self.header().ring_words as usize).min(RING_WORDS)
    }

    /// What processes are told to leave out.
    pub fn thinning(&self) -> Thinning {
        Thinning::decode(self.thinning_word().load(Ordering::Relaxed))
    }

    /// By the recorder: from now on this is left out.
    pub fn set_thinning(&self, thinning: Thinning) {
        let word = self.thinning_word();
        word.store(thinning.encode(word.load(Ordering::Relaxed)), Ordering::Relaxed);
    }

    /// What [`Region::thinning`] decodes.
    pub fn thinning_word(&self) -> &AtomicU64 {
        &self.header().thinning
    }

    /// How long a wait is short, in ticks.
    pub fn short_wait_ticks(&self) -> u64 {
        self.header().short_wait_ticks
    }

    /// Says that the recorder is there. From now on it counts as gone when it has not said so for this long.
    pub fn beat(&self, gone_after_ticks: u64) {
        self.header()
            .gone_after_ticks
            .store(gone_after_ticks, Ordering::Relaxed);
        self.header().beat_ticks.store(self.now(), Ordering::Release);
    }

    /// Stops recording if the recorder has not been heard of for long: it was killed, and nobody drains the rings.
    #[cold]
    pub fn stop_if_abandoned(&self) {
        let beat_ticks = self.header().beat_ticks.load(Ordering::Acquire);
        let gone_after_ticks = self.header().gone_after_ticks.load(Ordering::Relaxed);
        if gone_after_ticks != 0 && self.now().saturating_sub(beat_ticks) > gone_after_ticks {
            self.stop();
        }
    }

    /// From now on processes may prepare to be asked for their threads' stacks. A thread that takes longer than
    /// `prompt_ticks` for its answer was off the CPU.
    pub fn enable_sampling(&self, prompt_ticks: u64) {
        self.header()
            .prompt_ticks
            .store(prompt_ticks.max(1), Ordering::Release);
    }

    /// What [`Region::enable_sampling`] was given; 0: threads are not asked.
    pub fn prompt_ticks(&self) -> u64 {
        self.header().prompt_ticks.load(Ordering::Acquire)
    }

    /// Says whether the threads of the process in `slot` answer when they are asked for their stacks.
    pub fn set_answers(&self, slot: usize, answers: bool) {
        self.layout.processes[slot]
            .answers
            .store(u64::from(answers), Ordering::Release);
    }

    pub fn answers(&self, slot: usize) -> bool {
        self.layout
            .processes
            .get(slot)
            .is_some_and(|process| process.answers.load(Ordering::Acquire) != 0)
    }

    pub fn probe(&self, slot: usize) -> &ThreadProbe {
        &self.layout.threads[slot].probe
    }

    /// The process slot that owns a thread slot.
    pub fn owner(&self, slot: usize) -> Option<usize> {
        (self.layout.threads[slot].owner.load(Ordering::Relaxed) as usize).checked_sub(1)
    }

    /// Tells all processes that nothing more is wanted.
    pub fn stop(&self) {
        self.header().recording.store(0, Ordering::Release);
    }

    pub fn stacks(&self) -> StackTable<'_> {
        let layout = &*self.layout;
        StackTable::new(&layout.header.stacks, &layout.stack_index, &layout.stack_arena)
    }

    /// The texts that events name by a number.
    pub fn texts(&self) -> TextTable<'_> {
        let layout = &*self.layout;
        let words = StackTable::new(&layout.header.texts, &layout.text_index, &layout.text_arena);
        TextTable::new(words)
    }

    /// Texts that found no room.
    pub fn texts_lost(&self) -> u64 {
        self.header().texts.lost()
    }

    pub fn stacks_lost(&self) -> u64 {
        self.header().stacks.lost()
    }

    pub fn threads_lost(&self) -> u64 {
        self.header().threads_lost.load(Ordering::Relaxed)
    }

    /// Events dropped so far in all rings.
    pub fn events_lost(&self) -> u64 {
        let used = self.layout.threads.iter().take(self.thread_slots_used());
        used.map(|thread| thread.ring.lost()).sum()
    }

    /// Events dropped so far in one ring.
    pub fn events_lost_in(&self, slot: usize) -> u64 {
        self.layout.threads[slot].ring.lost()
    }

    /// A ring for the calling thread of the process in `process`; None (counted) if there are too many threads.
    pub fn claim_thread(&self, process: usize) -> Option<(usize, Producer<'_>)> {
        let Some(slot) = Slots::new(&self.header().thread_bits).claim() else {
            self.header().threads_lost.fetch_add(1, Ordering::Relaxed);
            return None;
        };
        let Some(ring) = self.ring(slot) else {
            Slots::new(&self.header().thread_bits).release(slot);
            self.header().threads_lost.fetch_add(1, Ordering::Relaxed);
            return None;
        };
        let thread = &self.layout.threads[slot];
        thread.owner.store(process as u64 + 1, Ordering::Relaxed);
        let used = &self.header().thread_slots_used;
        used.fetch_max(slot as u64 + 1, Ordering::Relaxed);
        Some((slot, Producer::new(&thread.ring, ring)))
    }

    /// Gives a thread's ring back; its producer must not be used again.
    pub fn release_thread(&self, slot: usize) {
        if let Some(thread) = self.layout.threads.get(slot) {
            thread.probe.end();
            thread.owner.store(0, Ordering::Relaxed);
            Slots::new(&self.header().thread_bits).release(slot);
        }
    }

    /// One more than the highest slot that was ever taken.
    pub fn thread_slots_used(&self) -> usize {
        (self.header().thread_slots_used.load(Ordering::Relaxed) as usize).min(THREAD_SLOTS)
    }

    /// The reading side of a slot's ring, whether or not it is taken. None if it cannot be mapped.
    pub fn consumer(&self, slot: usize) -> Option<Consumer<'_>> {
        Some(Consumer::new(&self.layout.threads[slot].ring, self.ring(slot)?))
    }

    fn ring(&self, slot: usize) -> Option<&[AtomicU64]> {
        let ring = self.rings.get(slot)?;
        let words = match ring.get() {
            Some(words) => words,
            None => {
                let file = match &self.access {
                    Access::Own(file) => file.try_clone().ok()?,
                    Access::Path { path, identity } => {
                        let file = open_memfd(path).ok()?;
                        let metadata = file.metadata().ok()?;
                        (*identity == (metadata.dev(), metadata.ino())).then_some(file)?
                    }
                };
                // SAFETY: the file holds the rings behind the layout and is never made shorter; words are atomic.
                let mapping = unsafe { Mapping::new(&file, ring_offset(slot)) }.ok()?;
                ring.get_or_init(|| mapping)
            }
        };
        words.get(..self.ring_words())
    }

    pub fn processes_lost(&self) -> u64 {
        self.header().processes_lost.load(Ordering::Relaxed)
    }

    /// Takes a place in the process table; None (counted) if it is full.
    pub fn claim_process(&self, pid: u32) -> Option<usize> {
        let Some(slot) = Slots::new(&self.header().process_bits).claim() else {
            self.header().processes_lost.fetch_add(1, Ordering::Relaxed);
            return None;
        };
        let process = &self.layout.processes[slot];
        process.message_len.store(0, Ordering::Relaxed);
        process.answers.store(0, Ordering::Relaxed);
        process.pid.store(u64::from(pid), Ordering::Release);
        Some(slot)
    }

    /// Publishes what a process says of itself. Modules that do not fit are left out, the last ones first.
    pub fn publish_process(&self, slot: usize, mut info: ProcessInfo) {
        let process = &self.layout.processes[slot];
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
                            self.layout.processes[slot].pid.load(Ordering::Acquire) as u32,
                        )
                    })
            })
    }

    /// The process in a slot; 0 if there is none.
    pub fn pid(&self, slot: usize) -> u32 {
        let process = self.layout.processes.get(slot);
        process.map_or(0, |process| process.pid.load(Ordering::Acquire) as u32)
    }

    /// What the process in a slot said of itself; None as long as it has not.
    pub fn process_info(&self, slot: usize) -> Option<ProcessInfo> {
        let process = self.layout.processes.get(slot)?;
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
        for (thread, owned) in self.layout.threads.iter().enumerate() {
            if owned.owner.load(Ordering::Relaxed) == slot as u64 + 1 {
                self.release_thread(thread);
            }
        }
        if let Some(process) = self.layout.processes.get(slot) {
            process.pid.store(0, Ordering::Relaxed);
            // Else the next owner would be taken for this one until it has cleared it.
            process.message_len.store(0, Ordering::Relaxed);
            Slots::new(&self.header().process_bits).release(slot);
        }
    }
}

/// Opens another process's anonymous file by its path under `/proc`, if it is one of ours.
fn open_memfd(path: &Path) -> io::Result<File> {
    let target = fs::read_link(path)?;
    let name = format!("/memfd:{}", FILE_NAME.to_string_lossy());
    if !target.to_string_lossy().starts_with(&name) {
        return Err(io::ErrorKind::NotFound.into());
    }
    let flags = libc::O_CLOEXEC | libc::O_NONBLOCK | libc::O_NOCTTY;
    OpenOptions::new()
        .read(true)
        .write(true)
        .custom_flags(flags)
        .open(path)
}

pub(super) fn create_memfd() -> Result<File, RegionError> {
    // SAFETY: the name is a C string. Anonymous memory has no name in any file system, so nobody can guess it.
    let fd = unsafe { libc::memfd_create(FILE_NAME.as_ptr(), libc::MFD_CLOEXEC) };
    if fd < 0 {
        return Err(RegionError::System {
            step: "made",
            source: io::Error::last_os_error(),
        });
    }
    // SAFETY: a new descriptor that nobody else owns.
    Ok(unsafe { File::from_raw_fd(fd) })
}
