//! When old tasks are to throw for whether they stay ([`Cull`]): where it is they that are too much.

use std::time::Duration;

use asyncprof_core::thinning::{Cull, Parity};

/// Whoever does much is polled in that time.
const RUNS: Duration = Duration::from_millis(500);
/// From the beginning of one to that of the next: what the first has changed shows.
const BETWEEN: Duration = Duration::from_secs(1);

/// What is too much, though to leave out more of the new tasks would not help.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Excess {
    /// One in 2^step of the old ones is what would do.
    pub(crate) step: u32,
    /// As many are to stay at least, on average: fewer tell too little.
    pub(crate) fewest: usize,
}

#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Culls {
    /// And when it began.
    last: Option<(Duration, Cull)>,
}

impl Culls {
    /// The cull that is to run from here on. `busy` counts the tasks that would throw.
    pub(crate) fn after(
        &mut self,
        at: Duration,
        excess: Option<Excess>,
        busy: impl FnOnce() -> usize,
    ) -> Option<Cull> {
        if let Some(Excess { step, fewest }) = excess
            && self.last.is_none_or(|(began, _)| at >= began + BETWEEN)
        {
            let most = (busy() / fewest).checked_ilog2().unwrap_or(0);
            let step = step.min(most).min(Cull::MAX_STEP);
            let parity = self
                .last
                .map_or(Parity::default(), |(_, last)| last.parity.other());
            if step > 0 {
                self.last = Some((at, Cull { parity, step }));
            }
        }
        let (began, cull) = self.last?;
        (at < began + RUNS).then_some(cull)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_runs_for_a_while_and_is_another_than_the_last() {
        let mut culls = Culls::default();
        let too_much = Some(Excess { step: 2, fewest: 8 });
        let mut after = |ms, excess| culls.after(Duration::from_millis(ms), excess, || 1000);
        assert_eq!(after(0, None), None);
        let cull = |parity| Some(Cull { parity, step: 2 });
        assert_eq!(after(10, too_much), cull(Parity::Even));
        assert_eq!(after(20, None), cull(Parity::Even));
        assert_eq!(after(509, too_much), cull(Parity::Even));
        assert_eq!(after(510, too_much), None);
        assert_eq!(after(1009, too_much), None);
        assert_eq!(after(1010, too_much), cull(Parity::Odd));
        assert_eq!(after(1510, None), None);
        assert_eq!(after(9000, too_much), cull(Parity::Even));
    }

    #[test]
    fn some_stay() {
        let step = |step, busy| {
            let excess = Some(Excess { step, fewest: 64 });
            let cull = Culls::default().after(Duration::ZERO, excess, || busy);
            cull.map_or(0, |cull| cull.step)
        };
        assert_eq!(step(5, 0), 0);
        assert_eq!(step(5, 127), 0);
        assert_eq!(step(5, 128), 1);
        assert_eq!(step(5, 64 * 32), 5);
        assert_eq!(step(5, usize::MAX), 5);
        assert_eq!(step(40, usize::MAX), Cull::MAX_STEP);
    }
}
