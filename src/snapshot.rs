use std::collections::HashMap;
use std::fmt;
use std::time::Duration;

use asyncprof_core::profile::{GroupId, State, TaskKind};
use asyncprof_core::view::{Activity, Analysis, Kind, Rules};
use asyncprof_recorder::{LiveTask as Recorded, NamedLive};

use crate::{Error, alone};

/// Of more tasks only those are listed that have been in their state for longest.
pub(crate) const MOST_TASKS: usize = 1000;

/// The tasks that live now, as the recording in this process knows them: at most 1,000, those that have been in their
/// state for longest.
///
/// The recording's own threads make it; no task is stopped or slowed down. The caller waits for them: milliseconds, but
/// for a large program's first time a second or two, so from async code call it in `spawn_blocking`.
///
/// ```
/// # let folder = std::env::temp_dir().join(format!("asyncprof-doc-snapshot-{}", std::process::id()));
/// # std::fs::create_dir_all(&folder).unwrap();
/// # let path = folder.join("a.data");
/// let profiler = asyncprof::builder().output(&path).start()?;
/// let snapshot = asyncprof::snapshot()?;
/// println!("{snapshot}");
/// # drop(profiler);
/// # std::fs::remove_dir_all(&folder).unwrap();
/// # Ok::<(), asyncprof::Error>(())
/// ```
///
/// # Errors
/// [`Error::NotRecording`] without a recording that [`start`](crate::start) has made, [`Error::RecordedByCommand`]
/// under `asyncprof record`, [`Error::Late`] if there is no answer in 10 s.
pub fn snapshot() -> Result<Snapshot, Error> {
    alone::snapshot()
}

/// The tasks that live at one moment; its text is for people.
///
/// ```
/// # let folder = std::env::temp_dir().join(format!("asyncprof-doc-tree-{}", std::process::id()));
/// # std::fs::create_dir_all(&folder).unwrap();
/// # let _profiler = asyncprof::builder().output(folder.join("a.data")).start()?;
/// let snapshot = asyncprof::snapshot()?;
/// for group in &snapshot.groups {
///     println!("{} of {}, all told {}", group.tasks.len(), group.name, snapshot.alive);
/// }
/// # drop(_profiler);
/// # std::fs::remove_dir_all(&folder).unwrap();
/// # Ok::<(), asyncprof::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Snapshot {
    /// How many there are, listed or not. The futures under `block_on` are listed, but not counted here.
    pub alive: usize,
    /// Tasks that no task has spawned, by name and place; the others below these.
    pub groups: Vec<LiveGroup>,
}

/// Tasks of one name that were spawned at one place.
///
/// ```
/// fn count(group: &asyncprof::LiveGroup) -> usize {
///     group.tasks.len() + group.spawned.iter().map(count).sum::<usize>()
/// }
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct LiveGroup {
    /// The task's name.
    pub name: String,
    /// Longest in their state first.
    pub tasks: Vec<LiveTask>,
    /// What tasks of this name have spawned.
    pub spawned: Vec<LiveGroup>,
}

/// A task that lives.
///
/// ```
/// use std::time::Duration;
///
/// /// Has it done nothing for a minute?
/// fn is_stuck(task: &asyncprof::LiveTask) -> bool {
///     task.age > Duration::from_secs(60)
/// }
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct LiveTask {
    /// The runtime's number for it; `None` for the future under `block_on`.
    pub id: Option<u64>,
    /// What it is doing.
    pub state: TaskState,
    /// For how long it has been doing that.
    pub age: Duration,
    /// Where it is suspended: from its first function to the one that it awaits. Of a scheduled task, where it was.
    pub await_stack: Vec<LiveFrame>,
}

/// What a task is doing.
///
/// ```
/// use asyncprof::TaskState;
///
/// fn waits_for_a_lock(state: TaskState) -> bool {
///     matches!(state, TaskState::Waiting { kind: "lock", .. })
/// }
/// # assert!(!waits_for_a_lock(TaskState::Running));
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum TaskState {
    /// It could run and has no worker.
    Scheduled,
    /// It is being polled.
    Running,
    /// It is suspended, for this: `io`, `timer`, `lock`, `channel`, `join`, `blocking`, `notify`, `yield` or `other`.
    #[non_exhaustive]
    Waiting {
        /// The kind of the wait.
        kind: &'static str,
    },
    /// Not known, until its next poll: events were lost, or it lived before the recording.
    Unknown,
}

