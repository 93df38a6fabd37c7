//! The profile: what a recording is reduced to. Every picture, table, export and diff reads this and nothing else.
//!
//! Tables refer to each other by index. Index 0 of `strings` is the empty string and index 0 of `stacks` the
//! empty stack, so "none" needs no option. Durations are nanoseconds of the recording's monotonic clock.

use serde::{Deserialize, Deserializer, Serialize};
use smallvec::SmallVec;

use super::lists::Lists;
use super::stats::Stats;

macro_rules! index {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
        #[serde(transparent)]
        pub struct $name(pub u32);

        impl $name {
            /// The position in its table.
            pub fn index(self) -> usize {
                self.0 as usize
            }
        }
    };
}

index!(
    /// Index into [`Profile::strings`]; 0 is the empty string.
    StringId
);
index!(
    /// Index into [`Profile::frames`].
    FrameId
);
index!(
    /// Index into [`Profile::stacks`]; 0 is the empty stack.
    StackId
);
index!(
    /// Index into [`Profile::groups`].
    GroupId
);
index!(
    /// Index into [`Profile::wakers`]; 0 is [`Waker::Unknown`].
    WakerId
);
index!(
    /// Index into [`Profile::modules`].
    ModuleId
);
index!(
    /// Index into [`Profile::processes`].
    ProcessId
);

index!(
    /// Index into [`Profile::label_sets`]; 0 is the empty set.
    LabelsId
);

/// A whole recording, aggregated and symbolised.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Profile {
    pub meta: Meta,
    pub quality: Quality,
    pub processes: Vec<Process>,
    pub modules: Vec<Module>,
    pub strings: Vec<String>,
    pub frames: Vec<Frame>,
    /// Frames from the task's root to the leaf.
    pub stacks: Lists<FrameId>,
    pub groups: Vec<Group>,
    pub wakers: Vec<Waker>,
    pub rows: Vec<Row>,
    /// Longest first, at most [`LONGEST_POLLS`].
    pub longest_polls: Vec<LongPoll>,
    /// Where tasks were still waiting when the recording, or their process, ended.
    pub open_waits: Vec<OpenWait>,
    /// What ran while tasks were ready to.
    pub delays: Vec<Delay>,
    /// Sets of labels that the program gave its tasks, each sorted by key.
    pub label_sets: Vec<Vec<Label>>,
    /// Units of work that the program counted.
    pub work: Vec<Work>,
}

/// How many single polls a profile remembers by themselves.
pub const LONGEST_POLLS: usize = 64;

/// How many single open waits a profile remembers by themselves.
pub const OLDEST_WAITS: usize = 1000;

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Meta {
    /// Version of the asyncprof that recorded.
    pub asyncprof_version: String,
    /// Command line as given to `record`.
    pub command: Vec<String>,
    /// Start of the recording, ns since the Unix epoch.
    pub started_unix_ns: u64,
    /// Length of the recording.
    pub duration_ns: u64,
    /// Length of one time window in [`Row::windows`].
    pub window_ns: u64,
}

/// What the profile knows about its own gaps. Zero everywhere means: complete.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Quality {
    /// Events read.
    pub events: u64,
    /// Events dropped in the app because a ring was full.
    pub events_lost: u64,
    /// Threads that found no free ring; their events are not counted in `events_lost`.
    pub threads_lost: u64,
    /// Stacks that did not fit into the stack table.
    pub stacks_lost: u64,
    /// Tasks whose spawn was not seen (they begin at their first poll).
    pub tasks_seen_late: u64,
    /// Polls that began with no wake seen before.
    pub wakes_unseen: u64,
    /// Waits split evenly over several registrations, because the one that ended them could not be told.
    pub waits_split: u64,
    /// Addresses in stacks, and those for which no function name was found.
    pub frames_total: u64,
    pub frames_unsymbolised: u64,
    /// How often per second a polling thread's stack was taken; 0: not at all.
    pub sampling_hz: u32,
    /// Stacks taken.
    pub samples: u64,
    /// Labels beyond those that are told apart: their values are `…`.
    pub labels_lost: u64,
    /// Tasks recorded, of whatever kind; and those that were not, because too much was going on: some of the others count
    /// for them, so many by estimate, and each for so many at most.
    pub tasks_recorded: u64,
    pub tasks_left_out: u64,
    pub heaviest_task: u64,
    /// Tasks of which only the beginning was recorded, for the same reason: those that stayed count for them, too.
    pub tasks_cut_short: u64,
    /// Waits under 10 µs whose stacks were not taken, for the same reason.
    pub stacks_left_out: u64,
    /// Estimated: what recording cost the programs, of all the CPU time that they used meanwhile. 0 if not known.
    pub overhead_ns: u64,
    pub program_cpu_ns: u64,
    /// "tsc" or "monotonic".
    pub clock: String,
    /// Plain sentences for the user, e.g. why a process could not be tapped.
    pub notes: Vec<String>,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Process {
    pub pid: u32,
    pub parent_pid: u32,
    pub executable: String,
    /// Offset from the start of the recording.
    pub started_ns: u64,
    /// Runtimes tapped, with version and number of tables, e.g. "tokio 1.54.1".
    pub runtime: String,
    pub task_tables: u32,
    pub waker_tables: u32,
}

