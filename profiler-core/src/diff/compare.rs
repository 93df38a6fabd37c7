//! The comparison: for each node an effect with its interval, a q-value and a verdict.

use super::align::{Laid, Place, align};
use super::blame::blame;
use super::estimate::{Estimate, Side, of_difference};
use super::exposure::{Exposure, exposed};
use super::gate::{Gate, gate};
use super::measure::Blocks;
use super::percentiles::{Length, Percentile, percentiles};
use super::quantiles::{q_values, t_quantile, two_sided_p};
use super::runs::{Run, Runs};
use super::watch::watched;
use crate::profile::Profile;
use crate::view::{By, FrameKind, Rules};

/// Of the nodes said to have changed, so many are wrong on average; and the chance of the gate's false alarm.
pub(super) const ALPHA: f64 = 0.05;

/// Nodes with fewer episodes, both sides taken together, are not tested.
pub(super) const MIN_EPISODES: f64 = 20.0;

#[derive(Clone, Debug)]
pub struct DiffOptions {
    pub by: By,
    /// None: units of work if all runs counted them, else seconds.
    pub exposure: Option<Exposure>,
    /// A change below this part of the total rate does not matter.
    pub min_effect: f64,
    /// "Nothing changed" needs data in which a change of this part of the total rate would have been seen.
    pub detectable: f64,
    /// Compare functions by their whole names.
    pub exact_names: bool,
    pub rules: Rules,
}

