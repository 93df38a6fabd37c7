//! Whether a wait got longer, which it can without there being more time of it: percentiles of episode lengths, compared.

use super::compare::{ALPHA, DiffNode};
use super::quantiles::{q_values, t_quantile, two_sided_p};
use crate::profile::Stats;
use crate::view::{Activity, FrameKind};

const PERCENTILES: [f64; 2] = [0.5, 0.99];
/// So many independent episodes must lie beyond the percentile on either side.
const MIN_BEYOND: f64 = 5.0;
/// The histogram's buckets: a length is known to this, as the logarithm of a factor.
const RESOLUTION: f64 = 0.118;

/// A percentile of the lengths of a place's episodes, on both sides.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Percentile {
    /// 0.5 is the median.
    pub part: f64,
    pub base_ns: u64,
    pub new_ns: u64,
    /// In which the true factor, new : base, lies with 95 %.
    pub factor: (f64, f64),
    /// None where there are too few episodes.
    pub p: Option<f64>,
    pub q: Option<f64>,
    pub verdict: Length,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Length {
    Longer,
    Shorter,
    Inconclusive,
    /// Too few episodes.
    Rare,
}

/// Of the states at the ends of stacks. Running is left out: samples cut it into episodes.
pub(super) fn percentiles(nodes: &mut [DiffNode]) {
    let mut tested = Vec::new();
    for (at, node) in nodes.iter_mut().enumerate() {
        if !matches!(
            node.kind,
            FrameKind::State(Activity::Waiting(_) | Activity::Scheduled)
        ) {
            continue;
        }
        node.percentiles = PERCENTILES.iter().map(|&part| compared(node, part)).collect();
        let with_p = node
            .percentiles
            .iter()
            .enumerate()
            .filter_map(|(nth, of)| Some((at, nth, of.p?)));
        tested.extend(with_p);
    }
    let p_values: Vec<f64> = tested.iter().map(|&(_, _, p)| p).collect();
    for ((at, nth, _), q) in tested.into_iter().zip(q_values(&p_values)) {
        let of = &mut nodes[at].percentiles[nth];
        of.q = Some(q);
        of.verdict = match of.factor {
            (low, _) if q <= ALPHA && low > 1.0 => Length::Longer,
            (_, high) if q <= ALPHA && high < 1.0 => Length::Shorter,
            _ => Length::Inconclusive,
        };
    }
}

fn compared(node: &DiffNode, part: f64) -> Percentile {
    let (base, new) = (&node.base.stats, &node.new.stats);
    // Episodes that come in bursts say less than independent ones, as the node's time does: so many are one.
    let independent = node.base.episodic + node.new.episodic;
    let alike = match independent > 0.0 {
        true => (node.standard_error.powi(2) / independent).max(1.0),
        false => 1.0,
    };
    let [base_count, new_count] =
        [base, new].map(|side| side.episodes as f64 * side.effective_part() / alike);
    let is_tested = base_count.min(new_count) * (1.0 - part) >= MIN_BEYOND;
    let [of_base, of_new] =
        [(base, base_count), (new, new_count)].map(|(side, count)| Known::of(side, part, count));
    let effect = of_new.middle - of_base.middle;
    let below = (of_new.middle - of_new.low).hypot(of_base.high - of_base.middle) + RESOLUTION;
    let above = (of_new.high - of_new.middle).hypot(of_base.middle - of_base.low) + RESOLUTION;
    Percentile {
        part,
        base_ns: base.quantile_ns(part),
        new_ns: new.quantile_ns(part),
        factor: ((effect - below).exp(), (effect + above).exp()),
        p: is_tested.then(|| p_value(base, new, part, [base_count, new_count])),
        q: None,
        verdict: Length::Rare,
    }
}

/// Logarithms of a percentile and its 95 % interval: that of the order statistics.
struct Known {
    low: f64,
    middle: f64,
    high: f64,
}

impl Known {
    fn of(stats: &Stats, part: f64, count: f64) -> Known {
        let half =
            t_quantile(1.0 - ALPHA / 2.0, f64::INFINITY) * (part * (1.0 - part) / count.max(1.0)).sqrt();
        let log = |part: f64| (stats.quantile_ns(part).max(1) as f64).ln();
        Known {
            low: log(part - half),
            middle: log(part),
            high: log(part + half),
        }
    }
}

/// Of the same percentile on both sides: as many episodes must be longer than that of all together (the median test of
/// Westenberg and Mood). Many may be just as long: these are once taken as longer and once not, and the chance of either
/// doubled.
fn p_value(base: &Stats, new: &Stats, part: f64, counts: [f64; 2]) -> f64 {
    let mut all = base.clone();
    all.merge(new);
    let mut seen = 0;
    let rank = part * all.episodes as f64;
    let limit = all.histogram_ends().find(|&(_, episodes)| {
        seen += episodes;
        seen as f64 >= rank
    });
    let limit = limit.map_or(0, |bucket| bucket.0);
    let p = |is_longer: &dyn Fn(u64) -> bool| {
        let longer = |side: &Stats| {
            let longer = side.histogram_ends().filter(|bucket| is_longer(bucket.0));
            longer.map(|bucket| bucket.1).sum::<u64>() as f64 / side.episodes.max(1) as f64
        };
        let of_all = longer(&all);
        let error = (of_all * (1.0 - of_all) * (1.0 / counts[0] + 1.0 / counts[1])).sqrt();
        match error > 0.0 {
            true => two_sided_p((longer(new) - longer(base)) / error, f64::INFINITY),
            false => 1.0,
        }
    };
    let least = p(&|length| length > limit).min(p(&|length| length >= limit));
    (2.0 * least).min(1.0)
}
