//! What aggregation gives out at the end: totals in raw numbers, before names.

use super::HashMap;

use super::labels::RawLabel;
use super::rows::{RawRow, RawWaker};
use super::work::RawWork;
use crate::profile::{State, Stats};

/// A task table of a process: its index in [`Tap::Tokio`](crate::process_info::Tap), or one that has a name.
pub type TableId = u16;

/// A stack's number in the region's table, with the process whose addresses it holds. 0 is the empty stack.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct RawStack {
    pub process: u32,
    pub number: u32,
}

impl RawStack {
    /// The empty stack belongs to no process.
    pub fn new(process: u32, number: u32) -> RawStack {
        match number {
            0 => RawStack::default(),
            _ => RawStack { process, number },
        }
    }
}

/// Number of a group, with the process it belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct RawGroupId {
    pub process: u32,
    pub group: u32,
}

/// Tasks of one table that were spawned at one place by tasks of one group; or the futures under `block_on` of one
/// process.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RawGroup {
    pub process: u32,
    /// None for roots, and for tasks of which no poll was seen.
    pub table: Option<TableId>,
    pub is_root: bool,
    pub spawn_stack: RawStack,
    /// The group of the task that was being polled where the spawn was, if any: one with a lower number.
    pub parent: Option<RawGroupId>,
    /// Number of the name that the program gave its tasks, or 0.
    pub name: u32,
    pub polls: Stats,
    pub tasks: u64,
    pub completed: u64,
    pub cancelled: u64,
    pub panicked: u64,
}

/// One long poll.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct RawLongPoll {
    /// First, so that polls order by length.
    pub duration_ns: u64,
    pub started_ns: u64,
    pub group: RawGroupId,
    /// Number of the stack where it left off, in the group's process.
    pub stack: u32,
    /// What its samples found for longest, with the number of the stack.
    pub busy: Option<(State, u32)>,
}

/// Tasks still waiting at the end, as in [`OpenWait`](crate::profile::OpenWait).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RawOpenWait {
    pub group: RawGroupId,
    pub stack: RawStack,
    pub tasks: u64,
    pub oldest_ns: Vec<u64>,
}

/// What ran while tasks were ready, as in [`Delay`](crate::profile::Delay).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RawDelay {
    pub victim: RawGroupId,
    pub victim_stack: RawStack,
    pub blocker: Option<RawGroupId>,
    pub blocker_state: State,
    pub blocker_stack: RawStack,
    pub stats: Stats,
}

/// What was counted on the way.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    pub events: u64,
    /// Events that rings have told of having dropped.
    pub events_lost: u64,
    pub tasks_seen_late: u64,
    /// Polls that began, and those for which they stand: Σ (weight − 1).
    pub polls: u64,
    pub polls_left_out: u64,
    /// Polls of young tasks, the likes of which could be left out, and how many they are with those for which they stand.
    pub young_polls: u64,
    pub young_polls_estimated: u64,
    /// Tasks that were seen, those for which they stand: Σ (weight − 1), and the most that one counts for.
    pub tasks_recorded: u64,
    pub tasks_left_out: u64,
    pub heaviest_task: u64,
    /// Polls that began though no wake-up was seen.
    pub wakes_unseen: u64,
    /// Waits that could not be given to one registration.
    pub waits_split: u64,
    pub samples: u64,
    /// Labels beyond those that are told apart.
    pub labels_lost: u64,
}

/// Everything that aggregation knows at the end, before names.
#[derive(Debug)]
pub struct RawProfile {
    pub rows: Vec<RawRow>,
    pub wakers: Vec<RawWaker>,
    pub groups: Vec<RawGroup>,
    /// Per table, at most [`LONGEST_POLLS`](crate::profile::LONGEST_POLLS) each.
    pub longest_polls: Vec<RawLongPoll>,
    /// In a fixed order.
    pub open_waits: Vec<RawOpenWait>,
    /// In a fixed order.
    pub delays: Vec<RawDelay>,
    /// Per (process, table): the stack at its first poll, below that poll.
    pub table_stacks: HashMap<(u32, TableId), RawStack>,
    /// Tables in whose polls other tables were first polled, with the stack that did it: runtimes' workers.
    pub nested_tables: Vec<((u32, TableId), RawStack)>,
    /// The stack of one frame that names the tasks of a (process, table).
    pub table_names: HashMap<(u32, TableId), RawStack>,
    /// Sets of labels, by number.
    pub label_sets: Vec<Vec<RawLabel>>,
    pub work: Vec<RawWork>,
    pub counts: Counts,
    /// Times are counted from the recording's start, and this is when the part began that is told of.
    pub begun_ns: u64,
}
