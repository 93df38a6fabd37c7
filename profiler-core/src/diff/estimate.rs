//! Rates with what is known of their errors.

use super::align::Place;
use super::measure::{Blocks, Measure};
use crate::profile::{Profile, Stats};

/// What the time of a node is divided by, to compare recordings of different lengths.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Exposure {
    /// Seconds of recording: rates are ns of task time per second.
    #[default]
    Seconds,
    /// Seconds of task time: rates are shares of the whole, in ns per second of it.
    Share,
}

impl Exposure {
    /// How much of it each run has.
    pub(super) fn of(self, run: &Profile, root: &Measure) -> f64 {
        let ns = match self {
            Exposure::Seconds => run.meta.duration_ns,
            Exposure::Share => root.total_ns,
        };
        // An empty run has no rates: all zero.
        ns.max(1) as f64 / 1e9
    }
}

/// A node on one side.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Estimate {
    /// ns per unit of exposure.
    pub rate: f64,
    /// Episodes seen to end, in all runs.
    pub episodes: u64,
    /// Over all episodes, except at places where none ended.
    pub stats: Stats,
    pub(super) spread: Spread,
    /// The rate of each run.
    pub(super) rates: Vec<f64>,
}

/// A variance, and how well it is known.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Spread {
    pub(super) variance: f64,
    /// Degrees of freedom.
    pub(super) dof: f64,
}

impl Default for Spread {
    fn default() -> Spread {
        Spread {
            variance: 0.0,
            dof: f64::INFINITY,
        }
    }
}

impl Spread {
    fn larger(self, other: Spread) -> Spread {
        if other.variance > self.variance {
            other
        } else {
            self
        }
    }

    /// Of a sum of independent values, by Satterthwaite's approximation.
    pub(super) fn sum(parts: &[Spread]) -> Spread {
        let variance: f64 = parts.iter().map(|part| part.variance).sum();
        let uncertainty: f64 = parts.iter().map(|part| part.variance.powi(2) / part.dof).sum();
        match variance > 0.0 && uncertainty > 0.0 {
            true => Spread {
                variance,
                dof: variance.powi(2) / uncertainty,
            },
            false => Spread {
                variance,
                ..Spread::default()
            },
        }
    }

    /// Of the value multiplied by `factor`.
    fn scaled(self, factor: f64) -> Spread {
        Spread {
            variance: self.variance * factor.powi(2),
            dof: self.dof,
        }
    }
}

/// The runs of one side.
pub(super) struct Side<'a> {
    runs: &'a [&'a Profile],
    /// Position of the first run in the measures of a place.
    first: usize,
    blocks: Blocks,
    exposures: Vec<f64>,
}

impl<'a> Side<'a> {
    pub(super) fn new(
        runs: &'a [&'a Profile],
        first: usize,
        blocks: Blocks,
        exposure: Exposure,
        root: &Place,
    ) -> Side<'a> {
        let roots = &root.measures[first..];
        Side {
            runs,
            first,
            blocks,
            exposures: runs
                .iter()
                .zip(roots)
                .map(|(run, root)| exposure.of(run, root))
                .collect(),
        }
    }

    fn measures<'p>(&self, place: &'p Place) -> &'p [Measure] {
        &place.measures[self.first..self.first + self.runs.len()]
    }

    pub(super) fn estimate(&self, place: &Place) -> Estimate {
        let measures = self.measures(place);
        let mut estimate = Estimate::default();
        let mut spreads = Vec::new();
        for (at, measure) in measures.iter().enumerate() {
            estimate.rates.push(measure.total_ns as f64 / self.exposures[at]);
            spreads.push(of_episodes(measure, self.exposures[at]).larger(self.of_blocks(at, measure)));
            estimate.episodes += measure.ended;
            estimate.stats.merge(&measure.stats);
        }
        let runs = measures.len() as f64;
        estimate.rate = estimate.rates.iter().sum::<f64>() / runs;
        estimate.spread = Spread::sum(&spreads).scaled(1.0 / runs);
        estimate
    }

    fn of_blocks(&self, at: usize, measure: &Measure) -> Spread {
        let rates = self.block_rates(at, measure);
        if rates.len() < 2 {
            return Spread::default();
        }
        Spread {
            variance: variance(&rates) / rates.len() as f64,
            dof: rates.len() as f64 - 1.0,
        }
    }

    /// The rate in each block of the run.
    fn block_rates(&self, at: usize, measure: &Measure) -> Vec<f64> {
        let run = self.runs[at];
        let seconds = run.meta.duration_ns.max(1) as f64 / 1e9;
        let exposure = self.exposures[at] / seconds * self.blocks.seconds(run);
        let mut rates: Vec<f64> = measure.blocks.iter().map(|&ns| ns as f64 / exposure).collect();
        rates.resize(self.blocks.of(run), 0.0);
        rates
    }

    /// The rates in the blocks of all runs.
    pub(super) fn all_block_rates(&self, place: &Place) -> Vec<f64> {
        let measures = self.measures(place).iter().enumerate();
        measures
            .flat_map(|(at, measure)| self.block_rates(at, measure))
            .collect()
    }
}

/// Compound Poisson: episodes come independently, so the variance of their sum is Σ ns². It is known as well as the
/// squares are alike: 2 (Σ ns²)² / Σ ns⁴ degrees of freedom.
fn of_episodes(measure: &Measure, exposure: f64) -> Spread {
    let squares = measure.stats.sum_sq_ns2 as f64;
    if squares <= 0.0 {
        return Spread::default();
    }
    Spread {
        variance: squares / exposure.powi(2),
        dof: match measure.fourth > 0.0 {
            true => 2.0 * squares.powi(2) / measure.fourth,
            false => 2.0 * measure.ended as f64,
        },
    }
}

/// Around the mean.
pub(super) fn variance(values: &[f64]) -> f64 {
    if values.len() < 2 {
        return 0.0;
    }
    squared_deviations(values) / (values.len() as f64 - 1.0)
}

pub(super) fn squared_deviations(values: &[f64]) -> f64 {
    let mean = values.iter().sum::<f64>() / values.len() as f64;
    values.iter().map(|value| (value - mean).powi(2)).sum()
}

/// The spread of the difference of two sides: from within the runs, or from between them where that is larger.
pub(super) fn of_difference(base: &Estimate, new: &Estimate) -> Spread {
    let within = Spread::sum(&[base.spread, new.spread]);
    let (base_runs, new_runs) = (base.rates.len() as f64, new.rates.len() as f64);
    let dof = base_runs + new_runs - 2.0;
    if dof < 1.0 {
        return within;
    }
    let pooled = (squared_deviations(&base.rates) + squared_deviations(&new.rates)) / dof;
    within.larger(Spread {
        variance: pooled * (1.0 / base_runs + 1.0 / new_runs),
        dof,
    })
}
