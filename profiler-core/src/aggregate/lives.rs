//! The life of a task as the aggregator follows it: spawned, polled, ended.

use super::aggregator::{Aggregator, Key};
use super::delays::{Deed, Victim};
use super::labels::RawLabelsId;
use super::raw::TableId;
use super::tally::GroupKey;
use super::task::Task;
use super::threads::Polling;
use super::weight::Weight;
use crate::event::{BY_LEFT_OUT, Outcome};

/// A spawn whose task was not seen to be polled yet.
///
/// One thing is taken on trust: the first poll seen at this address is of this task. It is another's only if all
/// polls and the end of this one were lost, and with them the spawn of another in the same memory.
#[derive(Clone, Copy, Debug)]
pub(super) struct Spawn {
    at_ns: u64,
    stack: u32,
    /// Number of the group of the task that spawned it.
    parent: Option<u32>,
    labels: RawLabelsId,
    /// Number of the name that the program gave it, or 0.
    name: u32,
    /// Events of a poll were seen, though not its start.
    polled: bool,
    weight: Weight,
}

impl Spawn {
    /// Nothing before `at_ns` counts.
    pub(super) fn counts_from(&mut self, at_ns: u64) {
        self.at_ns = self.at_ns.max(at_ns);
    }
}

/// Allocations that look like spawns and are never polled are forgotten beyond this number.
const MAX_PENDING_SPAWNS: usize = 1 << 20;

impl Aggregator {
    /// By what this ring's thread is polling.
    pub(super) fn spawn(&mut self, ring: usize, key: Key, at_ns: u64, aux: u16, value: u64) {
        // Memory is given out anew: whoever lived there is gone, even if that was not seen.
        self.end(key, at_ns, Outcome::Freed);
        self.ends.forget(key);
        if self.spawns.len() >= MAX_PENDING_SPAWNS {
            self.spawns.clear();
        }
        let stack = value as u32;
        let spawner = self.threads[ring].polling.last();
        let parent = if aux & BY_LEFT_OUT == 0 {
            spawner.map(|polling| polling.group.group)
        } else {
            self.tally.parent_at(key.0, stack)
        };
        let spawn = Spawn {
            at_ns,
            stack,
            name: (value >> 32) as u32,
            parent,
            labels: self.labels_on(ring),
            polled: false,
            weight: Weight::of_level(aux & !BY_LEFT_OUT),
        };
        self.spawns.insert(key, spawn);
    }

    pub(super) fn poll_start(&mut self, ring: usize, key: Key, at_ns: u64, table: TableId, id: u64) {
        let known = self.tasks.get(&key);
        // Another id at this address: the end of the former task was lost.
        if known.is_some_and(|task| task.id != 0 && task.id != id) {
            self.end(key, at_ns, Outcome::Freed);
        }
        let (tally, losses) = (&mut self.tally, self.losses.get(&key.0));
        let task = self.tasks.entry(key).or_insert_with(|| {
            self.ends.forget(key);
            let spawn = self.spawns.remove(&key);
            tally.counts.tasks_seen_late += u64::from(spawn.is_none());
            let key = GroupKey::Tasks {
                process: key.0,
                table: Some(table),
                spawn_stack: spawn.map_or(0, |spawn| spawn.stack),
                parent: spawn.and_then(|spawn| spawn.parent),
                name: spawn.map_or(0, |spawn| spawn.name),
            };
            let weight = spawn.map_or(Weight::default(), |spawn| spawn.weight);
            let group = tally.enter_group(key, weight);
            let begun_ns = spawn.map_or(at_ns, |spawn| spawn.at_ns.min(at_ns));
            #[cfg(test)]
            tally.rows.probe.begun(group, weight, begun_ns);
            let labels = spawn.map_or(RawLabelsId::default(), |spawn| spawn.labels);
            let task = Task::spawned(group, id, labels, weight, begun_ns);
            match spawn {
                Some(Spawn { polled: false, .. }) => task,
                Some(_) => task.unknown(),
                None => task.unknown().born_unseen(),
            }
        });
        task.face(tally, losses, at_ns);
        if let Some((ready_ns, stack)) = task.ready_since() {
            let victim = Victim {
                group: task.group,
                weight: task.weight,
                stack,
                ready_ns,
                polled_ns: at_ns,
            };
            self.delays.add(victim, &self.threads[ring].past);
        }
        let (counts, weight) = (&mut tally.counts, task.weight.get());
        counts.polls += 1;
        counts.polls_left_out += weight - 1;
        if task.born.is_young(at_ns) {
            counts.young_polls += 1;
            counts.young_polls_estimated += weight;
        }
        task.poll_start(tally, at_ns, ring);
        self.threads[ring].start_poll(Polling {
            subject: key.1,
            group: task.group,
            weight: task.weight,
            start_ns: at_ns,
            is_host: false,
            outlived: false,
        });
    }

