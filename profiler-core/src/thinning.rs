//! What is left out while events come faster than they are taken in, or cost more than was allowed: one word of the
//! region, set by the recorder and obeyed by the taps of tokio.
//!
//! First waits that are likely short get no stack of their own. Then of new tasks only one in 2^level is recorded, by a
//! coin of its own, and stands for 2^level: so every total stays what it would be, on average. Nothing ever waits.

/// A wait is short below this.
pub const SHORT_WAIT_NS: u64 = 10_000;

/// The function of the only frame that a short wait's stack has if it was not taken.
pub const SHORT_WAIT: &str = "(stack not taken: likely a wait under 10 µs)";

/// What is left out.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Thinning {
    /// Waits that are likely under [`SHORT_WAIT_NS`] have [`SHORT_WAIT`] for a stack.
    pub skip_short_stacks: bool,
    /// Of new tasks one in 2^level is recorded; at most [`Thinning::MAX_LEVEL`].
    pub level: u32,
}

const LEVEL_MASK: u64 = 0xff;
const SKIP: u64 = 1 << 8;
/// Stays set: from the first task on that was left out there may be others, whatever holds now.
const EVER_THINNED: u64 = 1 << 9;

impl Thinning {
    pub const MAX_LEVEL: u32 = 10;

    /// The word that says so, after the word `before`.
    pub fn encode(self, before: u64) -> u64 {
        let level = self.level.min(Thinning::MAX_LEVEL);
        let ever = if level > 0 {
            EVER_THINNED
        } else {
            before & EVER_THINNED
        };
        u64::from(level) | if self.skip_short_stacks { SKIP } else { 0 } | ever
    }

    #[inline]
    pub fn decode(word: u64) -> Thinning {
        Thinning {
            skip_short_stacks: word & SKIP != 0,
            level: (word & LEVEL_MASK) as u32,
        }
    }
}

/// Whether tasks may have been left out, now or before. False of the word 0.
#[inline]
pub fn has_thinned(word: u64) -> bool {
    word & EVER_THINNED != 0
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn decode_reverses_encode_and_what_ever_was_stays(
            steps in prop::collection::vec((any::<bool>(), 0..=Thinning::MAX_LEVEL), 1..9)
        ) {
            let mut word = 0;
            let mut ever = false;
            for (skip_short_stacks, level) in steps {
                let thinning = Thinning { skip_short_stacks, level };
                word = thinning.encode(word);
                ever |= level > 0;
                prop_assert_eq!(Thinning::decode(word), thinning);
                prop_assert_eq!(has_thinned(word), ever);
            }
        }
    }

    #[test]
    fn nothing_left_out_is_zero() {
        assert_eq!(Thinning::default().encode(0), 0);
        assert_eq!(Thinning::decode(0), Thinning::default());
        let too_much = Thinning {
            level: 99,
            ..Thinning::default()
        };
        assert_eq!(Thinning::decode(too_much.encode(0)).level, Thinning::MAX_LEVEL);
    }
}
