//! What lives, by address: tasks, and what may turn out to be one.

use super::HashMap;
use super::aggregator::Key;
use super::ends::Ends;
use super::labels::RawLabelsId;
use super::losses::Losses;
use super::raw::TableId;
use super::tally::{GroupKey, Tally};
use super::task::Task;
use super::weight::Weight;

/// A spawn whose task was not seen to be polled yet.
///
/// One thing is taken on trust: the first poll seen at this address is of this task. It is another's only if all
/// polls and the end of this one were lost, and with them the spawn of another in the same memory.
#[derive(Clone, Copy, Debug)]
pub(super) struct Spawn {
    pub(super) at_ns: u64,
    pub(super) stack: u32,
    /// Number of the group of the task that spawned it.
    pub(super) parent: Option<u32>,
    pub(super) labels: RawLabelsId,
    /// Number of the name that the program gave it, or 0.
    pub(super) name: u32,
    /// False of a task that was first seen by a poll.
    pub(super) seen: bool,
    /// Events of a poll were seen, though not its start.
    pub(super) polled: bool,
    pub(super) weight: Weight,
}

impl Spawn {
    /// Of a task that was first seen at `at_ns`, by a poll.
    pub(super) fn unseen(at_ns: u64) -> Spawn {
        Spawn {
            at_ns,
            stack: 0,
            parent: None,
            labels: RawLabelsId::default(),
            name: 0,
            seen: false,
            polled: true,
            weight: Weight::default(),
        }
    }

    /// A poll of its task was not seen to begin. If a loss explains that, the time before the loss is as good as ever.
    pub(super) fn polled_unseen(&mut self, losses: Option<&Losses>) {
        self.polled |= losses.is_none_or(|losses| losses.doubt_since(self.at_ns).is_none());
    }

    /// Its task is seen for the first time; in no table if not by a poll.
    pub(super) fn begin(
        self,
        tally: &mut Tally,
        process: u32,
        table: Option<TableId>,
        id: u64,
        at_ns: u64,
    ) -> Task {
        let key = GroupKey::Tasks {
            process,
            table,
            spawn_stack: self.stack,
            parent: self.parent,
            name: self.name,
        };
        let group = tally.enter_group(key, self.weight);
        let begun_ns = self.at_ns.min(at_ns);
        #[cfg(test)]
        tally.rows.probe.begun(group, self.weight, begun_ns);
        let task = Task::spawned(group, id, self.labels, self.weight, begun_ns);
        let task = if self.seen { task } else { task.born_unseen() };
        if self.polled { task.unknown() } else { task }
    }

    /// Nothing before `at_ns` counts.
    pub(super) fn counts_from(&mut self, at_ns: u64) {
        self.at_ns = self.at_ns.max(at_ns);
    }
}

/// A poll that begins.
#[derive(Clone, Copy, Debug)]
pub(super) struct Poll {
    pub(super) at_ns: u64,
    pub(super) table: TableId,
    /// The task's.
    pub(super) id: u64,
    /// That of a cull in which the task stays with it; else 0.
    pub(super) step: u32,
}

/// At one address there is one of them.
#[derive(Clone, Debug)]
pub(super) enum Life {
    Spawned(Spawn),
    Begun(Task),
}

/// One table for both: most events need one look at it, whatever they change.
#[derive(Clone, Debug, Default)]
pub(super) struct Tasks {
    lives: HashMap<Key, Life>,
    /// How many of them have begun.
    begun: usize,
}

/// Allocations that look like spawns and are never polled are forgotten beyond this number.
const MAX_PENDING_SPAWNS: usize = 1 << 20;

impl Tasks {
    pub(super) fn len(&self) -> usize {
        self.begun
    }

    pub(super) fn get(&self, key: &Key) -> Option<&Task> {
        match self.lives.get(key)? {
            Life::Begun(task) => Some(task),
            Life::Spawned(_) => None,
        }
    }

    pub(super) fn get_mut(&mut self, key: &Key) -> Option<&mut Task> {
        match self.lives.get_mut(key)? {
            Life::Begun(task) => Some(task),
            Life::Spawned(_) => None,
        }
    }

    pub(super) fn spawn_mut(&mut self, key: &Key) -> Option<&mut Spawn> {
        match self.lives.get_mut(key)? {
            Life::Spawned(spawn) => Some(spawn),
            Life::Begun(_) => None,
        }
    }

    /// Who lived there is given back.
    pub(super) fn spawned(&mut self, key: Key, spawn: Spawn) -> Option<Task> {
        if self.lives.len() - self.begun >= MAX_PENDING_SPAWNS {
            self.lives.retain(|_, life| matches!(life, Life::Begun(_)));
        }
        match self.lives.insert(key, Life::Spawned(spawn))? {
            Life::Begun(former) => {
                self.begun -= 1;
                Some(former)
            }
            Life::Spawned(_) => None,
        }
    }

    /// The task of which a poll begins at this address, and whether it is the first one.
    pub(super) fn polled(
        &mut self,
        key: Key,
        poll: Poll,
        tally: &mut Tally,
        ends: &mut Ends,
    ) -> (&mut Task, bool) {
        let life = self.lives.entry(key).or_insert_with(|| {
            ends.forget(key);
            tally.counts.tasks_seen_late += 1;
            Life::Spawned(Spawn::unseen(poll.at_ns))
        });
        let is_first = matches!(life, Life::Spawned(_));
        if let Life::Spawned(mut spawn) = *life {
            // All its life: the cull's coin knew nothing of it.
            spawn.weight = spawn.weight.times(poll.step);
            *life = Life::Begun(spawn.begin(tally, key.0, Some(poll.table), poll.id, poll.at_ns));
            self.begun += 1;
        }
        match life {
            Life::Begun(task) => (task, is_first),
            Life::Spawned(_) => unreachable!("it has begun by now"),
        }
    }

    /// Nobody lives there any more.
    pub(super) fn remove(&mut self, key: &Key) -> Option<Life> {
        let life = self.lives.remove(key)?;
        self.begun -= usize::from(matches!(life, Life::Begun(_)));
        Some(life)
    }

    /// Nobody of this process lives any more: its tasks.
    pub(super) fn remove_process(&mut self, process: u32) -> impl Iterator<Item = (Key, Task)> {
        let of_process = self.lives.extract_if(move |key, _| key.0 == process);
        of_process.filter_map(|(key, life)| match life {
            Life::Begun(task) => {
                self.begun -= 1;
                Some((key, task))
            }
            Life::Spawned(_) => None,
        })
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = (&Key, &Task)> {
        self.lives.iter().filter_map(|(key, life)| match life {
            Life::Begun(task) => Some((key, task)),
            Life::Spawned(_) => None,
        })
    }

    pub(super) fn lives_mut(&mut self) -> impl Iterator<Item = &mut Life> {
        self.lives.values_mut()
    }
}

#[cfg(test)]
mod size {
    /// A million tasks: a hash map's table has 2²¹ places for them, each with a byte of its own.
    #[test]
    fn a_million_live_tasks_take_less_than_200_mb() {
        let place = size_of::<(super::Key, super::Life)>() + 1;
        assert!(place << 21 < 200_000_000, "{place}");
    }
}