    pub(super) fn poll_end(&mut self, ring: usize, key: Key, at_ns: u64, outcome: Outcome) {
        let mut unended = Vec::new();
        let polling = self.threads[ring].end_poll(key.1, &mut unended);
        self.lose(ring, &unended, at_ns);
        let is_final = outcome != Outcome::Pending;
        let runs_here = |task: &Task| task.running_on() == Some(ring);
        match (polling, self.tasks.get_mut(&key)) {
            (Some(polling), Some(task)) if runs_here(task) => {
                let deed = task.deed(&self.tally, is_final);
                self.threads[ring].remember(polling, at_ns, deed);
                if is_final {
                    self.end(key, at_ns, outcome);
                } else {
                    task.poll_pending(&mut self.tally, at_ns);
                }
            }
            // Told late: the task is elsewhere by now, or gone. Its memory may hold another one.
            (Some(polling), _) => {
                self.threads[ring].remember(polling, at_ns, Deed::default());
                if is_final && polling.outlived {
                    self.tally.ended(polling.group, polling.weight, outcome);
                }
            }
            // The start was lost.
            (None, Some(task)) => {
                task.face(&mut self.tally, self.losses.get(&key.0), at_ns);
                task.lost_all_along();
                if is_final {
                    self.end(key, at_ns, outcome);
                }
            }
            (None, None) => {
                self.polled_unseen(key);
                if is_final {
                    self.ended_unpolled(key, at_ns, outcome);
                    self.end(key, at_ns, outcome);
                }
            }
        }
    }

    /// A poll of a task was not seen to begin. If a loss explains that, the time before the loss is as good as ever.
    pub(super) fn polled_unseen(&mut self, key: Key) {
        if let Some(spawn) = self.spawns.get_mut(&key) {
            let losses = self.losses.get(&key.0);
            spawn.polled |= losses.is_none_or(|losses| losses.doubt_since(spawn.at_ns).is_none());
        }
    }

    /// A task ends; if no poll of it was seen, that confirms at last that an allocation was a task's.
    pub(super) fn ended_unpolled(&mut self, key: Key, at_ns: u64, outcome: Outcome) {
        if self.tasks.contains_key(&key) {
            return;
        }
        // Freed, but neither polled nor shut down: its polls were not seen.
        if outcome == Outcome::Freed {
            self.polled_unseen(key);
        }
        let Some(spawn) = self.spawns.remove(&key) else {
            return;
        };
        let group = GroupKey::Tasks {
            process: key.0,
            table: None,
            spawn_stack: spawn.stack,
            parent: spawn.parent,
            name: spawn.name,
        };
        let group = self.tally.enter_group(group, spawn.weight);
        let begun_ns = spawn.at_ns.min(at_ns);
        #[cfg(test)]
        self.tally.rows.probe.begun(group, spawn.weight, begun_ns);
        let task = Task::spawned(group, 0, spawn.labels, spawn.weight, begun_ns);
        let task = if spawn.polled { task.unknown() } else { task };
        self.tasks.insert(key, task);
    }

    pub(super) fn end(&mut self, key: Key, at_ns: u64, outcome: Outcome) {
        let Some(mut task) = self.tasks.remove(&key) else {
            return;
        };
        self.pieces.remove(&key);
        task.face(&mut self.tally, self.losses.get(&key.0), at_ns);
        // Freed while it is being polled: the end of that poll, still to be told, says how the task ended.
        if let Some(ring) = task.running_on()
            && outcome == Outcome::Freed
            && let Some(polling) = self.threads[ring]
                .polling
                .iter_mut()
                .rfind(|p| p.subject == key.1)
        {
            polling.outlived = true;
        }
        self.tally.ended(task.group, task.weight, outcome);
        task.end(&mut self.tally, at_ns, false);
    }
}
