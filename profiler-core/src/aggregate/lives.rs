//! The life of a task as the aggregator follows it: spawned, polled, ended.

use super::aggregator::{Aggregator, Key};
use super::delays::Deed;
use super::raw::TableId;
use super::task::Task;
use super::tasks::{Life, Poll, Spawn};
use super::threads::Polling;
use super::weight::Weight;
use crate::event::{BY_LEFT_OUT, Outcome};

impl Aggregator {
    /// By what this ring's thread is polling.
    pub(super) fn spawn(&mut self, ring: usize, key: Key, at_ns: u64, aux: u16, value: u64) {
        self.ends.forget(key);
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
            seen: true,
            polled: false,
            weight: Weight::of_level(aux & !BY_LEFT_OUT),
        };
        // Memory is given out anew: whoever lived there is gone, even if that was not seen.
        if let Some(former) = self.tasks.spawned(key, spawn) {
            self.end_task(key, former, at_ns, Outcome::Freed);
        }
    }

    /// What it did up to here counts as it did before; from here on it stands for 2^step times as many.
    pub(super) fn poll_start(
        &mut self,
        ring: usize,
        key: Key,
        at_ns: u64,
        table: TableId,
        (id, step): (u64, u32),
    ) {
        let poll = Poll {
            at_ns,
            table,
            id,
            step,
        };
        let (mut task, mut is_first) = self.tasks.polled(key, poll, &mut self.tally, &mut self.ends);
        if task.id != 0 && task.id != id {
            // The end of the former task was lost.
            self.end(key, at_ns, Outcome::Freed);
            (task, is_first) = self.tasks.polled(key, poll, &mut self.tally, &mut self.ends);
        }
        let (tally, losses) = (&mut self.tally, self.losses.get(&key.0));
        task.face(tally, losses, at_ns);
        if let Some(victim) = task.victim(at_ns) {
            self.delays.add(victim, &self.threads[ring].past);
        }
        task.poll_start(tally, at_ns, ring);
        task.stayed(tally, if is_first { 0 } else { step });
        let (counts, weight) = (&mut tally.counts, task.weight.get());
        counts.polls += 1;
        counts.polls_left_out += weight - 1;
        if task.born.is_young(at_ns) {
            counts.young_polls += 1;
            counts.young_polls_estimated += weight;
        }
        self.threads[ring].start_poll(Polling {
            subject: key.1,
            group: task.group,
            weight: task.weight,
            start_ns: at_ns,
            is_host: false,
            outlived: false,
        });
    }

    /// A poll begins of which, as of all that follows, nothing is told. One that was not polled before is as if it had
    /// been left out at its spawn.
    pub(super) fn left_out(&mut self, ring: usize, key: Key, at_ns: u64) {
        self.pieces.remove(&key);
        let Some(Life::Begun(mut task)) = self.tasks.remove(&key) else {
            return;
        };
        task.face(&mut self.tally, self.losses.get(&key.0), at_ns);
        if let Some(victim) = task.victim(at_ns) {
            self.delays.add(victim, &self.threads[ring].past);
        }
        task.left_out(&mut self.tally, at_ns, ring);
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
                    self.end(key, at_ns, outcome);
                }
            }
        }
    }

    /// A poll of a task was not seen to begin.
    pub(super) fn polled_unseen(&mut self, key: Key) {
        if let Some(spawn) = self.tasks.spawn_mut(&key) {
            spawn.polled_unseen(self.losses.get(&key.0));
        }
    }

    /// A task ends.
    pub(super) fn end(&mut self, key: Key, at_ns: u64, outcome: Outcome) {
        let task = match self.tasks.remove(&key) {
            None => return,
            Some(Life::Begun(task)) => task,
            // No poll of it was seen: now it is known that the allocation was a task's.
            Some(Life::Spawned(mut spawn)) => {
                // Freed, but neither polled nor shut down: its polls were not seen.
                if outcome == Outcome::Freed {
                    spawn.polled_unseen(self.losses.get(&key.0));
                }
                spawn.begin(&mut self.tally, key.0, None, 0, at_ns)
            }
        };
        self.end_task(key, task, at_ns, outcome);
    }

    fn end_task(&mut self, key: Key, mut task: Task, at_ns: u64, outcome: Outcome) {
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
