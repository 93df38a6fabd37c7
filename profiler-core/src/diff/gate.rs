//! "Did anything get slower at all?", with a known chance of a false alarm however many nodes there are: the largest
//! of all standardised effects, compared with the largest ones when the labels of the windows (or runs) are permuted.

use super::estimate::squared_deviations;

/// Random permutations, where there are more than can be gone through.
const PERMUTATIONS: usize = 999;
/// Fewer cannot show anything at 5 %.
const MIN_PERMUTATIONS: usize = 20;
/// Up to so many windows, all permutations are gone through.
const MAX_EXHAUSTIVE: usize = 12;
/// Nodes that take part: those with most time.
const MAX_NODES: usize = 2000;

/// The answer: p-values.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Gate {
    /// That something got slower though nothing did.
    pub slower: f64,
    pub faster: f64,
    /// Runs were permuted, not windows.
    pub by_runs: bool,
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
}

/// None if there are too few windows and runs.
pub(super) fn gate(mut tested: Vec<Tested>) -> Option<Gate> {
    let weight = |node: &Tested| node.base_runs.iter().chain(&node.new_runs).sum::<f64>();
    tested.sort_by(|a, b| weight(b).total_cmp(&weight(a)));
    tested.truncate(MAX_NODES);
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
    let [more, less] = p_values(&nodes, firsts, base.len() + new.len());
    let (slower, faster) = if is_swapped { (less, more) } else { (more, less) };
    Some(Gate {
        slower,
        faster,
        by_runs,
    })
}

/// One node's values, both sides in a row.
struct Permuted {
    values: Vec<f64>,
    sum: f64,
    /// Of the difference of two means of values taken at random.
    error: f64,
    /// The observed effect, by the larger error.
    observed: f64,
    alarms: bool,
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
            values,
            alarms: node.alarms,
        }
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

/// How often chance alone gives as much: an increase, and a decrease.
fn p_values(nodes: &[Permuted], firsts: usize, count: usize) -> [f64; 2] {
    let observed = nodes.iter().filter(|node| node.alarms).map(|node| node.observed);
    let [most, least] = observed.fold([0.0_f64; 2], |[most, least], t| [most.max(t), least.min(t)]);
    let mut as_much = [0usize; 2];
    let mut drawn = 0usize;
    let mut draw = |chosen: &[usize]| {
        let effects = nodes.iter().map(|node| node.effect_of(chosen));
        let [up, down] = effects.fold([0.0_f64; 2], |[up, down], t| [up.max(t), down.min(t)]);
        // The same labels give the same sums up to rounding.
        as_much[0] += usize::from(up >= most - 1e-9);
        as_much[1] += usize::from(down <= least + 1e-9);
        drawn += 1;
    };
    if count <= MAX_EXHAUSTIVE {
        for mask in 0_u32..1 << count {
            if mask.count_ones() as usize == firsts {
                let chosen: Vec<usize> = (0..count).filter(|at| mask >> at & 1 == 1).collect();
                draw(&chosen);
            }
        }
        return as_much.map(|times| times as f64 / drawn as f64);
    }
    let mut random = Random(0x5eed);
    let mut order: Vec<usize> = (0..count).collect();
    for _ in 0..PERMUTATIONS {
        for at in 0..firsts {
            order.swap(at, at + random.below(count - at));
        }
        draw(&order[..firsts]);
    }
    // The observed labels are one permutation, too.
    as_much.map(|times| (times + 1) as f64 / (drawn + 1) as f64)
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
