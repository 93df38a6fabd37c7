//! Episode statistics: count, total, sum of squares and a histogram of lengths, all of them exactly mergeable.

use std::ops::Range;

use serde::{Deserialize, Serialize};

/// Sub-buckets per power of two: a bucket is at most 12.5 % wide.
const SUB_BITS: u32 = 3;

/// Statistics of a set of episodes. One that was seen counts as often as its weight says: others like it were not.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Stats {
    /// Σ weight.
    pub episodes: u64,
    /// Σ weight · (weight − 1): 0 where each episode was seen.
    pub excess: u64,
    /// Σ weight · ns.
    pub total_ns: u64,
    /// Σ (weight · ns)² over the episodes seen: the variance of the total under a compound Poisson model, thinned.
    pub sum_sq_ns2: u128,
    pub max_ns: u64,
    /// (bucket, episodes), ascending by bucket; see [`bucket_of`].
    histogram: Vec<(u16, u64)>,
}

impl Stats {
    pub fn add(&mut self, duration_ns: u64) {
        self.add_weighted(duration_ns, 1);
    }

    /// An episode that stands for `weight` (at least one) of them.
    pub fn add_weighted(&mut self, duration_ns: u64, weight: u64) {
        let weighted_ns = duration_ns.saturating_mul(weight);
        self.episodes += weight;
        self.excess = self.excess.saturating_add(weight * (weight - 1));
        self.total_ns = self.total_ns.saturating_add(weighted_ns);
        self.sum_sq_ns2 = self.sum_sq_ns2.saturating_add(u128::from(weighted_ns).pow(2));
        self.max_ns = self.max_ns.max(duration_ns);
        self.count(bucket_of(duration_ns), weight);
    }

    /// So many episodes (at least one), with that excess, of nearly the same length.
    pub fn even(episodes: u64, excess: u64, total_ns: u64) -> Stats {
        let episodes = episodes.max(1);
        let (each_ns, longer) = (total_ns / episodes, total_ns % episodes);
        let squares = u128::from(each_ns).pow(2) * u128::from(episodes - longer)
            + u128::from(each_ns + 1).pow(2) * u128::from(longer);
        let mut stats = Stats {
            episodes,
            excess,
            total_ns,
            sum_sq_ns2: squares
                .saturating_add(u128::from(excess).saturating_mul(squares / u128::from(episodes))),
            max_ns: each_ns + u64::from(longer > 0),
            histogram: Vec::new(),
        };
        stats.count(bucket_of(each_ns), episodes - longer);
        if longer > 0 {
            stats.count(bucket_of(each_ns + 1), longer);
        }
        stats
    }

    pub fn merge(&mut self, other: &Stats) {
        self.episodes += other.episodes;
        self.excess = self.excess.saturating_add(other.excess);
        self.total_ns = self.total_ns.saturating_add(other.total_ns);
        self.sum_sq_ns2 = self.sum_sq_ns2.saturating_add(other.sum_sq_ns2);
        self.max_ns = self.max_ns.max(other.max_ns);
        for &(bucket, episodes) in &other.histogram {
            self.count(bucket, episodes);
        }
    }

    /// As much as these episodes tell is told by so large a part of them if each is seen: Σ weight / Σ weight². 1 of none.
    pub fn effective_part(&self) -> f64 {
        match self.excess {
            0 => 1.0,
            excess => self.episodes as f64 / (self.episodes as f64 + excess as f64),
        }
    }

    /// Mean episode length in ns; 0 without episodes.
    pub fn mean_ns(&self) -> u64 {
        self.total_ns.checked_div(self.episodes).unwrap_or(0)
    }

    /// The length that a share `q` (0 to 1) of the episodes does not exceed, to the histogram's 12.5 %.
    pub fn quantile_ns(&self, q: f64) -> u64 {
        let rank = (q.clamp(0.0, 1.0) * self.episodes as f64).ceil().max(1.0) as u64;
        let mut seen = 0;
        for &(bucket, episodes) in &self.histogram {
            seen += episodes;
            if seen >= rank {
                return bucket_end(bucket).min(self.max_ns);
            }
        }
        self.max_ns
    }

