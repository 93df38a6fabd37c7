//! When a task was spawned, in two bytes: millions of tasks have one.

/// So many nanoseconds, about a second, are a step of [`Born`].
const STEP_BITS: u32 = 30;
/// Steps for which a task is young, the one of its spawn included.
const YOUNG: u16 = 2;
const UNSEEN: u16 = u16::MAX;

/// In steps since the recording began; wraps after hours.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Born(u16);

impl Born {
    /// Of a task that was not seen to be spawned.
    pub(super) const UNSEEN: Born = Born(UNSEEN);

    pub(super) fn at(ns: u64) -> Born {
        Born(step(ns))
    }

    /// Whether it was spawned in the second before, or nearly two.
    pub(super) fn is_young(self, at_ns: u64) -> bool {
        self != Born::UNSEEN && step(at_ns).wrapping_sub(self.0) < YOUNG
    }
}

fn step(ns: u64) -> u16 {
    ((ns >> STEP_BITS) % u64::from(UNSEEN)) as u16
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: u64 = 1_000_000_000;

    #[test]
    fn a_task_is_young_for_a_second() {
        for ms in (0..5000).step_by(100) {
            let (at, born) = (ms * SECOND / 1000, Born::at(ms * SECOND / 1000));
            assert!(born.is_young(at));
            assert!(born.is_young(at + SECOND));
            assert!(!born.is_young(at + 3 * SECOND));
        }
        assert!(!Born::UNSEEN.is_young(0));
    }

    #[test]
    fn a_day_is_no_bound() {
        let late = 24 * 3600 * SECOND;
        assert!(Born::at(late).is_young(late + SECOND));
        assert!(!Born::at(late).is_young(late + 12 * SECOND));
    }
}