impl Default for DiffOptions {
    fn default() -> DiffOptions {
        DiffOptions {
            by: By::Wall,
            exposure: None,
            min_effect: 0.01,
            detectable: 0.1,
            exact_names: false,
            rules: Rules::default(),
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Verdict {
    Slower,
    Faster,
    /// Only in the new runs.
    New,
    /// Only in the base runs.
    Gone,
    /// Lost here and gained elsewhere, or the other way round.
    Moved,
    /// Whatever the change is, it is smaller than what matters.
    Unchanged,
    Inconclusive,
    /// Too few episodes to test anything.
    Rare,
}

impl Verdict {
    /// There is a change.
    pub fn is_change(self) -> bool {
        use Verdict::*;
        matches!(self, Slower | Faster | New | Gone | Moved)
    }

    pub fn name(self) -> &'static str {
        match self {
            Verdict::Slower => "slower",
            Verdict::Faster => "faster",
            Verdict::New => "new",
            Verdict::Gone => "gone",
            Verdict::Moved => "moved",
            Verdict::Unchanged => "unchanged",
            Verdict::Inconclusive => "inconclusive",
            Verdict::Rare => "rare",
        }
    }
}

#[derive(Clone, Debug)]
pub struct DiffNode {
    pub name: String,
    pub kind: FrameKind,
    pub parent: usize,
    pub children: Vec<usize>,
    pub base: Estimate,
    pub new: Estimate,
    /// New rate − base rate.
    pub effect: f64,
    /// In which the true effect lies with 95 %.
    pub interval: (f64, f64),
    pub standard_error: f64,
    /// None where nothing was tested.
    pub p: Option<f64>,
    pub q: Option<f64>,
    pub verdict: Verdict,
    /// Of waits and delays at the ends of stacks.
    pub percentiles: Vec<Percentile>,
    /// The node that gained what this one lost, or the other way round.
    pub partner: Option<usize>,
}

/// Two sides compared.
#[derive(Clone, Debug)]
pub struct Diff {
    /// Parents before children, siblings by name; the first is the root.
    pub nodes: Vec<DiffNode>,
    /// Nodes that are to blame, largest effect first. What changed above them changed because of them.
    pub findings: Vec<usize>,
    /// Changes below this rate do not matter.
    pub min_effect_rate: f64,
    /// Of these it must be sure to see most, to say that there is none.
    pub detectable_rate: f64,
    /// What times are divided by.
    pub exposure: Exposure,
    /// What each side has of the exposure in a second.
    pub exposed_per_second: [f64; 2],
    /// "Did anything get slower, or faster, at all?" None if there is too little to tell.
    pub gate: Option<Gate>,
}

/// Compares recordings that are in memory anyway, as [`Runs`] does; each side has at least one.
pub fn compare(base: &[&Profile], new: &[&Profile], options: &DiffOptions) -> Diff {
    let mut runs = Runs::new(options);
    let [base, new] = [base, new].map(|side| {
        let added = side.iter().map(|&profile| runs.add(profile.clone()));
        added.collect::<Vec<Run>>()
    });
    runs.compare(&Vec::from_iter(&base), &Vec::from_iter(&new))
}

/// `laid` has the paths of all these.
pub(super) fn compare_laid(laid: Laid, base: &[&Run], new: &[&Run], options: &DiffOptions) -> Diff {
    let runs = [base, new].concat();
    let blocks = Blocks::for_runs(&runs);
    let places = align(laid, &runs, blocks, options);
    let usual = || Exposure::usual(runs.iter().copied());
    let exposure = options.exposure.unwrap_or_else(usual);
    let exposed = exposed(exposure, &runs, blocks, &places);
    let per = (exposure, exposed.as_slice());
    let base = Side::new(base, 0, blocks, per, &places[0]);
    let new = Side::new(new, runs.len() - new.len(), blocks, per, &places[0]);
    let mut nodes: Vec<DiffNode> = places.iter().map(|place| estimated(place, &base, &new)).collect();
    for index in 1..nodes.len() {
        let parent = nodes[index].parent;
        nodes[parent].children.push(index);
    }
    let total_rate = (nodes[0].base.rate + nodes[0].new.rate) / 2.0;
    let min_effect_rate = options.min_effect * total_rate;
    judge(&mut nodes, min_effect_rate);
    let findings = blame(&mut nodes, min_effect_rate);
    percentiles(&mut nodes);
    let tested = watched(&places, &nodes, [&base, &new], min_effect_rate);
    Diff {
        gate: gate(&tested),
        exposure,
        exposed_per_second: [base.exposed_per_second(), new.exposed_per_second()],
        detectable_rate: options.detectable * total_rate,
        nodes,
        findings,
        min_effect_rate,
    }
}

fn estimated(place: &Place, base: &Side<'_>, new: &Side<'_>) -> DiffNode {
    let estimates = [base.estimate(place), new.estimate(place)];
    node_of(place.name.clone(), place.kind, place.parent, estimates, true)
}

/// A node that is not judged yet, of the base's and the new side's estimate. `can_test`: whether these say how sure they
/// are.
pub(super) fn node_of(
    name: String,
    kind: FrameKind,
    parent: usize,
    [base, new]: [Estimate; 2],
    can_test: bool,
) -> DiffNode {
    let effect = new.rate - base.rate;
    let spread = of_difference(&base, &new);
    let standard_error = spread.variance.sqrt();
    let half = t_quantile(1.0 - ALPHA / 2.0, spread.dof) * standard_error;
    let is_tested = can_test && base.effective() + new.effective() >= MIN_EPISODES;
    let p = match standard_error > 0.0 {
        true => two_sided_p(effect / standard_error, spread.dof),
        false => 1.0,
    };
    DiffNode {
        name,
        kind,
        parent,
        children: Vec::new(),
        effect,
        interval: (effect - half, effect + half),
        standard_error,
        p: is_tested.then_some(p),
        q: None,
        verdict: if can_test {
            Verdict::Rare
        } else {
            Verdict::Inconclusive
        },
        percentiles: Vec::new(),
        partner: None,
        base,
        new,
    }
}

pub(super) fn judge(nodes: &mut [DiffNode], min_effect_rate: f64) {
    let tested: Vec<usize> = (0..nodes.len()).filter(|&at| nodes[at].p.is_some()).collect();
    let p_values: Vec<f64> = tested.iter().filter_map(|&at| nodes[at].p).collect();
    for (at, q) in tested.into_iter().zip(q_values(&p_values)) {
        let node = &mut nodes[at];
        node.q = Some(q);
        node.verdict = verdict(node, q <= ALPHA, min_effect_rate);
    }
}

fn verdict(node: &DiffNode, is_significant: bool, min_effect_rate: f64) -> Verdict {
    if is_significant && node.base.rate == 0.0 {
        return Verdict::New;
    }
    if is_significant && node.new.rate == 0.0 {
        return Verdict::Gone;
    }
    if is_equivalent(node, min_effect_rate) {
        return Verdict::Unchanged;
    }
    match (is_significant, node.effect > 0.0) {
        (true, true) => Verdict::Slower,
        (true, false) => Verdict::Faster,
        (false, _) => Verdict::Inconclusive,
    }
}

/// Two one-sided tests at 2.5 % each: the effect is neither as large as what matters nor as small as its negative. That
/// is, the interval lies between the two.
fn is_equivalent(node: &DiffNode, min_effect_rate: f64) -> bool {
    -min_effect_rate < node.interval.0 && node.interval.1 < min_effect_rate
}

impl Diff {
    pub fn root(&self) -> &DiffNode {
        &self.nodes[0]
    }

    /// Places of which a percentile changed and which have as much time as matters, most time first.
    pub fn of_other_length(&self) -> Vec<usize> {
        let time = |at: usize| self.nodes[at].base.rate.max(self.nodes[at].new.rate);
        let is_other = |of: &Percentile| matches!(of.verdict, Length::Longer | Length::Shorter);
        let mut places: Vec<usize> = (0..self.nodes.len())
            .filter(|&at| time(at) >= self.min_effect_rate && self.nodes[at].percentiles.iter().any(is_other))
            .collect();
        places.sort_by(|&a, &b| time(b).total_cmp(&time(a)));
        places
    }

    /// From the node outwards, without the root.
    pub fn ancestors(&self, node: usize) -> impl Iterator<Item = usize> + '_ {
        std::iter::successors(Some(node), |&at| Some(self.nodes[at].parent))
            .skip(1)
            .take_while(|&at| at != 0)
    }

    /// Nodes without children: a state at the end of a stack each.
    pub fn leaves(&self) -> impl Iterator<Item = &DiffNode> {
        self.nodes.iter().filter(|node| node.children.is_empty())
    }

    /// Of the inconclusive leaves: how many times as long the recordings must be, ascending, for a change that matters
    /// to be found in four of five cases.
    pub fn times_longer(&self) -> Vec<f64> {
        /// 95 % of a normal distribution on both sides, and 80 % on one.
        const REACH: f64 = 1.960 + 0.842;
        let inconclusive = self.leaves().filter(|leaf| leaf.verdict == Verdict::Inconclusive);
        let mut times: Vec<f64> = inconclusive
            .map(|leaf| {
                (REACH * leaf.standard_error / self.min_effect_rate)
                    .powi(2)
                    .max(1.0)
            })
            .filter(|times| times.is_finite())
            .collect();
        times.sort_by(f64::total_cmp);
        times
    }
}