/// A function of an await stack.
///
/// ```
/// fn innermost(task: &asyncprof::LiveTask) -> Option<&str> {
///     task.await_stack.last().map(|frame| frame.function.as_str())
/// }
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct LiveFrame {
    /// Its path, as its author wrote it.
    pub function: String,
    /// File and line of the `.await`, or the call; empty where unknown.
    pub place: String,
}

impl Snapshot {
    pub(crate) fn new(live: &NamedLive) -> Snapshot {
        let analysis = Analysis::new(&live.profile, &Rules::default());
        let mut kinds = HashMap::new();
        for (row, activity) in analysis.rows(false) {
            if let Activity::Waiting(kind) = activity {
                kinds.insert((row.group, row.stack), kind);
            }
        }
        let task = |task: &Recorded| {
            let frames = analysis.await_stack(task.stack).into_iter();
            let frame = |(name, place)| LiveFrame {
                function: analysis.name(name).to_owned(),
                place: Option::map_or(place, String::new(), |place| analysis.place_text(place)),
            };
            let kind = kinds.get(&(task.group, task.stack)).copied();
            LiveTask {
                id: (task.id != 0).then_some(task.id),
                state: match task.state {
                    State::Scheduled => TaskState::Scheduled,
                    State::Waiting => TaskState::Waiting {
                        kind: kind.unwrap_or(Kind::Other).name(),
                    },
                    State::Running | State::OnCpu | State::Blocked => TaskState::Running,
                    State::Lost => TaskState::Unknown,
                },
                age: Duration::from_nanos(task.in_state_ns),
                await_stack: frames.map(frame).collect(),
            }
        };
        let mut tasks: HashMap<GroupId, Vec<LiveTask>> = HashMap::new();
        let shown = |live_task: &&Recorded| live.profile.group(live_task.group).kind != TaskKind::Worker;
        for recorded in live.tasks.iter().filter(shown) {
            tasks.entry(recorded.group).or_default().push(task(recorded));
        }
        // Parents come before their children: from the last on each group's own are complete.
        let mut spawned: HashMap<Option<GroupId>, Vec<LiveGroup>> = HashMap::new();
        for index in (0..live.profile.groups.len()).rev() {
            let id = GroupId(index as u32);
            let group = LiveGroup {
                name: analysis.group_label(id),
                tasks: tasks.remove(&id).unwrap_or_default(),
                spawned: spawned.remove(&Some(id)).unwrap_or_default(),
            };
            if !group.tasks.is_empty() || !group.spawned.is_empty() {
                let parent = live.profile.groups[index].parent;
                spawned.entry(parent).or_default().insert(0, group);
            }
        }
        let workers = live.tasks.iter().filter(|task| !shown(task)).count();
        Snapshot {
            alive: live.alive.saturating_sub(workers),
            groups: spawned.remove(&None).unwrap_or_default(),
        }
    }
}

impl fmt::Display for Snapshot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let listed: usize = self.groups.iter().map(LiveGroup::listed).sum();
        writeln!(f, "{} tasks alive, {listed} listed", self.alive)?;
        self.groups.iter().try_for_each(|group| group.write(f, 0))
    }
}

impl LiveGroup {
    fn listed(&self) -> usize {
        self.tasks.len() + self.spawned.iter().map(LiveGroup::listed).sum::<usize>()
    }

    fn write(&self, f: &mut fmt::Formatter<'_>, depth: usize) -> fmt::Result {
        let indent = "  ".repeat(depth);
        writeln!(f, "{indent}{} × {}", self.tasks.len(), self.name)?;
        for task in &self.tasks {
            let id = task.id.map_or_else(String::new, |id| format!("#{id} "));
            writeln!(f, "{indent}  {id}{} for {:.1?}", task.state, task.age)?;
            for frame in &task.await_stack {
                let at = if frame.place.is_empty() { "" } else { " at " };
                writeln!(f, "{indent}      {}{at}{}", frame.function, frame.place)?;
            }
        }
        self.spawned
            .iter()
            .try_for_each(|group| group.write(f, depth + 1))
    }
}

impl fmt::Display for TaskState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            TaskState::Scheduled => f.write_str("scheduled"),
            TaskState::Running => f.write_str("running"),
            TaskState::Waiting { kind } => write!(f, "waiting [{kind}]"),
            TaskState::Unknown => f.write_str("unknown"),
        }
    }
}
