//! What the program itself tells of the task that a thread is polling, or of the root task on it.

use super::aggregator::{Aggregator, Key};
use super::labels::RawLabelsId;
use super::root::Root;
use super::task::Task;
use super::weight::Weight;
use super::work::Done;

impl Aggregator {
    /// The task that this ring's thread is polling, if it is known.
    fn polled_on(&self, ring: usize) -> Option<(Key, &Task)> {
        let thread = &self.threads[ring];
        let key = (thread.process, thread.polling.last()?.subject);
        let task = self.tasks.get(&key)?;
        (task.running_on() == Some(ring)).then_some((key, task))
    }

    /// The root task that is known to run on this ring's thread.
    fn root_on(&self, ring: usize) -> Option<(Key, &Root)> {
        let thread = &self.threads[ring];
        let key = (thread.process, thread.root?);
        let root = self.roots.get(&key)?;
        root.is_on(ring).then_some((key, root))
    }

    /// The labels of what runs on this ring's thread.
    pub(super) fn labels_on(&self, ring: usize) -> RawLabelsId {
        match self.polled_on(ring) {
            Some((_, task)) => task.labels,
            None if self.threads[ring].polling.is_empty() => self.threads[ring].labels,
            None => RawLabelsId::default(),
        }
    }

    /// The label of that key changes; with a new value begins a piece of work.
    pub(super) fn labelled(&mut self, ring: usize, at_ns: u64, key: u32, value: Option<u32>) {
        let former = self.labels_on(ring);
        let labels = self.tally.labels.with(former, key, value);
        if labels == former {
            return;
        }
        let begun_ns = value.map(|_| at_ns);
        if let Some(task) = self.polled_on(ring).map(|(key, _)| key) {
            match begun_ns {
                Some(at_ns) => self.pieces.insert(task, at_ns),
                None => self.pieces.remove(&task),
            };
            if let Some(task) = self.tasks.get_mut(&task) {
                task.relabel(&mut self.tally, at_ns, labels);
            }
        } else if self.threads[ring].polling.is_empty() {
            let root = self.root_on(ring).map(|(key, _)| key);
            if let Some(root) = root.and_then(|root| self.roots.get_mut(&root)) {
                root.face(
                    &mut self.tally,
                    self.losses.get(&self.threads[ring].process),
                    at_ns,
                );
                root.relabel(&mut self.tally, at_ns, labels);
            }
            let thread = &mut self.threads[ring];
            (thread.labels, thread.begun_ns) = (labels, begun_ns);
        }
    }

    /// Units of work are done; with that begins the next piece.
    pub(super) fn worked(&mut self, ring: usize, at_ns: u64, units: u64) {
        let labels = self.labels_on(ring);
        let polled = self.polled_on(ring);
        let (group, weight, begun_ns) = match polled.map(|(key, task)| (key, task.group, task.weight)) {
            Some((key, group, weight)) => (Some(group), weight, self.pieces.insert(key, at_ns)),
            None => (
                self.root_on(ring).map(|(_, root)| root.group()),
                Weight::default(),
                self.threads[ring].begun_ns.replace(at_ns),
            ),
        };
        self.tally.work.add(Done {
            process: self.threads[ring].process,
            group,
            labels,
            units,
            at_ns,
            begun_ns,
            weight,
        });
    }
}
