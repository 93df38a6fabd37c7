//! The call tree: all rows of a profile merged by what is shown of their stacks.
//!
//! A row's path is what its group stands on (see [`super::family`]) → frames → state. Every row counts at the end of
//! its path exactly once, so the root's total is the sum of the rows. By wake, the state is a separator, and the
//! stack of the wake follows upside down: → who called wake → … → the task, driver or thread that it was. What an
//! awaited task did stands below the state of the wait (see [`super::continued`]) and takes part in no sum above it.
//! By delay, the rows are the profile's delays, and what ran meanwhile follows: → the task → its frames.

use super::activity::{Activity, Shares};
use super::analysis::Analysis;
use super::builder::Builder;
use super::category::Category;
use super::counted::Counted;
use super::family::GroupBy;
use super::functions::{NameId, Names, Place};
use super::kind::Kind;
use super::source::WakeSource;
use super::steps::Step;
use crate::profile::{Row, Stats, TaskKind, WakerId};

/// Which rows count.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum By {
    #[default]
    Wall,
    Wait,
    Io,
    Sched,
    /// Being polled, in whatever way.
    Running,
    /// Being polled, on the CPU.
    Cpu,
    /// Being polled, the thread off the CPU.
    Blocked,
    /// Waits of which is known who ended them, with the stack of the wake.
    Wake,
    /// Not rows but [`Profile::delays`](crate::profile::Profile::delays), with what ran meanwhile.
    Delay,
}

impl By {
    pub fn selects(self, row: &Row, activity: Activity) -> bool {
        match self {
            By::Wall => true,
            By::Wake => matches!(activity, Activity::Waiting(_)) && row.waker != WakerId::default(),
            By::Wait => matches!(activity, Activity::Waiting(_)),
            By::Io => activity == Activity::Waiting(Kind::Io),
            By::Sched => activity == Activity::Scheduled,
            By::Running => activity.is_running(),
            By::Cpu => activity == Activity::OnCpu,
            By::Blocked => activity == Activity::Blocked,
            By::Delay => false,
        }
    }
}

#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct TreeOptions {
    pub by: By,
    /// Shows runtime frames, plumbing, and the runtime's own worker loops.
    pub show_runtime: bool,
    /// Leaf first: state → leaf → … → group.
    pub inverted: bool,
    pub group_by: GroupBy,
    /// Functions by their whole names, as the compiler wrote them.
    pub exact_names: bool,
    /// Places with less than this part of all time have no node of their own.
    pub min_share: f64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum FrameKind {
    /// Everything.
    Root,
    Process,
    Group(TaskKindOrd),
    Function(Category),
    State(Activity),
    /// Between a wait of this activity and the wake that ended it.
    WokenBy(Activity),
    /// Between a task that was ready and what ran meanwhile.
    Behind,
    /// No task ran meanwhile.
    NoTask,
    /// What woke, if it was no task.
    Source(WakeSource),
    /// So many places below the one above that are too narrow to have a node.
    Others(u32),
}

/// [`TaskKind`] in a fixed order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct TaskKindOrd(u8);

/// Index into [`CallTree::nodes`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct NodeId(pub u32);

impl NodeId {
    pub const ROOT: NodeId = NodeId(0);

    pub fn index(self) -> usize {
        self.0 as usize
    }
}

#[derive(Clone, Debug)]
pub struct Node {
    pub name: NameId,
    pub kind: FrameKind,
    pub parent: NodeId,
    /// Most time first.
    pub children: Vec<NodeId>,
    /// Over all rows that pass here; `stats.total_ns` is the inclusive time.
    pub stats: Stats,
    /// How many tasks a group has in all; 0 for other frames, and in an inverted tree.
    pub tasks: u64,
    /// The time of those tasks themselves: without that of other tasks further down.
    pub own_ns: u64,
    /// Time of rows that end here.
    pub self_ns: u64,
    /// A part of the wait above it, by what the awaited tasks did (see `view::continued`): it has no episodes.
    pub is_continued: bool,
    /// Inclusive time by activity.
    pub shares: Shares,
    /// Source lines seen here with their time, most time first, at most [`MAX_PLACES`].
    pub places: Vec<(Place, u64)>,
}