/// A mapped object file.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Module {
    pub path: String,
    /// Lower-case hex; empty where the file has none.
    pub build_id: String,
}

/// One code address, with the functions inlined there.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Frame {
    /// None for an address outside all modules.
    pub module: Option<ModuleId>,
    /// Address in the file's own terms (its virtual address); the absolute one where `module` is none.
    pub address: u64,
    /// Outermost first; the last is the innermost inlined one. Empty where no symbol was found.
    pub functions: Vec<Function>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Function {
    /// Demangled, without hash, otherwise as the compiler wrote it (`app::handle::{{closure}}`).
    pub name: StringId,
    /// Empty where unknown. For a caller: the line of the call or the `.await`.
    pub file: StringId,
    /// 0 where unknown.
    pub line: u32,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum TaskKind {
    /// A spawned future.
    #[default]
    Task,
    /// The future under `block_on`.
    Root,
    /// A `spawn_blocking` closure.
    Blocking,
    /// A runtime's own worker loop: no task of the user's; hidden unless runtime frames are shown.
    Worker,
}

/// Tasks with the same name, the same spawn stack and the same parent.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Group {
    pub process: ProcessId,
    pub name: StringId,
    pub kind: TaskKind,
    /// Where the tasks were spawned; the empty stack where the spawn was not seen.
    pub spawn_stack: StackId,
    /// The group whose tasks spawned these: an earlier one in the table. None if no task did, or it is not known. Tasks
    /// that spawn their own kind, through whichever others, are one group: its parent is that of the first.
    pub parent: Option<GroupId>,
    /// Its polls: the running of its tasks, poll by poll.
    pub polls: Stats,
    /// Tasks of this group seen.
    pub tasks: u64,
    /// How those that ended did so; the rest was alive when the recording ended. Where some count for others
    /// ([`Quality::heaviest_task`]), it may be more than there were, by estimate.
    pub completed: u64,
    pub cancelled: u64,
    pub panicked: u64,
}

/// What made a task scheduled again.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Waker {
    /// Not seen, or still waiting.
    #[default]
    Unknown,
    /// Another task (or the same one), with its stack at the wake.
    Task { group: GroupId, stack: StackId },
    /// No task was being polled on the waking thread: a driver, a timer or a foreign thread; the stack tells which.
    Thread { stack: StackId },
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub enum State {
    /// Could run, has no worker. The stack is the await stack that the wake ended; empty for the first time.
    Scheduled,
    /// Being polled, and not known in which of the next two ways.
    #[default]
    Running,
    /// Being polled, on the CPU. The stack is that of the poll, down to the function that runs.
    OnCpu,
    /// Being polled, but its thread is off the CPU: in a blocking call, a page fault, or preempted. The stack is as
    /// for `OnCpu`.
    Blocked,
    /// Suspended at the stack.
    Waiting,
    /// Events were lost here: the state is not known.
    Lost,
}

impl State {
    /// Being polled, in whatever way.
    pub fn is_running(self) -> bool {
        matches!(self, State::Running | State::OnCpu | State::Blocked)
    }
}

