//! Tasks that have ended and of whose ends callbacks are yet to tell.

use super::HashMap;
use super::aggregator::Key;
use super::raw::RawGroupId;

/// The groups of the last ones. Nobody says when the last callback was called, so older ones are forgotten.
#[derive(Clone, Debug, Default)]
pub(super) struct Ends {
    recent: HashMap<Key, RawGroupId>,
    older: HashMap<Key, RawGroupId>,
}

/// At least so many are remembered, and at most twice as many.
const REMEMBERED: usize = 1 << 16;

impl Ends {
    pub(super) fn add(&mut self, task: Key, group: RawGroupId) {
        if self.recent.len() >= REMEMBERED {
            self.older = std::mem::take(&mut self.recent);
        }
        self.recent.insert(task, group);
    }

    pub(super) fn group(&self, task: Key) -> Option<RawGroupId> {
        let known = self.recent.get(&task).or_else(|| self.older.get(&task));
        known.copied()
    }

    /// In this memory lives another one now.
    pub(super) fn forget(&mut self, task: Key) {
        for known in [&mut self.recent, &mut self.older] {
            if !known.is_empty() {
                known.remove(&task);
            }
        }
    }

    /// Some of this process's events were lost: addresses may stand for others by now.
    pub(super) fn forget_all(&mut self, process: u32) {
        for known in [&mut self.recent, &mut self.older] {
            known.retain(|key, _| key.0 != process);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_ones_are_remembered_and_no_more() {
        let group = |group| RawGroupId { process: 1, group };
        let mut ends = Ends::default();
        for task in 0..10 * REMEMBERED as u64 {
            ends.add((1, task), group(task as u32));
            let first = task.saturating_sub(REMEMBERED as u64 - 1);
            assert_eq!(ends.group((1, first)), Some(group(first as u32)));
            assert!(ends.recent.len() + ends.older.len() <= 2 * REMEMBERED);
        }
        let last = 10 * REMEMBERED as u64 - 1;
        ends.forget((1, last));
        assert_eq!(ends.group((1, last)), None);
        ends.forget_all(1);
        assert!(ends.recent.is_empty() && ends.older.is_empty());
    }
}