/// How many source lines a node remembers.
pub const MAX_PLACES: usize = 8;

pub struct CallTree {
    /// Parents before children; the root first.
    pub nodes: Vec<Node>,
    pub(super) names: Names,
}

impl CallTree {
    pub fn new(analysis: &Analysis<'_>, options: &TreeOptions) -> CallTree {
        Builder::new(analysis, options).build()
    }

    pub fn node(&self, id: NodeId) -> &Node {
        &self.nodes[id.index()]
    }

    pub fn root(&self) -> &Node {
        self.node(NodeId::ROOT)
    }

    pub fn name(&self, node: &Node) -> &str {
        self.names.text(node.name)
    }

    /// Parents before children, siblings by time: the order of a picture, with the depth (root 0).
    pub fn walk(&self) -> impl Iterator<Item = (NodeId, usize)> + '_ {
        let mut open = vec![(NodeId::ROOT, 0)];
        std::iter::from_fn(move || {
            let (id, depth) = open.pop()?;
            open.extend(
                self.node(id)
                    .children
                    .iter()
                    .rev()
                    .map(|&child| (child, depth + 1)),
            );
            Some((id, depth))
        })
    }
}

impl CallTree {
    /// Sums children into parents, last created first, and orders the children.
    pub(super) fn finish(&mut self) {
        for index in (1..self.nodes.len()).rev() {
            let (before, from) = self.nodes.split_at_mut(index);
            let (child, parent) = (&from[0], &mut before[from[0].parent.index()]);
            if child.is_continued && matches!(parent.kind, FrameKind::State(_)) {
                // It has this time already.
                parent.self_ns = parent.self_ns.saturating_sub(child.stats.total_ns);
            } else {
                parent.stats.merge(&child.stats);
                parent.shares.merge(&child.shares);
            }
            parent.children.push(NodeId(index as u32));
        }
        for index in 0..self.nodes.len() {
            let mut children = std::mem::take(&mut self.nodes[index].children);
            children.sort_by(|&a, &b| {
                let (a, b) = (self.node(a), self.node(b));
                (b.stats.total_ns.cmp(&a.stats.total_ns))
                    .then_with(|| self.name(a).cmp(self.name(b)))
                    .then_with(|| a.kind.cmp(&b.kind))
            });
            self.nodes[index].children = children;
            self.nodes[index]
                .places
                .sort_by_key(|&(place, ns)| (std::cmp::Reverse(ns), place));
        }
    }
}

impl Node {
    pub(super) fn new(name: NameId, kind: FrameKind, parent: NodeId) -> Node {
        Node {
            name,
            kind,
            parent,
            children: Vec::new(),
            stats: Stats::default(),
            tasks: 0,
            own_ns: 0,
            self_ns: 0,
            is_continued: false,
            shares: Shares::default(),
            places: Vec::new(),
        }
    }

    /// Notes that a path with so much time leads through here.
    pub(super) fn pass(&mut self, step: &Step, ns: u64) {
        if let Some(place) = step.place {
            self.add_place(place, ns);
        }
    }

    /// Adds what is counted to where its path ends.
    pub(super) fn end(&mut self, counted: &Counted<'_>) {
        let ns = counted.stats.total_ns;
        self.stats.merge(counted.stats);
        self.self_ns = self.self_ns.saturating_add(ns);
        self.shares.add(counted.activity, ns);
    }

    fn add_place(&mut self, place: Place, ns: u64) {
        if let Some((_, total)) = self.places.iter_mut().find(|(known, _)| *known == place) {
            *total = total.saturating_add(ns);
        } else if self.places.len() < MAX_PLACES {
            self.places.push((place, ns));
        }
    }
}

impl From<TaskKind> for TaskKindOrd {
    fn from(kind: TaskKind) -> TaskKindOrd {
        TaskKindOrd(kind as u8)
    }
}
