//! A thread's coin: which tasks are recorded while only some are.

/// Zeros are one that was not seeded yet.
pub(crate) struct Coin(u64);

impl Coin {
    pub(crate) fn new(seed: u64) -> Coin {
        // Seeds differ in few bits, and zero would stay zero.
        Coin((seed ^ 0x9e37_79b9_7f4a_7c15).wrapping_mul(0xbf58_476d_1ce4_e5b9) | 1)
    }

    /// True once in 2^level throws, by chance; of level 0 always.
    #[inline]
    pub(crate) fn is_head(&mut self, level: u32) -> bool {
        // Marsaglia's xorshift; the product makes its upper bits as good as any.
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d).leading_zeros() >= level
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn heads_come_once_in_two_to_the_level() {
        const THROWS: u32 = 1 << 18;
        for seed in [0, 1, 2, u64::MAX, 0x9e37_79b9_7f4a_7c15] {
            for level in [0, 1, 3, 6, 10] {
                let mut coin = Coin::new(seed);
                let throws: Vec<bool> = (0..THROWS).map(|_| coin.is_head(level)).collect();
                let heads = throws.iter().filter(|&&head| head).count() as f64;
                let p = f64::from(level).exp2().recip();
                let sigma = (f64::from(THROWS) * p * (1.0 - p)).sqrt();
                let expected = f64::from(THROWS) * p;
                assert!((heads - expected).abs() <= 5.0 * sigma, "{seed} {level}: {heads}");
                // As often after a head as ever.
                let pairs = throws.windows(2).filter(|pair| pair[0] && pair[1]).count() as f64;
                let sigma = (heads * p * (1.0 - p)).sqrt();
                assert!(
                    (pairs - heads * p).abs() <= 5.0 * sigma + 1.0,
                    "{seed} {level}: {pairs}"
                );
            }
        }
    }
}
