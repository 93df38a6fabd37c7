//! Where state machines put what they have found: rows, groups, longest polls, counts. Its size follows the
//! number of distinct places in the program, never the number of tasks or polls.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap};

use super::HashMap;

use super::labels::LabelSets;
use super::raw::{Counts, RawGroup, RawGroupId, RawLongPoll, RawOpenWait, RawStack, TableId};
use super::rows::{RawRow, Rows};
use super::samples::Running;
use super::weight::Weight;
use super::work::Work;
use crate::event::Outcome;
use crate::profile::{LONGEST_POLLS, OLDEST_WAITS};

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum GroupKey {
    Tasks {
        process: u32,
        table: Option<TableId>,
        spawn_stack: u32,
        /// Number of the group of the task that spawned it.
        parent: Option<u32>,
        /// Number of the name that the program gave it, or 0.
        name: u32,
    },
    /// Root tasks whose first await has this stack.
    Roots { process: u32, first_stack: u32 },
}

/// Beyond this number, groups are no longer told apart by their parents.
const MAX_GROUPS_BY_PARENT: usize = 1 << 14;

#[derive(Clone, Debug, Default)]
pub(super) struct Tally {
    pub(super) rows: Rows,
    pub(super) running: Running,
    pub(super) labels: LabelSets,
    pub(super) work: Work,
    pub(super) counts: Counts,
    pub(super) groups: Vec<RawGroup>,
    group_index: HashMap<GroupKey, RawGroupId>,
    /// By process and spawn stack: the first group whose tasks have spawned there.
    parents: HashMap<(u32, u32), u32>,
    /// By process and table: which of them are of interest is known at the end, and by table.
    longest_polls: HashMap<(u32, Option<TableId>), BinaryHeap<Reverse<RawLongPoll>>>,
    /// By group: shorter polls are not among the longest ones.
    long_enough_ns: Vec<u64>,
    /// Tasks by group and the number of the stack.
    open_waits: BTreeMap<(RawGroupId, u32), u64>,
    /// The longest of them: (ns, where).
    oldest_waits: BinaryHeap<Reverse<(u64, (RawGroupId, u32))>>,
}

impl Tally {
    /// The group of a task that begins, which is counted.
    pub(super) fn enter_group(&mut self, key: GroupKey, weight: Weight) -> RawGroupId {
        let id = self.group_of(key);
        self.count_task(id, weight);
        id
    }

    pub(super) fn count_task(&mut self, group: RawGroupId, weight: Weight) {
        let weight = weight.get();
        self.groups[group.group as usize].tasks += weight;
        self.counts.tasks_recorded += 1;
        self.counts.tasks_left_out += weight - 1;
        self.counts.heaviest_task = self.counts.heaviest_task.max(weight);
    }

    fn group_of(&mut self, key: GroupKey) -> RawGroupId {
        if let Some(&id) = self.group_index.get(&key) {
            return id;
        }
        let id = self.find_group(key);
        self.group_index.insert(key, id);
        id
    }

    /// A new group, or a known one that the key means, too: parents must not make groups without end.
    fn find_group(&mut self, key: GroupKey) -> RawGroupId {
        let (process, table, number, parent, name) = match key {
            GroupKey::Tasks {
                process,
                table,
                spawn_stack,
                parent,
                name,
            } => (process, table, spawn_stack, parent, name),
            GroupKey::Roots { process, .. } => (process, None, 0, None, 0),
        };
        let spawn_stack = RawStack::new(process, number);
        let parent = parent.map(|group| RawGroupId { process, group });
        // Tasks that spawn their own kind, through whichever others, are one group however deep that goes.
        let mut above = std::iter::successors(parent, |id| self.groups[id.group as usize].parent);
        let is_same = |id: &RawGroupId| {
            let group = &self.groups[id.group as usize];
            !group.is_root && (group.table, group.spawn_stack, group.name) == (table, spawn_stack, name)
        };
        if let Some(recursive) = above.find(is_same) {
            return recursive;
        }
        if parent.is_some() && self.groups.len() >= MAX_GROUPS_BY_PARENT {
            return self.group_of(GroupKey::Tasks {
                process,
                table,
                spawn_stack: number,
                parent: None,
                name,
            });
        }
        if let Some(parent) = parent {
            self.parents.entry((process, number)).or_insert(parent.group);
        }
        let group = self.groups.len() as u32;
        self.groups.push(RawGroup {
            process,
            table,
            is_root: matches!(key, GroupKey::Roots { .. }),
            spawn_stack,
            parent,
            name,
            ..RawGroup::default()
        });
        RawGroupId { process, group }
    }

