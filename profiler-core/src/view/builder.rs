//! Builds the call tree: gives each row its path, and each path its nodes.

use std::collections::{HashMap, HashSet};

use super::activity::Activity;
use super::analysis::Analysis;
use super::category::Category;
use super::continued::AwaitedTasks;
use super::counted::{Blocker, Counted, Then, counted};
use super::functions::{NameId, Names, Place};
use super::path::{Shown, visible, visible_busy};
use super::source::WakeSource;
use super::tree::{By, CallTree, FrameKind, Node, NodeId, TreeOptions};
use crate::profile::{GroupId, Row, StackId, Waker, WakerId};

#[derive(Clone, Copy)]
pub(super) struct Step {
    pub(super) name: NameId,
    pub(super) kind: FrameKind,
    pub(super) place: Option<Place>,
    /// The group whose tasks are to be counted here.
    pub(super) group: Option<GroupId>,
}

impl Step {
    pub(super) fn new(names: &mut Names, name: &str, kind: FrameKind) -> Step {
        Step {
            name: names.id(name),
            kind,
            place: None,
            group: None,
        }
    }

    pub(super) fn of(frame: &Shown) -> Step {
        Step {
            name: frame.name,
            kind: FrameKind::Function(frame.category),
            place: frame.place,
            group: None,
        }
    }
}

pub(super) struct Builder<'a, 'p> {
    pub(super) analysis: &'a Analysis<'p>,
    pub(super) options: TreeOptions,
    pub(super) several_processes: bool,
    pub(super) tree: CallTree,
    edges: HashMap<(NodeId, NameId, FrameKind), NodeId>,
    pub(super) root_paths: HashMap<GroupId, Vec<Step>>,
    /// Groups whose tasks are in a node.
    counted: HashSet<(NodeId, GroupId)>,
    /// Of waits, and of what a thread was found to do in a poll.
    stacks: HashMap<(StackId, bool), Vec<Shown>>,
}

impl<'a, 'p> Builder<'a, 'p> {
    pub(super) fn new(analysis: &'a Analysis<'p>, options: TreeOptions) -> Builder<'a, 'p> {
        let mut names = analysis.names().clone();
        let root = Node::new(names.id("all"), FrameKind::Root, NodeId::ROOT);
        Builder {
            analysis,
            options,
            several_processes: false,
            tree: CallTree {
                nodes: vec![root],
                names,
            },
            edges: HashMap::new(),
            root_paths: HashMap::new(),
            counted: HashSet::new(),
            stacks: HashMap::new(),
        }
    }

