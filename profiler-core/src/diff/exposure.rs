//! What the time of a node is divided by, so that recordings can be compared: how much of it each run has.

use super::align::Place;
use super::estimate::Spread;
use super::measure::Blocks;
use super::runs::Run;
use crate::view::{Activity, FrameKind};

/// Places with fewer episodes in a run say too little about its load.
const MIN_EPISODES: f64 = 20.0;

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Exposure {
    /// Seconds of recording: rates are ns of task time per second.
    #[default]
    Seconds,
    /// Units of work that the program counted: rates are ns of task time per unit.
    Work,
    /// Seconds of recording at equal load: as many times as there are more episodes (median of all places), a second
    /// counts for more.
    Load,
    /// Seconds of task time: rates are shares of the whole, in ns per second of it.
    Share,
}

impl Exposure {
    /// Units of work if all runs counted them, else seconds.
    pub(super) fn usual<'a>(mut runs: impl Iterator<Item = &'a Run>) -> Exposure {
        match runs.all(counts_work) {
            true => Exposure::Work,
            false => Exposure::Seconds,
        }
    }
}

pub fn counts_work(run: &Run) -> bool {
    run.work.iter().any(|work| work.units > 0)
}

/// What one run has of it.
#[derive(Clone, Debug)]
pub(super) struct Exposed {
    pub(super) total: f64,
    /// In each block of windows, in the mean of those.
    pub(super) a_block: f64,
    /// In each block, where that is counted; else the mean.
    blocks: Option<Vec<f64>>,
    /// The error of the total, as a part of it; for what is estimated.
    pub(super) relative: Spread,
}

impl Exposed {
    fn seconds(run: &Run, blocks: Blocks) -> Exposed {
        Exposed::of(run, blocks, run.meta.duration_ns as f64 / 1e9)
    }

    fn of(run: &Run, blocks: Blocks, total: f64) -> Exposed {
        // An empty run has no rates: all zero.
        let seconds = run.meta.duration_ns.max(1) as f64 / 1e9;
        let total = total.max(1e-9);
        Exposed {
            total,
            a_block: total / seconds * blocks.seconds(run),
            blocks: None,
            relative: Spread::default(),
        }
    }

    /// What the block has more than the mean of all.
    pub(super) fn surplus(&self, block: usize) -> f64 {
        match &self.blocks {
            Some(blocks) => blocks[block] - self.a_block,
            None => 0.0,
        }
    }
}

/// By run.
pub(super) fn exposed(exposure: Exposure, runs: &[&Run], blocks: Blocks, places: &[Place]) -> Vec<Exposed> {
    match exposure {
        Exposure::Seconds => runs.iter().map(|run| Exposed::seconds(run, blocks)).collect(),
        Exposure::Work => runs.iter().map(|run| units_of_work(run, blocks)).collect(),
        Exposure::Load => {
            let loads = loads(runs, places);
            let with_load = |(run, (load, relative)): (&&Run, (f64, Spread))| {
                let seconds = run.meta.duration_ns as f64 / 1e9;
                Exposed {
                    relative,
                    ..Exposed::of(run, blocks, seconds * load)
                }
            };
            runs.iter().zip(loads).map(with_load).collect()
        }
        Exposure::Share => {
            let whole = |(run, all): (&&Run, &super::measure::Measure)| {
                let mut exposed = Exposed::of(run, blocks, all.total_ns as f64 / 1e9);
                let mut in_blocks: Vec<f64> = all.blocks.iter().map(|&ns| ns as f64 / 1e9).collect();
                in_blocks.resize(blocks.of(run), 0.0);
                exposed.blocks = Some(in_blocks);
                exposed
            };
            runs.iter().zip(&places[0].measures).map(whole).collect()
        }
    }
}

fn units_of_work(run: &Run, blocks: Blocks) -> Exposed {
    let units: f64 = run.work.iter().map(|work| work.units as f64).sum();
    let mut in_blocks = vec![0.0; blocks.of(run)];
    for &(window, units) in run.work.iter().flat_map(|work| &work.windows) {
        if let Some(block) = in_blocks.get_mut(blocks.number(window)) {
            *block += units as f64;
        }
    }
    Exposed {
        blocks: Some(in_blocks),
        ..Exposed::of(run, blocks, units)
    }
}

/// Median of ratios (Anders and Huber): in each place how many more episodes a second the run has than the geometric
/// mean of all runs, and of these ratios the median, with its error. As many as there are in the mean of all runs are 1.
fn loads(runs: &[&Run], places: &[Place]) -> Vec<(f64, Spread)> {
    let mut ends: Vec<bool> = vec![true; places.len()];
    places.iter().skip(1).for_each(|place| ends[place.parent] = false);
    let counted = |is_usable: fn(FrameKind) -> bool| -> Vec<Vec<f64>> {
        let usable = places.iter().zip(&ends).filter(|(place, is_end)| {
            let enough = place
                .measures
                .iter()
                .all(|measure| measure.effective() >= MIN_EPISODES);
            **is_end && enough && is_usable(place.kind)
        });
        usable.map(|(place, _)| log_ratios(runs, place)).collect()
    };
    // Samples cut running into as many episodes as they come often.
    let mut ratios =
        counted(|kind| !matches!(kind, FrameKind::State(activity) if Activity::is_running(activity)));
    if ratios.is_empty() {
        ratios = counted(|_| true);
    }
    let median_of_run = |run: usize| {
        let mut of_run: Vec<f64> = ratios.iter().map(|ratios| ratios[run]).collect();
        let (middle, count) = (median(&mut of_run), of_run.len() as f64);
        let mut away: Vec<f64> = of_run.iter().map(|ratio| (ratio - middle).abs()).collect();
        let deviation = 1.4826 * median(&mut away);
        // The mean of all runs has part of each run's error: what is left of it is smaller by that part.
        let runs = runs.len() as f64;
        let variance = std::f64::consts::FRAC_PI_2 * deviation.powi(2) / count.max(1.0) * runs / (runs - 1.0);
        let dof = (count - 1.0).max(1.0);
        (middle.exp(), Spread { variance, dof })
    };
    (0..runs.len()).map(median_of_run).collect()
}

fn log_ratios(runs: &[&Run], place: &Place) -> Vec<f64> {
    let per_second = |(run, measure): (&&Run, &super::measure::Measure)| {
        (measure.ended as f64 / run.meta.duration_ns.max(1) as f64).ln()
    };
    let logs: Vec<f64> = runs.iter().zip(&place.measures).map(per_second).collect();
    // In order of size: swapped sides have the same sum to the last bit.
    let mut sorted = logs.clone();
    sorted.sort_by(f64::total_cmp);
    let mean = sorted.iter().sum::<f64>() / logs.len() as f64;
    logs.iter().map(|log| log - mean).collect()
}

/// 0 of nothing.
fn median(values: &mut [f64]) -> f64 {
    values.sort_by(f64::total_cmp);
    match values.len() {
        0 => 0.0,
        odd if odd % 2 == 1 => values[odd / 2],
        even => (values[even / 2 - 1] + values[even / 2]) / 2.0,
    }
}