    /// The group of the tasks that spawn others at this stack, as far as one was seen to.
    pub(super) fn parent_at(&self, process: u32, spawn_stack: u32) -> Option<u32> {
        self.parents.get(&(process, spawn_stack)).copied()
    }

    pub(super) fn table_of(&self, group: RawGroupId) -> Option<TableId> {
        self.groups[group.group as usize].table
    }

    /// A task of the group has ended like this. No more end than were seen, whatever a damaged ring says.
    pub(super) fn ended(&mut self, group: RawGroupId, weight: Weight, outcome: Outcome) {
        let counts = &mut self.groups[group.group as usize];
        let weight = weight.get();
        if counts.completed + counts.panicked + counts.cancelled + weight > counts.tasks {
            return;
        }
        match outcome {
            Outcome::Ready => counts.completed += weight,
            Outcome::Panicked => counts.panicked += weight,
            Outcome::Cancelled => counts.cancelled += weight,
            Outcome::Pending | Outcome::Freed => {}
        }
    }

    /// A poll of the group has taken so long, and is not counted with its running.
    pub(super) fn poll_of(&mut self, group: RawGroupId, weight: Weight, duration_ns: u64) {
        let polls = &mut self.groups[group.group as usize].polls;
        polls.add_weighted(duration_ns, weight.get());
    }

    /// The rows of short polls; with them the polls of all groups are complete.
    pub(super) fn finish_running(&mut self) -> Vec<RawRow> {
        std::mem::take(&mut self.running)
            .finish(|group, polls| self.groups[group.group as usize].polls.merge(polls))
    }

    /// A poll seen from its start to its end.
    pub(super) fn polled(&mut self, poll: RawLongPoll) {
        let group = poll.group.group as usize;
        if self
            .long_enough_ns
            .get(group)
            .is_some_and(|&ns| poll.duration_ns < ns)
        {
            return;
        }
        let table = (poll.group.process, self.table_of(poll.group));
        let longest = self.longest_polls.entry(table).or_default();
        if longest.len() < LONGEST_POLLS {
            longest.push(Reverse(poll));
        } else if let Some(mut shortest) = longest.peek_mut()
            && shortest.0 < poll
        {
            *shortest = Reverse(poll);
        }
        if longest.len() == LONGEST_POLLS
            && let Some(shortest) = longest.peek()
        {
            if self.long_enough_ns.len() <= group {
                self.long_enough_ns.resize(group + 1, 0);
            }
            self.long_enough_ns[group] = shortest.0.duration_ns;
        }
    }

    /// A task of the group still waits there when all ends.
    pub(super) fn still_waiting(&mut self, group: RawGroupId, weight: Weight, stack: u32, waited_ns: u64) {
        *self.open_waits.entry((group, stack)).or_default() += weight.get();
        let wait = (waited_ns, (group, stack));
        if self.oldest_waits.len() < OLDEST_WAITS {
            self.oldest_waits.push(Reverse(wait));
        } else if let Some(mut youngest) = self.oldest_waits.peek_mut()
            && youngest.0 < wait
        {
            *youngest = Reverse(wait);
        }
    }

    /// Forgets the longest polls and the open waits.
    pub(super) fn forget_places(&mut self) {
        self.longest_polls.clear();
        self.long_enough_ns.clear();
        self.open_waits.clear();
        self.oldest_waits.clear();
    }

    pub(super) fn open_waits(&mut self) -> Vec<RawOpenWait> {
        let mut ages: HashMap<(RawGroupId, u32), Vec<u64>> = HashMap::default();
        // Ascending by `Reverse`: longest first.
        for Reverse((waited_ns, place)) in std::mem::take(&mut self.oldest_waits).into_sorted_vec() {
            ages.entry(place).or_default().push(waited_ns);
        }
        let entry = |(place, tasks): ((RawGroupId, u32), u64)| RawOpenWait {
            group: place.0,
            stack: RawStack::new(place.0.process, place.1),
            tasks,
            oldest_ns: ages.remove(&place).unwrap_or_default(),
        };
        std::mem::take(&mut self.open_waits)
            .into_iter()
            .map(entry)
            .collect()
    }

    pub(super) fn longest_polls(&mut self) -> Vec<RawLongPoll> {
        std::mem::take(&mut self.longest_polls)
            .into_values()
            .flat_map(|heap| heap.into_iter().map(|poll| poll.0))
            .collect()
    }
}
