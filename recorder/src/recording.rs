//! A recording that is going on.

use std::io;
use std::sync::Arc;
use std::sync::mpsc::Sender;
use std::time::Duration;

use asyncprof_core::region::Region;

use crate::live::LiveTasks;
use crate::sampler::{Progress, Recorded, Sampler, Sampling};
use crate::stacks::StackSampler;

/// How often polling threads are looked at, unless told otherwise. Each look and each answer interrupts a CPU, which costs
/// what runs there far more than our code does: docs/decisions/0005-how-polls-are-sampled.md. Not a round number, so as not to
/// keep step with what programs do at round ones.
pub const DEFAULT_FREQ_HZ: u32 = 199;

/// How to record.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Threads that poll are looked at so many times a second; 0 for never.
    pub freq_hz: u32,
    /// For how many of them a file is kept open.
    pub most_open_files: usize,
    /// What each of the recording's own threads does first.
    pub begin_thread: fn(),
    /// Give out what is recorded in parts.
    pub parts: Option<Parts>,
    /// Leave out what costs the programs more than this part of their CPU time. Too much for us is left out anyway.
    pub max_overhead: Option<f64>,
}

/// What is recorded goes here each time, and is forgotten.
#[derive(Clone, Debug)]
pub struct Parts {
    /// Whole seconds.
    pub every: Duration,
    pub to: Sender<Recorded>,
}

impl Default for Settings {
    /// Of a process of ours: it may have 1,024 files open.
    fn default() -> Settings {
        Settings {
            freq_hz: 0,
            most_open_files: 512,
            begin_thread: || (),
            parts: None,
            max_overhead: None,
        }
    }
}

/// The threads that drain a region's rings and look at the programs' threads.
#[derive(Debug)]
pub struct Recording {
    region: Arc<Region>,
    sampler: Sampler,
    stacks: Option<StackSampler>,
}

impl Recording {
    /// Before any program joins.
    ///
    /// # Errors
    /// Where no thread can be started.
    pub fn start(region: Arc<Region>, settings: Settings) -> io::Result<Recording> {
        let (stacks, sampling) = match settings.freq_hz {
            0 => (None, None),
            hz => {
                let (stacks, blocked) = StackSampler::start(Arc::clone(&region), &settings)?;
                let period_ns = 1_000_000_000 / u64::from(hz);
                (Some(stacks), Some(Sampling { blocked, period_ns }))
            }
        };
        let sampler = Sampler::start(Arc::clone(&region), sampling, settings)?;
        Ok(Recording {
            region,
            sampler,
            stacks,
        })
    }

    /// What can be shown meanwhile.
    pub fn progress(&self) -> Progress {
        self.sampler.progress()
    }

    /// What has been recorded so far, in this part.
    ///
    /// # Errors
    /// Where a thread of ours has panicked.
    pub fn so_far(&self) -> io::Result<Recorded> {
        self.sampler.so_far()
    }

    /// The tasks that live now: at most so many, those that have been in their state for longest.
    ///
    /// # Errors
    /// As above.
    pub fn live(&self, most: usize) -> io::Result<LiveTasks> {
        self.sampler.live(most)
    }

    /// Tells the programs to write no more, and returns all that they did until `at_ticks` of the region's clock.
    ///
    /// # Errors
    /// Where a thread of ours has panicked.
    pub fn finish(self, at_ticks: u64) -> io::Result<Recorded> {
        self.region.stop();
        let obstacle = self.stacks.and_then(StackSampler::finish);
        let mut recorded = self.sampler.finish(at_ticks)?;
        recorded.obstacle = obstacle;
        Ok(recorded)
    }
}
