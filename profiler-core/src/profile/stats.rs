//! Episode statistics: count, total, sum of squares and a histogram of lengths, all of them exactly mergeable.

use serde::{Deserialize, Serialize};

use super::histogram::Histogram;

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
    histogram: Histogram,
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
        self.sum_sq_ns2 = self
            .sum_sq_ns2
            .saturating_add(u128::from(weighted_ns) * u128::from(weighted_ns));
        self.max_ns = self.max_ns.max(duration_ns);
        self.histogram.add(duration_ns, weight);
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
            histogram: Histogram::default(),
        };
        stats.histogram.add(each_ns, episodes - longer);
        stats.histogram.add(each_ns + 1, longer);
        stats
    }

    pub fn merge(&mut self, other: &Stats) {
        self.episodes += other.episodes;
        self.excess = self.excess.saturating_add(other.excess);
        self.total_ns = self.total_ns.saturating_add(other.total_ns);
        self.sum_sq_ns2 = self.sum_sq_ns2.saturating_add(other.sum_sq_ns2);
        self.max_ns = self.max_ns.max(other.max_ns);
        self.histogram.merge(&other.histogram);
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
        for (end_ns, episodes) in self.histogram.ends() {
            seen += episodes;
            if seen >= rank {
                return end_ns.min(self.max_ns);
            }
        }
        self.max_ns
    }

    /// (largest length of the bucket in ns, episodes), ascending.
    pub fn histogram_ends(&self) -> impl Iterator<Item = (u64, u64)> + '_ {
        self.histogram.ends()
    }

    /// (middle of the bucket in ns, episodes), ascending.
    pub fn histogram(&self) -> impl Iterator<Item = (u64, u64)> + '_ {
        self.histogram.middles()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
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
