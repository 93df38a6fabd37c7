//! "Did anything get slower at all?", with a known chance of a false alarm however many nodes there are: the largest
//! of all standardised effects, compared with the largest ones when the labels of the windows (or runs) are permuted.

use super::compare::{ALPHA, DiffNode, Verdict};
use super::estimate::squared_deviations;
use super::quantiles::t_quantile;

/// So many errors more than what is remarkable, and four of five times it is still remarkable.
const POWER: f64 = 0.842;
/// Random permutations, where there are more than can be gone through.
const PERMUTATIONS: usize = 999;
/// Fewer cannot show anything at 5 %.
const MIN_PERMUTATIONS: usize = 20;
/// Up to so many windows, all permutations are gone through.
const MAX_EXHAUSTIVE: usize = 12;

/// The answer: p-values, and what size of a change they would have shown.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Gate {
    /// How often chance alone makes something slower as much.
    pub slower: f64,
    pub faster: f64,
    /// A change of this rate in one direction would have been seen in four of five cases, wherever it was; infinite
    /// if none would.
    pub detectable: f64,
    /// Likewise, if both directions are watched, each with half of the false alarms.
    pub detectable_either: f64,
    pub by: Dealt,
}

/// What the labels of both sides were dealt among.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Dealt {
    Windows,
    Runs,
    /// Nothing: the smallest p-value times their number.
    Nothing,
}

/// A node that takes part.
pub(super) struct Tested {
    pub(super) base_runs: Vec<f64>,
    pub(super) new_runs: Vec<f64>,
    pub(super) base_blocks: Vec<f64>,
    pub(super) new_blocks: Vec<f64>,
    /// Of the effect, as the node's verdict has it.
    pub(super) standard_error: f64,
    /// Its own effect may raise the alarm: it is neither too small to matter nor moved.
    pub(super) alarms: bool,
    /// The part of a change below it that can be seen in it.
    pub(super) visible: f64,
    /// A change at the end of a stack shows here first: no node further down takes part.
    pub(super) is_watch: bool,
}

/// None if there are too few windows and runs.
pub(super) fn gate(tested: &[Tested]) -> Option<Gate> {
    let first = tested.first()?;
    let by_runs = permutations(first.base_runs.len(), first.new_runs.len()) >= MIN_PERMUTATIONS;
    let sides = |node: &Tested| match by_runs {
        true => (node.base_runs.clone(), node.new_runs.clone()),
        false => (node.base_blocks.clone(), node.new_blocks.clone()),
    };
    let (base, new) = sides(first);
    if permutations(base.len(), new.len()) < MIN_PERMUTATIONS {
        return None;
    }
    // Swapped sides must give swapped answers: the same draws for both.
    let order = tested.iter().map(|node| {
        let (base, new) = sides(node);
        base.len()
            .cmp(&new.len())
            .then(base.iter().sum::<f64>().total_cmp(&new.iter().sum()))
    });
    let is_swapped = order
        .into_iter()
        .find(|order| order.is_ne())
        .is_some_and(|order| order.is_gt());
    let nodes: Vec<Permuted> = tested
        .iter()
        .map(|node| {
            let (base, new) = sides(node);
            let (first, second) = if is_swapped { (new, base) } else { (base, new) };
            Permuted::new(first, second, node)
        })
        .collect();
    let firsts = if is_swapped { new.len() } else { base.len() };
    let extremes = Extremes::of(&nodes, firsts, base.len() + new.len());
    let observed = nodes.iter().filter(|node| node.alarms).map(|node| node.observed);
    let [most, least] = observed.fold([0.0_f64; 2], |[most, least], t| [most.max(t), least.min(t)]);
    let more = extremes.p(&extremes.increases, most);
    let less = extremes.p(&extremes.decreases, -least);
    let (slower, faster) = if is_swapped { (less, more) } else { (more, less) };
    let detectable = |level| {
        let critical = extremes.critical(level);
        let watching = nodes.iter().filter(|node| node.is_watch);
        watching.map(|node| node.detectable(critical)).fold(0.0, f64::max)
    };
    Some(Gate {
        slower,
        faster,
        detectable: detectable(ALPHA),
        detectable_either: detectable(ALPHA / 2.0),
        by: if by_runs { Dealt::Runs } else { Dealt::Windows },
    })
}

/// Where there is nothing to deal: each p-value times their number (Bonferroni). Rates are shares of so many samples
/// on the side that has fewer.
pub(super) fn gate_without_windows(nodes: &[DiffNode], min_effect_rate: f64, samples: f64) -> Gate {
    let tested = || nodes.iter().filter(|node| node.p.is_some());
    let count = tested().count().max(1) as f64;
    let least = |sign: f64| {
        let alarming = tested().filter(|node| {
            node.verdict != Verdict::Moved && node.effect * sign >= min_effect_rate && node.effect != 0.0
        });
        let p_values = alarming.filter_map(|node| node.p).map(|p| p / 2.0 * count);
        p_values.fold(1.0, f64::min)
    };
    let detectable = |level: f64| {
        let reach = t_quantile(1.0 - level / count, f64::INFINITY) + POWER;
        let of = |node: &DiffNode| {
            let visible = 1.0 - node.base.rate.max(node.new.rate) / 1e9;
            reach * node.standard_error / visible
        };
        // A place with next to no samples has next to no error until it gets some.
        let of_rare = reach.powi(2) / samples * 1e9;
        let ends = tested().filter(|node| node.children.is_empty());
        ends.map(of).fold(of_rare, f64::max)
    };
    Gate {
        slower: least(1.0),
        faster: least(-1.0),
        detectable: detectable(ALPHA),
        detectable_either: detectable(ALPHA / 2.0),
        by: Dealt::Nothing,
    }
}

