//! What one run says about one node: time, episodes, and time per block of windows.

use super::runs::Run;
use crate::profile::{Row, Stats};

/// Windows of a longer recording are taken together until there are no more than so many blocks.
const MAX_BLOCKS: u64 = 64;

/// How the windows of all runs are taken together: into blocks of the same length everywhere.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Blocks {
    windows: u64,
}

impl Blocks {
    pub(super) fn for_runs(runs: &[&Run]) -> Blocks {
        let most = runs.iter().map(|run| whole_windows(run)).max().unwrap_or(0);
        Blocks {
            windows: most.div_ceil(MAX_BLOCKS).max(1),
        }
    }

    /// Blocks that the run fills. What is left of it at the end is in no block.
    pub(super) fn of(self, run: &Run) -> usize {
        (whole_windows(run) / self.windows) as usize
    }

    /// The one that the window is in.
    pub(super) fn number(self, window: u32) -> usize {
        (u64::from(window) / self.windows) as usize
    }

    pub(super) fn seconds(self, run: &Run) -> f64 {
        (self.windows as f64) * (run.meta.window_ns as f64) / 1e9
    }
}

fn whole_windows(run: &Run) -> u64 {
    run.meta.duration_ns.checked_div(run.meta.window_ns).unwrap_or(0)
}

/// Sums over rows. All but `fourth` are exact, so their order does not matter.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Measure {
    pub(super) total_ns: u64,
    /// Of rows in which at least one episode was seen to end.
    pub(super) stats: Stats,
    /// Episodes that were seen to end.
    pub(super) ended: u64,
    /// Σ (weight · ns)⁴ over the episodes, to the histogram's 12.5 % and the mean weight: how well Σ ns² itself is known.
    pub(super) fourth: f64,
    pub(super) blocks: Vec<u64>,
}

impl Measure {
    /// A row of this run.
    pub(super) fn add(&mut self, row: &Row, blocks: Blocks, run: &Run) {
        let ended = row.stats.episodes.saturating_sub(row.open_episodes);
        self.total_ns = self.total_ns.saturating_add(row.stats.total_ns);
        self.ended += ended;
        // Tasks that are at one place from the start to the end are no sample of anything: their time counts, and
        // varies as the windows say.
        if ended > 0 {
            self.stats.merge(&row.stats);
            let quartic = |(ns, episodes): (u64, u64)| (ns as f64).powi(4) * episodes as f64;
            let weight = 1.0 / row.stats.effective_part();
            self.fourth += row.stats.histogram().map(quartic).sum::<f64>() * weight.powi(3);
        }
        self.blocks.resize(blocks.of(run), 0);
        for &(window, ns) in &row.windows {
            if let Some(block) = self.blocks.get_mut(blocks.number(window)) {
                *block = block.saturating_add(ns);
            }
        }
    }

    /// How many episodes that were seen to end, each for itself, would tell as much.
    pub(super) fn effective(&self) -> f64 {
        self.ended as f64 * self.stats.effective_part()
    }

    pub(super) fn merge(&mut self, other: &Measure) {
        self.total_ns = self.total_ns.saturating_add(other.total_ns);
        self.stats.merge(&other.stats);
        self.ended += other.ended;
        self.fourth += other.fourth;
        self.blocks.resize(self.blocks.len().max(other.blocks.len()), 0);
        for (sum, ns) in self.blocks.iter_mut().zip(&other.blocks) {
            *sum = sum.saturating_add(*ns);
        }
    }
}
