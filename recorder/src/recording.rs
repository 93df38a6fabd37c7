//! A recording that is going on.

use std::io;
use std::sync::Arc;

use asyncprof_core::region::Region;

use crate::sampler::{Progress, Recorded, Sampler, Sampling};
use crate::stacks::StackSampler;

/// The threads that drain a region's rings and look at the programs' threads.
#[derive(Debug)]
pub struct Recording {
    region: Arc<Region>,
    sampler: Sampler,
    stacks: Option<StackSampler>,
}

impl Recording {
    /// Before any program joins. Threads that poll are looked at `freq_hz` times a second; 0 for never.
    ///
    /// # Errors
    /// Where no thread can be started.
    pub fn start(region: Arc<Region>, freq_hz: u32) -> io::Result<Recording> {
        let (stacks, sampling) = match freq_hz {
            0 => (None, None),
            hz => {
                let (stacks, blocked) = StackSampler::start(Arc::clone(&region), hz)?;
                let period_ns = 1_000_000_000 / u64::from(hz);
                (Some(stacks), Some(Sampling { blocked, period_ns }))
            }
        };
        let sampler = Sampler::start(Arc::clone(&region), sampling)?;
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
