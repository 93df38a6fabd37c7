//! When events were lost, per process, and what that puts in doubt.
//!
//! A ring that is full loses all of its thread's events from the last one it kept until the gap. In that time
//! any task of the process may have been polled or woken there and nobody knows. A task that another ring saw
//! being polled was certainly polled there, for a task is polled by one thread at a time; for all other tasks:
//! **from the beginning of the loss until its next poll begins, a task's state is not known.** What came before
//! stays as it was. Nothing is done at the time of a loss but to note it: a task is held against the losses when
//! its next event comes.
//!
//! Stricter than need be: a task that truly slept through a loss is lost until it is polled again. Nothing in
//! the events can tell it from one that was woken, polled and suspended anew within the loss.

/// Beyond this number neighbours are joined: a process that loses events all the time is in doubt all the time.
const MAX_LOSSES: usize = 1 << 14;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Loss {
    from_ns: u64,
    to_ns: u64,
}

/// The losses of one process.
#[derive(Clone, Debug, Default)]
pub(super) struct Losses {
    /// Apart from each other, in order of time.
    past: Vec<Loss>,
    /// (ring, its last event) of rings that are losing now.
    present: Vec<(usize, u64)>,
}

impl Losses {
    /// Ring `ring` has kept nothing since `from_ns`.
    pub(super) fn begin(&mut self, ring: usize, from_ns: u64) {
        if self.present.iter().all(|&(losing, _)| losing != ring) {
            self.present.push((ring, from_ns));
        }
    }

    /// Ring `ring` keeps events again.
    pub(super) fn end(&mut self, ring: usize, to_ns: u64) {
        let Some(at) = self.present.iter().position(|&(losing, _)| losing == ring) else {
            return;
        };
        let (_, mut from_ns) = self.present.swap_remove(at);
        let mut to_ns = to_ns.max(from_ns);
        while let Some(last) = self.past.pop_if(|last| last.to_ns >= from_ns) {
            from_ns = from_ns.min(last.from_ns);
            to_ns = to_ns.max(last.to_ns);
        }
        self.past.push(Loss { from_ns, to_ns });
        if self.past.len() > MAX_LOSSES {
            let join = |pair: &[Loss]| Loss {
                from_ns: pair[0].from_ns,
                to_ns: pair[pair.len() - 1].to_ns,
            };
            self.past = self.past.chunks(2).map(join).collect();
        }
    }

    /// Since when a task is in doubt of which all was known at `known_ns`.
    pub(super) fn doubt_since(&self, known_ns: u64) -> Option<u64> {
        let first = self.past.partition_point(|loss| loss.to_ns <= known_ns);
        let past = self.past.get(first).map(|loss| loss.from_ns);
        let present = self.present.iter().map(|&(_, from_ns)| from_ns);
        past.into_iter().chain(present).min()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn doubt_begins_with_the_first_loss_not_yet_over(
            steps in prop::collection::vec((0usize..4, any::<bool>()), 0..60),
            known in 0u64..60,
        ) {
            let mut losses = Losses::default();
            let mut naive = Vec::new();
            for (at, &(ring, begins)) in (0..).zip(&steps) {
                let now = naive.iter().position(|&(losing, _, to)| losing == ring && to == u64::MAX);
                match (begins, now) {
                    (true, None) => {
                        losses.begin(ring, at);
                        naive.push((ring, at, u64::MAX));
                    }
                    (false, Some(now)) => {
                        losses.end(ring, at);
                        naive[now].2 = at;
                    }
                    _ => {}
                }
            }
            // Losses that overlap are one, so the doubt may begin earlier, never later.
            let since = naive.iter().filter(|loss| loss.2 > known).map(|loss| loss.1).min();
            let doubt = losses.doubt_since(known);
            prop_assert_eq!(doubt.is_some(), since.is_some());
            prop_assert!(doubt <= since, "{:?} {:?}", doubt, since);
        }

        #[test]
        fn many_losses_take_bounded_room(count in 0u64..40_000) {
            let mut losses = Losses::default();
            for at in 0..count {
                losses.begin(0, 2 * at);
                losses.end(0, 2 * at + 1);
            }
            prop_assert!(losses.past.len() <= MAX_LOSSES);
            prop_assert!(losses.doubt_since(0).is_none_or(|since| since == 0));
            prop_assert_eq!(losses.doubt_since(2 * count), None);
        }
    }
}
