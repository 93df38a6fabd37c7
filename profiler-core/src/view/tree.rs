//! The call tree: all rows of a profile merged by what is shown of their stacks.
//!
//! A row's path is [process, if there are several] → group → frames → state. Every row counts at the end of
//! its path exactly once, so the root's total is the sum of the rows. By wake, the state is a separator, and the
//! stack of the wake follows upside down: → who called wake → … → the task, driver or thread that it was.
//! By delay, the rows are the profile's delays, and what ran meanwhile follows: → the task → its frames.

use std::collections::{HashMap, HashSet};

use super::activity::{Activity, Shares};
use super::analysis::Analysis;
use super::category::Category;
use super::functions::{NameId, Names, Place};
use super::kind::Kind;
use super::path::{Shown, visible, visible_busy};
use super::source::WakeSource;
use crate::profile::{Delay, GroupId, Row, StackId, State, Stats, TaskKind, Waker, WakerId};

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
            By::Delay => false,
        }
    }
}

#[derive(Clone, Copy, Debug, Default)]
pub struct TreeOptions {
    pub by: By,
    /// Shows runtime frames, plumbing, and the runtime's own worker loops.
    pub show_runtime: bool,
    /// Leaf first: state → leaf → … → group.
    pub inverted: bool,
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
    /// Time of rows that end here.
    pub self_ns: u64,
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
    names: Names,
}

