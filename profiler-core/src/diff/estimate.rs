//! Rates with what is known of their errors.

use super::align::Place;
use super::exposure::{Exposed, Exposure};
use super::measure::{Blocks, Measure};
use super::runs::Run;
use crate::profile::Stats;

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
    /// The variance if all episodes were independent.
    pub(super) episodic: f64,
    /// The rate of each run.
    pub(super) rates: Vec<f64>,
}

impl Estimate {
    /// How many episodes, each of them seen, would tell as much.
    pub(super) fn effective(&self) -> f64 {
        self.episodes as f64 * self.stats.effective_part()
    }
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
    runs: &'a [&'a Run],
    /// Position of the first run in the measures of a place.
    first: usize,
    blocks: Blocks,
    exposed: &'a [Exposed],
    /// By run, where rates are shares of it.
    whole: Option<&'a [Measure]>,
}

impl<'a> Side<'a> {
    /// `exposed`: of the runs of both sides.
    pub(super) fn new(
        runs: &'a [&'a Run],
        first: usize,
        blocks: Blocks,
        (exposure, exposed): (Exposure, &'a [Exposed]),
        root: &'a Place,
    ) -> Side<'a> {
        let own = first..first + runs.len();
        Side {
            runs,
            first,
            blocks,
            exposed: &exposed[own.clone()],
            whole: (exposure == Exposure::Share).then(|| &root.measures[own]),
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
            let rate = self.rate(at, measure);
            let of_episodes = self.of_episodes(at, measure);
            estimate.episodic += of_episodes.variance;
            spreads.push(of_episodes.larger(self.of_blocks(at, measure)));
            spreads.push(self.exposed[at].relative.scaled(rate));
            estimate.rates.push(rate);
            estimate.episodes += measure.ended;
            estimate.stats.merge(&measure.stats);
        }
        let runs = measures.len() as f64;
        estimate.rate = estimate.rates.iter().sum::<f64>() / runs;
        estimate.episodic /= runs.powi(2);
        estimate.spread = Spread::sum(&spreads).scaled(1.0 / runs);
        estimate
    }

    fn rate(&self, at: usize, measure: &Measure) -> f64 {
        measure.total_ns as f64 / self.exposed[at].total
    }

    /// Compound Poisson: episodes come independently, so the variance of their sum is Σ ns². It is known as well as the
    /// squares are alike: 2 (Σ ns²)² / Σ ns⁴ degrees of freedom. A share moves with the rest of the whole, too.
    fn of_episodes(&self, at: usize, measure: &Measure) -> Spread {
        let (mut squares, mut fourth) = (measure.stats.sum_sq_ns2 as f64, measure.fourth);
        if let Some(whole) = self.whole {
            let share = self.rate(at, measure) / 1e9;
            let rest = |whole: f64, own: f64| (whole - own).max(0.0);
            let rest_squares = rest(whole[at].stats.sum_sq_ns2 as f64, squares);
            let rest_fourth = rest(whole[at].fourth, fourth);
            squares = (1.0 - share).powi(2) * squares + share.powi(2) * rest_squares;
            fourth = (1.0 - share).powi(4) * fourth + share.powi(4) * rest_fourth;
        }
        if squares <= 0.0 {
            return Spread::default();
        }
        Spread {
            variance: squares / self.exposed[at].total.powi(2),
            dof: match fourth > 0.0 {
                true => 2.0 * squares.powi(2) / fourth,
                false => 2.0 * measure.ended as f64,
            },
        }
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

    /// The rate in each block of the run. Where blocks are exposed to more or less, it is linearised: what counts is
    /// how far the time in a block is from what its exposure would have.
    fn block_rates(&self, at: usize, measure: &Measure) -> Vec<f64> {
        let exposed = &self.exposed[at];
        let rate = self.rate(at, measure);
        let in_block = |block: usize| {
            let ns = measure.blocks.get(block).copied().unwrap_or(0) as f64;
            (ns - rate * exposed.surplus(block)) / exposed.a_block
        };
        (0..self.blocks.of(self.runs[at])).map(in_block).collect()
    }

    pub(super) fn exposed_per_second(&self) -> f64 {
        let ns: u64 = self.runs.iter().map(|run| run.meta.duration_ns).sum();
        let total: f64 = self.exposed.iter().map(|run| run.total).sum();
        total / (ns.max(1) as f64 / 1e9)
    }

    /// The part of a change that moves a node of this rate: what makes a part larger makes the whole larger, too.
    pub(super) fn visible(&self, rate: f64) -> f64 {
        match self.whole {
            Some(_) => 1.0 - rate / 1e9,
            None => 1.0,
        }
    }

    /// The rates in the blocks of all runs.
    pub(super) fn all_block_rates(&self, place: &Place) -> Vec<f64> {
        let measures = self.measures(place).iter().enumerate();
        measures
            .flat_map(|(at, measure)| self.block_rates(at, measure))
            .collect()
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
