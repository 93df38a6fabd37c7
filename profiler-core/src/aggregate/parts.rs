//! A recording without end is given out in parts: what was counted so far is forgotten, the tasks go on.

use super::aggregator::{Aggregator, Key};
use super::samples::Running;
use super::tally::Tally;
use super::tasks::Life;
use super::weight::Weight;

impl Aggregator {
    /// Forgets all totals. What lives now counts from `at_ns` on; all events up to then were given. Groups, wakers
    /// and tables keep their numbers.
    pub fn begin_anew(&mut self, at_ns: u64) {
        let since = self
            .tasks
            .iter()
            .map(|(key, task)| (*key, self.in_state_since(key, task.since_ns())));
        self.carried = since.collect();
        self.tally.begin_anew();
        self.delays.begin_anew();
        for life in self.tasks.lives_mut() {
            match life {
                Life::Begun(task) => {
                    task.counts_from(at_ns);
                    self.tally.count_task(task.group, task.weight);
                }
                Life::Spawned(spawn) => spawn.counts_from(at_ns),
            }
        }
        for root in self.roots.values_mut() {
            root.counts_from(at_ns);
            self.tally.count_task(root.group(), Weight::default());
        }
        self.begun_ns = at_ns;
    }

    /// Since when a task has been in its state, which began at `since_ns` in this part.
    pub(super) fn in_state_since(&self, key: &Key, since_ns: u64) -> u64 {
        match self.carried.get(key) {
            Some(&earlier_ns) if since_ns == self.begun_ns => earlier_ns,
            _ => since_ns,
        }
    }
}

impl Tally {
    fn begin_anew(&mut self) {
        self.rows.begin_anew();
        self.running.begin_anew();
        self.work.begin_anew();
        self.counts = Default::default();
        self.forget_places();
        for group in &mut self.groups {
            group.polls = Default::default();
            (group.tasks, group.completed, group.cancelled, group.panicked) = (0, 0, 0, 0);
        }
    }
}

impl Running {
    fn begin_anew(&mut self) {
        let mut fresh = Running::default();
        fresh.set_period(self.period_ns());
        *self = fresh;
    }
}