/// One node's values, both sides in a row.
struct Permuted {
    values: Vec<f64>,
    sum: f64,
    /// Of the difference of two means of values taken at random.
    error: f64,
    /// The larger one of this and the usual error.
    larger: f64,
    /// The observed effect, by the larger error.
    observed: f64,
    alarms: bool,
    visible: f64,
    is_watch: bool,
}

impl Permuted {
    fn new(first: Vec<f64>, second: Vec<f64>, node: &Tested) -> Permuted {
        let values = [first.as_slice(), second.as_slice()].concat();
        let (n, m) = (first.len() as f64, second.len() as f64);
        let error = (squared_deviations(&values) / (n + m - 1.0) * (1.0 / n + 1.0 / m)).sqrt();
        let effect = second.iter().sum::<f64>() / m - first.iter().sum::<f64>() / n;
        let larger = error.max(node.standard_error);
        Permuted {
            sum: values.iter().sum(),
            observed: if larger > 0.0 { effect / larger } else { 0.0 },
            error,
            larger,
            values,
            alarms: node.alarms,
            visible: node.visible,
            is_watch: node.is_watch,
        }
    }

    /// The change that is seen in four of five cases, where it takes so many errors.
    fn detectable(&self, critical: f64) -> f64 {
        // A change makes the values more unlike, and so the error larger by which it is divided.
        let others = self.values.len() as f64 - 1.0 - critical.powi(2);
        if others <= 0.0 || self.visible <= 0.0 {
            return f64::INFINITY;
        }
        let inflated = critical * ((self.values.len() as f64 - 2.0) / others).sqrt();
        ((inflated * self.error).max(critical * self.larger) + POWER * self.larger) / self.visible
    }

    fn effect_of(&self, firsts: &[usize]) -> f64 {
        if self.error <= 0.0 {
            return 0.0;
        }
        let n = firsts.len() as f64;
        let m = self.values.len() as f64 - n;
        let sum: f64 = firsts.iter().map(|&at| self.values[at]).sum();
        ((self.sum - sum) / m - sum / n) / self.error
    }
}

/// The largest effects that chance alone gives somewhere, one for each way to deal the labels.
struct Extremes {
    /// Largest first.
    increases: Vec<f64>,
    decreases: Vec<f64>,
    /// Dealt at random; else all ways.
    is_drawn: bool,
}

impl Extremes {
    fn of(nodes: &[Permuted], firsts: usize, count: usize) -> Extremes {
        let mut extremes = Extremes {
            increases: Vec::new(),
            decreases: Vec::new(),
            is_drawn: count > MAX_EXHAUSTIVE,
        };
        let mut deal = |chosen: &[usize]| {
            let effects = nodes.iter().map(|node| node.effect_of(chosen));
            let [up, down] = effects.fold([0.0_f64; 2], |[up, down], t| [up.max(t), down.max(-t)]);
            extremes.increases.push(up);
            extremes.decreases.push(down);
        };
        if count <= MAX_EXHAUSTIVE {
            for mask in 0_u32..1 << count {
                if mask.count_ones() as usize == firsts {
                    let chosen: Vec<usize> = (0..count).filter(|at| mask >> at & 1 == 1).collect();
                    deal(&chosen);
                }
            }
        } else {
            let mut random = Random(0x5eed);
            let mut order: Vec<usize> = (0..count).collect();
            for _ in 0..PERMUTATIONS {
                for at in 0..firsts {
                    order.swap(at, at + random.below(count - at));
                }
                deal(&order[..firsts]);
            }
        }
        for sizes in [&mut extremes.increases, &mut extremes.decreases] {
            sizes.sort_by(|a, b| b.total_cmp(a));
        }
        extremes
    }

    /// How often chance gives as much, of these sizes.
    fn p(&self, sizes: &[f64], observed: f64) -> f64 {
        // The same labels give the same sums up to rounding.
        let as_much = sizes.iter().filter(|size| **size >= observed - 1e-9).count();
        // The observed labels are one way, too.
        let own = usize::from(self.is_drawn);
        (as_much + own) as f64 / (sizes.len() + own) as f64
    }

    /// The size that is remarkable at the level, in either direction; infinite if none is.
    fn critical(&self, level: f64) -> f64 {
        let of = |sizes: &[f64]| {
            let own = usize::from(self.is_drawn);
            let allowed = (level * (sizes.len() + own) as f64 + 1e-9) as usize;
            let last = allowed.checked_sub(1).and_then(|at| sizes.get(at));
            last.copied().unwrap_or(f64::INFINITY)
        };
        of(&self.increases).max(of(&self.decreases))
    }
}

/// How many ways there are to label so many; at most 10^6.
fn permutations(base: usize, new: usize) -> usize {
    let mut ways = 1usize;
    for at in 1..=base.min(new) {
        ways = (ways * (base.max(new) + at) / at).min(1_000_000);
    }
    ways
}

/// SplitMix64 (Steele, Lea and Flood, 2014): the same draws everywhere.
pub(super) struct Random(pub(super) u64);

impl Random {
    pub(super) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// From 0 to `n` - 1.
    pub(super) fn below(&mut self, n: usize) -> usize {
        ((u128::from(self.next()) * n as u128) >> 64) as usize
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ways_to_label() {
        assert_eq!(permutations(3, 3), 20);
        assert_eq!(permutations(1, 4), 5);
        assert_eq!(permutations(0, 4), 1);
        assert_eq!(permutations(64, 64), 1_000_000);
    }
}