/// The aggregate over all episodes of one (group, stack, state, waker, labels).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Row {
    pub group: GroupId,
    pub stack: StackId,
    pub state: State,
    pub waker: WakerId,
    /// What the task was labelled with at the time.
    pub labels: LabelsId,
    pub stats: Stats,
    /// Episodes among them that had not ended when the recording did.
    pub open_episodes: u64,
    /// (window number, ns in it), ascending; the sum is `stats.total_ns`. Big recordings have hundreds of thousands of rows
    /// with a single one.
    #[serde(deserialize_with = "read_windows")]
    pub windows: SmallVec<[(u32, u64); 1]>,
}

/// As a `Vec`, which reserves no more than was read.
fn read_windows<'de, D: Deserializer<'de>>(deserializer: D) -> Result<SmallVec<[(u32, u64); 1]>, D::Error> {
    Vec::deserialize(deserializer).map(SmallVec::from_vec)
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct LongPoll {
    pub group: GroupId,
    /// The await stack at which this poll ended, empty if the task ended with it.
    pub stack: StackId,
    /// What its samples found for longest: the stack, and whether [`State::OnCpu`] or [`State::Blocked`];
    /// [`State::Running`] and the empty stack if there was none.
    pub busy: State,
    pub busy_stack: StackId,
    /// Offset from the start of the recording.
    pub started_ns: u64,
    pub duration_ns: u64,
}

/// What the program called its tasks' work: `route` = `/users/{id}`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Label {
    pub key: StringId,
    pub value: StringId,
}

/// Units of work (requests, jobs) that the tasks of one group counted under one set of labels.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Work {
    pub process: ProcessId,
    /// None where no task counted them.
    pub group: Option<GroupId>,
    pub labels: LabelsId,
    pub units: u64,
    /// How long the pieces of work took, however many units each had: from the label that began one, or from the end of
    /// the last, to its count. Fewer than the counts where neither is known.
    pub pieces: Stats,
    /// (window number, units in it), ascending; the sum is `units`.
    pub windows: Vec<(u32, u64)>,
}

/// Tasks of one group that were still waiting at one place at the end. A task that waits for several things at once
/// counts where it registered first.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct OpenWait {
    pub group: GroupId,
    pub stack: StackId,
    /// At least one.
    pub tasks: u64,
    /// How long those had waited that had waited longest, longest first. Those of all entries together are the
    /// [`OLDEST_WAITS`] oldest of the recording.
    pub oldest_ns: Vec<u64>,
}

/// The scheduling delays of the tasks of one group that ended a wait at one stack, as far as one blocker ran meanwhile
/// on the thread that took them at last. Delays below 0.1 ms are not among them, nor what lies further back than the
/// last polls of that thread that were remembered.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Delay {
    pub victim: GroupId,
    /// The await stack that the wake ended; empty for the first poll of a task.
    pub victim_stack: StackId,
    /// The tasks whose polls ran; none for the time in which none did: the thread slept, was in the runtime, or the
    /// task was meant for another one at first.
    pub blocker: Option<GroupId>,
    /// What those polls did, and where: [`State::OnCpu`] or [`State::Blocked`] at the stack that their samples found
    /// for longest, or [`State::Running`] until the await at the stack; the empty one if the task ended with the poll.
    pub blocker_state: State,
    pub blocker_stack: StackId,
    /// One episode per delay: how much of it the blocker ran.
    pub stats: Stats,
}

impl LongPoll {
    /// What the poll did, and where, as in [`Delay::blocker_state`].
    pub fn deed(&self) -> (State, StackId) {
        match self.busy {
            State::Running => (State::Running, self.stack),
            state => (state, self.busy_stack),
        }
    }
}

impl Waker {
    /// The stack of the wake; the empty one where it was not seen.
    pub fn stack(self) -> StackId {
        match self {
            Waker::Unknown => StackId::default(),
            Waker::Task { stack, .. } | Waker::Thread { stack } => stack,
        }
    }
}

impl Profile {
    pub fn string(&self, id: StringId) -> &str {
        &self.strings[id.index()]
    }

    pub fn stack(&self, id: StackId) -> &[FrameId] {
        &self.stacks[id.index()]
    }

    pub fn frame(&self, id: FrameId) -> &Frame {
        &self.frames[id.index()]
    }

    pub fn groups_with_ids(&self) -> impl Iterator<Item = (GroupId, &Group)> {
        let groups = self.groups.iter().enumerate();
        groups.map(|(at, group)| (GroupId(at as u32), group))
    }

    pub fn group(&self, id: GroupId) -> &Group {
        &self.groups[id.index()]
    }
}