    /// (largest length of the bucket in ns, episodes), ascending.
    pub fn histogram_ends(&self) -> impl Iterator<Item = (u64, u64)> + '_ {
        self.histogram
            .iter()
            .map(|&(bucket, episodes)| (bucket_end(bucket), episodes))
    }

    /// (middle of the bucket in ns, episodes), ascending.
    pub fn histogram(&self) -> impl Iterator<Item = (u64, u64)> + '_ {
        self.histogram
            .iter()
            .map(|&(bucket, episodes)| (bucket_middle(bucket), episodes))
    }

    /// Buckets that exist, ascending, with no more than 64 bits of episodes in them.
    pub(super) fn histogram_is_sound(&self) -> bool {
        let last = bucket_of(u64::MAX);
        self.histogram.is_sorted_by(|a, b| a.0 < b.0)
            && self.histogram.last().is_none_or(|entry| entry.0 <= last)
            && self
                .histogram
                .iter()
                .try_fold(0u64, |sum, entry| sum.checked_add(entry.1))
                .is_some()
    }

    fn count(&mut self, bucket: u16, episodes: u64) {
        let near = self.near(bucket);
        match self.histogram[near.clone()].binary_search_by_key(&bucket, |entry| entry.0) {
            Ok(at) => self.histogram[near.start + at].1 += episodes,
            Err(at) => self.histogram.insert(near.start + at, (bucket, episodes)),
        }
    }

    /// Where the bucket is or would be: as far from the first one and from the last as it can be, which is one place where
    /// all between them exist.
    #[inline]
    fn near(&self, bucket: u16) -> Range<usize> {
        let len = self.histogram.len();
        match (self.histogram.first(), self.histogram.last()) {
            (Some(first), Some(last)) if (first.0..=last.0).contains(&bucket) => {
                let (below, above) = (usize::from(bucket - first.0), usize::from(last.0 - bucket));
                (len - 1).saturating_sub(above)..(below + 1).min(len)
            }
            _ => 0..len,
        }
    }
}

/// Log-linear: values below 8 have a bucket each, then eight buckets per power of two.
fn bucket_of(value: u64) -> u16 {
    let exponent = value.max(1).ilog2();
    if exponent < SUB_BITS {
        return value as u16;
    }
    let shift = exponent - SUB_BITS;
    (((shift + 1) << SUB_BITS) as u64 + ((value >> shift) & 7)) as u16
}

/// The largest value of the bucket.
fn bucket_end(bucket: u16) -> u64 {
    let (octave, sub) = (u32::from(bucket) >> SUB_BITS, u64::from(bucket) & 7);
    match octave {
        0 => sub,
        // A damaged file may hold any bucket number.
        62.. => u64::MAX,
        _ => ((8 + sub) << (octave - 1)) + ((1u64 << (octave - 1)) - 1),
    }
}

fn bucket_middle(bucket: u16) -> u64 {
    let (octave, sub) = (u32::from(bucket) >> SUB_BITS, u64::from(bucket) & 7);
    match octave {
        0 => sub,
        // A damaged file may hold any bucket number.
        62.. => u64::MAX,
        _ => {
            let shift = octave - 1;
            ((8 + sub) << shift) + (1u64 << shift) / 2
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn bucket_middle_is_within_an_eighth(value in any::<u64>()) {
            let middle = bucket_middle(bucket_of(value));
            let error = middle.abs_diff(value);
            prop_assert!(error as f64 <= value as f64 / 8.0, "{value} -> {middle}");
        }

        #[test]
        fn merging_equals_adding(a in prop::collection::vec(0..u64::MAX / 64, 0..20), b in prop::collection::vec(0..u64::MAX / 64, 0..20)) {
            let of = |values: &[u64]| values.iter().fold(Stats::default(), |mut stats, &v| { stats.add(v); stats });
            let mut merged = of(&a);
            merged.merge(&of(&b));
            prop_assert_eq!(merged, of(&[a, b].concat()));
        }
    }

    #[test]
    fn an_episode_may_stand_for_several() {
        let mut stats = Stats::default();
        (0..10).for_each(|_| stats.add_weighted(100, 8));
        (0..20).for_each(|_| stats.add(50));
        assert_eq!((stats.episodes, stats.total_ns, stats.max_ns), (100, 9000, 100));
        assert_eq!(stats.sum_sq_ns2, 10 * 800 * 800 + 20 * 50 * 50);
        assert_eq!(stats.effective_part(), 100.0 / (10.0 * 64.0 + 20.0));
        assert_eq!(stats.quantile_ns(0.2), stats.histogram_ends().next().unwrap().0);
        assert_eq!(stats.quantile_ns(0.21), 100);
        assert_eq!(stats.histogram().map(|bucket| bucket.1).sum::<u64>(), 100);
    }

    #[test]
    fn even_episodes_know_their_error_as_added_ones_do() {
        let mut added = Stats::default();
        (0..10).for_each(|_| added.add_weighted(100, 8));
        assert_eq!(Stats::even(80, added.excess, 8000), added);
    }

    #[test]
    fn quantiles_of_equal_episodes_are_their_length() {
        let mut stats = Stats::default();
        (0..100).for_each(|_| stats.add(50_300_000));
        assert_eq!(stats.quantile_ns(0.5), 50_300_000);
        assert_eq!(stats.quantile_ns(0.99), 50_300_000);
    }

    #[test]
    fn quantiles_of_a_known_set() {
        let mut stats = Stats::default();
        (1..=1000).for_each(|ms| stats.add(ms * 1_000_000));
        assert_eq!(stats.mean_ns(), 500_500_000);
        let p99 = stats.quantile_ns(0.99) as f64 / 1e6;
        assert!((900.0..=1000.0).contains(&p99), "{p99}");
    }
}