impl CallTree {
    pub fn new(analysis: &Analysis<'_>, options: &TreeOptions) -> CallTree {
        Builder::new(analysis, *options).build()
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

/// What is added at the end of one path.
struct Counted<'p> {
    group: GroupId,
    stack: StackId,
    activity: Activity,
    stats: &'p Stats,
    then: Then,
}

/// What follows the await stack.
#[derive(Clone, Copy)]
enum Then {
    State,
    WokenBy(WakerId),
    Behind(Option<(GroupId, StackId, bool)>),
}

impl<'p> Counted<'p> {
    fn row(row: &'p Row, activity: Activity, by: By) -> Counted<'p> {
        Counted {
            group: row.group,
            stack: row.stack,
            activity,
            stats: &row.stats,
            then: match by {
                By::Wake => Then::WokenBy(row.waker),
                _ => Then::State,
            },
        }
    }

    fn delay(delay: &'p Delay) -> Counted<'p> {
        let is_busy = delay.blocker_state != State::Running;
        let blocker = delay.blocker.map(|group| (group, delay.blocker_stack, is_busy));
        Counted {
            group: delay.victim,
            stack: delay.victim_stack,
            activity: Activity::Scheduled,
            stats: &delay.stats,
            then: Then::Behind(blocker),
        }
    }
}

#[derive(Clone, Copy)]
struct Step {
    name: NameId,
    kind: FrameKind,
    place: Option<Place>,
}

impl Step {
    fn of(frame: &Shown) -> Step {
        Step {
            name: frame.name,
            kind: FrameKind::Function(frame.category),
            place: frame.place,
        }
    }
}

struct Builder<'a, 'p> {
    analysis: &'a Analysis<'p>,
    options: TreeOptions,
    tree: CallTree,
    edges: HashMap<(NodeId, NameId, FrameKind), NodeId>,
    groups: HashMap<GroupId, Vec<Step>>,
    /// Groups whose tasks are in their node.
    counted: HashSet<GroupId>,
    /// Of waits, and of what a thread was found to do in a poll.
    stacks: HashMap<(StackId, bool), Vec<Shown>>,
}

impl<'a, 'p> Builder<'a, 'p> {
    fn new(analysis: &'a Analysis<'p>, options: TreeOptions) -> Builder<'a, 'p> {
        let mut names = analysis.names().clone();
        let root = Node::new(names.id("all"), FrameKind::Root, NodeId::ROOT);
        Builder {
            analysis,
            options,
            tree: CallTree {
                nodes: vec![root],
                names,
            },
            edges: HashMap::new(),
            groups: HashMap::new(),
            counted: HashSet::new(),
            stacks: HashMap::new(),
        }
    }

    fn build(mut self) -> CallTree {
        let analysis = self.analysis;
        let counted = self.counted();
        let mut processes: Vec<_> = counted
            .iter()
            .map(|counted| analysis.profile.group(counted.group).process)
            .collect();
        processes.sort_unstable();
        processes.dedup();
        for counted in counted {
            let mut path = self.path(&counted, processes.len() > 1);
            if self.options.inverted {
                path.reverse();
            }
            self.add(&counted, &path);
        }
        self.tree.finish();
        self.tree
    }

    fn counted(&self) -> Vec<Counted<'p>> {
        let by = self.options.by;
        if by == By::Delay {
            return self.analysis.profile.delays.iter().map(Counted::delay).collect();
        }
        let rows = self.analysis.rows(self.options.show_runtime);
        rows.filter(|&(row, activity)| by.selects(row, activity))
            .map(|(row, activity)| Counted::row(row, activity, by))
            .collect()
    }

    fn path(&mut self, counted: &Counted<'_>, with_process: bool) -> Vec<Step> {
        let activity = counted.activity;
        let is_busy = matches!(activity, Activity::OnCpu | Activity::Blocked);
        let mut path = self.task_path(counted.group, counted.stack, is_busy, with_process);
        match counted.then {
            Then::State => {
                path.push(self.step(&format!("[{}]", activity.name()), FrameKind::State(activity)));
            }
            Then::WokenBy(waker) => {
                path.push(self.step("-- woken by --", FrameKind::WokenBy(activity)));
                path.extend(self.wake_path(waker, with_process));
            }
            Then::Behind(Some((blocker, stack, is_busy))) => {
                path.push(self.step("-- kept waiting by --", FrameKind::Behind));
                path.extend(self.task_path(blocker, stack, is_busy, false));
            }
            Then::Behind(None) => {
                path.push(self.step("-- kept waiting by --", FrameKind::Behind));
                path.push(self.step("[no task]", FrameKind::NoTask));
            }
        }
        path
    }

    fn step(&mut self, name: &str, kind: FrameKind) -> Step {
        let name = self.tree.names.id(name);
        Step {
            name,
            kind,
            place: None,
        }
    }

    /// The group, then the frames of the stack.
    fn task_path(&mut self, group: GroupId, stack: StackId, is_busy: bool, with_process: bool) -> Vec<Step> {
        let mut path = self.group_path(group, with_process);
        let name = self
            .analysis
            .profile
            .string(self.analysis.profile.group(group).name);
        let show_runtime = self.options.show_runtime;
        let analysis = self.analysis;
        let mut frames = self.frames(stack, is_busy).iter().peekable();
        // A task is often named after its outermost function: one frame says both.
        if let (Some(group), Some(first)) = (path.last_mut(), frames.peek())
            && !show_runtime
            && name == analysis.name(first.name)
        {
            group.place = first.place;
            frames.next();
        }
        path.extend(frames.map(Step::of));
        path
    }

    /// From the function that called wake outwards.
    fn wake_path(&mut self, waker: WakerId, with_process: bool) -> Vec<Step> {
        let mut path = match (
            self.analysis.profile.wakers[waker.index()],
            self.analysis.wake_source(waker),
        ) {
            (Waker::Task { group, stack }, _) => self.task_path(group, stack, false, with_process),
            (waker, source) => {
                let source = source.unwrap_or(WakeSource::Thread);
                let mut path = vec![self.step(source.name(), FrameKind::Source(source))];
                path.extend(self.frames(waker.stack(), false).iter().map(Step::of));
                path
            }
        };
        let show_runtime = self.options.show_runtime;
        path.retain(|step| match step.kind {
            // The waiting task is of the same one.
            FrameKind::Process => false,
            // That a driver wakes by its own functions is what its name says.
            FrameKind::Function(Category::Runtime | Category::Plumbing) => show_runtime,
            _ => true,
        });
        path.reverse();
        path
    }

    fn frames(&mut self, stack: StackId, is_busy: bool) -> &[Shown] {
        self.stacks.entry((stack, is_busy)).or_insert_with(|| {
            let shown = if is_busy { visible_busy } else { visible };
            shown(
                &self.analysis.functions,
                &self.analysis.calls(stack),
                self.options.show_runtime,
            )
        })
    }

    fn group_path(&mut self, id: GroupId, with_process: bool) -> Vec<Step> {
        if let Some(path) = self.groups.get(&id) {
            return path.clone();
        }
        let group = self.analysis.profile.group(id);
        let mut path = Vec::new();
        if let Some(process) = self
            .analysis
            .profile
            .processes
            .get(group.process.index())
            .filter(|_| with_process)
        {
            let program = process.executable.rsplit('/').next().unwrap_or_default();
            let name = self
                .tree
                .names
                .id(&format!("{program} [process {}]", process.pid));
            path.push(Step {
                name,
                kind: FrameKind::Process,
                place: None,
            });
        }
        let name = self.tree.names.id(&self.analysis.group_label(id));
        path.push(Step {
            name,
            kind: FrameKind::Group(group.kind.into()),
            place: None,
        });
        self.groups.insert(id, path.clone());
        path
    }

    fn add(&mut self, counted: &Counted<'_>, path: &[Step]) {
        let total_ns = counted.stats.total_ns;
        let mut at = NodeId::ROOT;
        for step in path {
            let next = NodeId(u32::try_from(self.tree.nodes.len()).expect("fewer than 2^32 nodes"));
            let id = *self.edges.entry((at, step.name, step.kind)).or_insert(next);
            if id == next {
                self.tree.nodes.push(Node::new(step.name, step.kind, at));
            }
            let node = &mut self.tree.nodes[id.index()];
            if matches!(step.kind, FrameKind::Group(_))
                && !self.options.inverted
                && self.counted.insert(counted.group)
            {
                node.tasks += self.analysis.profile.group(counted.group).tasks;
            }
            if let Some(place) = step.place {
                node.add_place(place, total_ns);
            }
            at = id;
        }
        let leaf = &mut self.tree.nodes[at.index()];
        leaf.stats.merge(counted.stats);
        leaf.self_ns = leaf.self_ns.saturating_add(total_ns);
        leaf.shares.add(counted.activity, total_ns);
    }
}

impl CallTree {
    /// Sums children into parents, last created first, and orders the children.
    fn finish(&mut self) {
        for index in (1..self.nodes.len()).rev() {
            let (before, from) = self.nodes.split_at_mut(index);
            let (child, parent) = (&from[0], &mut before[from[0].parent.index()]);
            parent.stats.merge(&child.stats);
            parent.shares.merge(&child.shares);
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
    fn new(name: NameId, kind: FrameKind, parent: NodeId) -> Node {
        Node {
            name,
            kind,
            parent,
            children: Vec::new(),
            stats: Stats::default(),
            tasks: 0,
            self_ns: 0,
            shares: Shares::default(),
            places: Vec::new(),
        }
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
