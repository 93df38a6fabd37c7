//! Units of work (requests, jobs): counted where the program says that some are done.

use super::HashMap;

use super::labels::RawLabelsId;
use super::raw::RawGroupId;
use super::rows::WINDOW_NS;
use super::weight::Weight;
use crate::profile::Stats;

/// Work done by the tasks of one group under one set of labels.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RawWork {
    pub process: u32,
    /// None if no task did it.
    pub group: Option<RawGroupId>,
    pub labels: RawLabelsId,
    pub units: u64,
    /// Each report of work since the label that began it, or since the last report.
    pub pieces: Stats,
    /// (window number, units), ascending.
    pub windows: Vec<(u32, u64)>,
}

/// One report of work.
#[derive(Clone, Copy, Debug)]
pub(super) struct Done {
    pub(super) process: u32,
    pub(super) group: Option<RawGroupId>,
    pub(super) labels: RawLabelsId,
    pub(super) units: u64,
    pub(super) at_ns: u64,
    /// When this piece was begun, if that was told.
    pub(super) begun_ns: Option<u64>,
    /// Of the task: what others that it stands for have done, nobody told.
    pub(super) weight: Weight,
}

#[derive(Clone, Debug, Default)]
pub(super) struct Work {
    index: HashMap<(u32, Option<RawGroupId>, RawLabelsId), usize>,
    work: Vec<RawWork>,
}

impl Work {
    pub(super) fn add(&mut self, done: Done) {
        let Done {
            process,
            group,
            labels,
            units,
            at_ns,
            begun_ns,
            weight,
        } = done;
        let weight = weight.get();
        let units = units.saturating_mul(weight);
        let next = self.work.len();
        let at = *self.index.entry((process, group, labels)).or_insert(next);
        if at == next {
            self.work.push(RawWork {
                process,
                group,
                labels,
                units: 0,
                pieces: Stats::default(),
                windows: Vec::new(),
            });
        }
        let work = &mut self.work[at];
        work.units = work.units.saturating_add(units);
        if let Some(begun_ns) = begun_ns {
            work.pieces.add_weighted(at_ns.saturating_sub(begun_ns), weight);
        }
        // Never above: see `MAX_NS`.
        let window = u32::try_from(at_ns / WINDOW_NS).unwrap_or(u32::MAX);
        // Time goes forward: nearly always the last one.
        let at = work.windows.partition_point(|entry| entry.0 < window);
        match work.windows.get_mut(at) {
            Some(entry) if entry.0 == window => entry.1 = entry.1.saturating_add(units),
            _ => work.windows.insert(at, (window, units)),
        }
    }

    pub(super) fn begin_anew(&mut self) {
        self.index.clear();
        self.work.clear();
    }

    pub(super) fn finish(self) -> Vec<RawWork> {
        self.work
    }
}