    /// The tree, and at which node each row ended.
    pub(super) fn build(mut self) -> (CallTree, Vec<(NodeId, &'p Row)>) {
        let analysis = self.analysis;
        let selected = counted(analysis, &self.options);
        let process = |counted: &Counted<'_>| analysis.profile.group(counted.group).process;
        self.several_processes = selected
            .windows(2)
            .any(|two| process(&two[0]) != process(&two[1]));
        let mut awaited_tasks = AwaitedTasks::new();
        let mut ends = Vec::new();
        for counted in &selected {
            let mut path = self.path(counted);
            if self.options.inverted {
                path.reverse();
            }
            let leaf = self.add(counted, &path);
            if let Then::State(row) = counted.then {
                ends.push((leaf, row));
            }
            if let Then::State(row) = counted.then
                && let Some(awaited) = self.awaited(row, counted.activity)
            {
                let ns = awaited_tasks.entry((leaf, row.group, awaited)).or_default();
                *ns = u64::saturating_add(*ns, row.stats.total_ns);
            }
        }
        self.continue_waits(awaited_tasks);
        self.tree.finish();
        (self.tree, ends)
    }

    fn path(&mut self, counted: &Counted<'_>) -> Vec<Step> {
        let activity = counted.activity;
        let mut path = self.root_path(counted.group);
        self.push_stack(&mut path, counted.stack, is_busy(activity));
        match counted.then {
            Then::State(_) => path.push(self.state_step(activity)),
            Then::WokenBy(waker) => {
                path.push(self.step("-- woken by --", FrameKind::WokenBy(activity)));
                path.extend(self.wake_path(waker));
            }
            Then::Behind(blocker) => {
                path.push(self.step("-- kept waiting by --", FrameKind::Behind));
                path.extend(self.blocker_path(blocker));
            }
        }
        path
    }

    fn blocker_path(&mut self, blocker: Option<Blocker>) -> Vec<Step> {
        let Some(blocker) = blocker else {
            return vec![self.step("[no task]", FrameKind::NoTask)];
        };
        let mut path = vec![self.group_step(blocker.group)];
        self.push_stack(&mut path, blocker.stack, blocker.is_busy);
        // Its tasks are counted where their own time is.
        path.iter_mut().for_each(|step| step.group = None);
        path
    }

    pub(super) fn step(&mut self, name: &str, kind: FrameKind) -> Step {
        Step::new(&mut self.tree.names, name, kind)
    }

    pub(super) fn state_step(&mut self, activity: Activity) -> Step {
        self.step(&format!("[{}]", activity.name()), FrameKind::State(activity))
    }

    /// The frames of a stack below the task that it is of.
    pub(super) fn push_stack(&mut self, path: &mut Vec<Step>, stack: StackId, is_busy: bool) {
        let frames = self.frames(stack, is_busy).to_vec();
        self.push_frames(path, &frames);
    }

    /// From the function that called wake outwards.
    fn wake_path(&mut self, waker: WakerId) -> Vec<Step> {
        let mut path = match (
            self.analysis.profile.wakers[waker.index()],
            self.analysis.wake_source(waker),
        ) {
            (Waker::Task { group, stack }, _) => {
                let mut path = vec![self.group_step(group)];
                self.push_stack(&mut path, stack, false);
                // Its tasks are counted where their own time is.
                path.iter_mut().for_each(|step| step.group = None);
                path
            }
            (waker, source) => {
                let source = source.unwrap_or(WakeSource::Thread);
                let mut path = vec![self.step(source.name(), FrameKind::Source(source))];
                path.extend(self.frames(waker.stack(), false).iter().map(Step::of));
                path
            }
        };
        let show_runtime = self.options.show_runtime;
        path.retain(|step| match step.kind {
            // That a driver wakes by its own functions is what its name says.
            FrameKind::Function(Category::Runtime | Category::Plumbing) => show_runtime,
            _ => true,
        });
        path.reverse();
        path
    }

    fn frames(&mut self, stack: StackId, is_busy: bool) -> &[Shown] {
        self.stacks.entry((stack, is_busy)).or_insert_with(|| {
            let (functions, calls) = (&self.analysis.functions, self.analysis.calls(stack));
            if is_busy {
                let in_full = matches!(self.options.by, By::Running | By::Cpu | By::Blocked);
                visible_busy(functions, &calls, self.options.show_runtime, in_full)
            } else {
                visible(functions, &calls, self.options.show_runtime)
            }
        })
    }

    /// Puts it at the end of its path, which is returned.
    fn add(&mut self, counted: &Counted<'_>, path: &[Step]) -> NodeId {
        let ns = counted.stats.total_ns;
        let mut at = NodeId::ROOT;
        for step in path {
            at = self.child(at, step, ns);
            if let Some(group) = step.group.filter(|_| !self.options.inverted) {
                let is_new = self.counted.insert((at, group));
                let node = &mut self.tree.nodes[at.index()];
                if is_new {
                    node.tasks += self.analysis.profile.group(group).tasks;
                }
                if group == counted.group {
                    node.own_ns = node.own_ns.saturating_add(ns);
                }
            }
        }
        let leaf = &mut self.tree.nodes[at.index()];
        leaf.stats.merge(counted.stats);
        leaf.self_ns = leaf.self_ns.saturating_add(ns);
        leaf.shares.add(counted.activity, ns);
        at
    }

    /// Puts a part of a wait below the wait's state, at the end of a path.
    pub(super) fn add_continued(
        &mut self,
        wait: NodeId,
        path: &[Step],
        activity: Option<Activity>,
        ns: u64,
    ) -> NodeId {
        let mut at = wait;
        for step in path {
            at = self.child(at, step, ns);
            self.tree.nodes[at.index()].is_continued = true;
        }
        let waited = self.tree.nodes[wait.index()].shares.dominant();
        let leaf = &mut self.tree.nodes[at.index()];
        leaf.stats.total_ns = leaf.stats.total_ns.saturating_add(ns);
        leaf.self_ns = leaf.self_ns.saturating_add(ns);
        if let Some(activity) = activity.or(waited.map(|waited| waited.0)) {
            leaf.shares.add(activity, ns);
        }
        at
    }

    /// The node of this step, on which `ns` more will stand.
    pub(super) fn child(&mut self, parent: NodeId, step: &Step, ns: u64) -> NodeId {
        let next = NodeId(u32::try_from(self.tree.nodes.len()).expect("fewer than 2^32 nodes"));
        let id = *self.edges.entry((parent, step.name, step.kind)).or_insert(next);
        if id == next {
            self.tree.nodes.push(Node::new(step.name, step.kind, parent));
        }
        if let Some(place) = step.place {
            self.tree.nodes[id.index()].add_place(place, ns);
        }
        id
    }
}

/// Whether the stack of such a row is that of a thread in a poll.
pub(super) fn is_busy(activity: Activity) -> bool {
    matches!(activity, Activity::OnCpu | Activity::Blocked)
}
