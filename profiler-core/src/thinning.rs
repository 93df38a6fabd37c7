//! What is left out while events come faster than they are taken in, or cost more than was allowed: one word of the
//! region, set by the recorder and obeyed by the taps of tokio.
//!
//! First waits that are likely short get no stack of their own. Then of new tasks only one in 2^level is recorded, by a
//! coin of its own, and stands for 2^level: so every total stays what it would be, on average. Where it is old tasks that
//! write, a [`Cull`] leaves out some of them. Nothing ever waits.

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
    pub cull: Option<Cull>,
}

/// While it runs, each recorded task throws a coin at its next poll, once: one in 2^step stays, and from there on stands
/// for 2^step times as many. Of the others nothing more is recorded. Who is not polled while it runs is not asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cull {
    /// Another than the last one's. Who stayed in one is taken to have thrown in all of its parity: that changes no mean,
    /// for a task's weight changes by a throw alone.
    pub parity: Parity,
    /// From 1 to [`Cull::MAX_STEP`].
    pub step: u32,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Parity {
    #[default]
    Even,
    Odd,
}

impl Parity {
    pub const ALL: [Parity; 2] = [Parity::Even, Parity::Odd];

    pub fn other(self) -> Parity {
        match self {
            Parity::Even => Parity::Odd,
            Parity::Odd => Parity::Even,
        }
    }
}

impl Cull {
    pub const MAX_STEP: u32 = 10;
}

const LEVEL_MASK: u64 = 0xff;
const SKIP: u64 = 1 << 8;
/// Stays set: from the first task on that was left out there may be others, whatever holds now.
const EVER_THINNED: u64 = 1 << 9;
const ODD: u64 = 1 << 10;
/// A cull's step, 0 while none runs.
const STEP_SHIFT: u32 = 16;
const STEP_MASK: u64 = 0xff << STEP_SHIFT;

impl Thinning {
    pub const MAX_LEVEL: u32 = 10;

    /// The word that says so, after the word `before`.
    pub fn encode(self, before: u64) -> u64 {
        let level = self.level.min(Thinning::MAX_LEVEL);
        let cull = self.cull.map_or(0, |cull| {
            let step = cull.step.clamp(1, Cull::MAX_STEP);
            let parity = if cull.parity == Parity::Odd { ODD } else { 0 };
            u64::from(step) << STEP_SHIFT | parity
        });
        let ever = if level > 0 || cull != 0 {
            EVER_THINNED
        } else {
            before & EVER_THINNED
        };
        u64::from(level) | if self.skip_short_stacks { SKIP } else { 0 } | ever | cull
    }

    #[inline]
    pub fn decode(word: u64) -> Thinning {
        Thinning {
            skip_short_stacks: word & SKIP != 0,
            level: (word & LEVEL_MASK) as u32,
            cull: Cull::decode(word),
        }
    }
}

impl Cull {
    fn decode(word: u64) -> Option<Cull> {
        let step = ((word & STEP_MASK) >> STEP_SHIFT) as u32;
        let parity = if word & ODD == 0 {
            Parity::Even
        } else {
            Parity::Odd
        };
        (step > 0).then_some(Cull { parity, step })
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
            steps in prop::collection::vec((any::<bool>(), 0..=Thinning::MAX_LEVEL, any::<bool>(), 0..=Cull::MAX_STEP), 1..9)
        ) {
            let mut word = 0;
            let mut ever = false;
            for (skip_short_stacks, level, is_odd, step) in steps {
                let parity = Parity::ALL[usize::from(is_odd)];
                let cull = (step > 0).then_some(Cull { parity, step });
                let thinning = Thinning { skip_short_stacks, level, cull };
                word = thinning.encode(word);
                ever |= level > 0 || step > 0;
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
