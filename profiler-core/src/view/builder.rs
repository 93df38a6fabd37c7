//! Builds the call tree: a node for each place that is wide enough, with what the rows that pass there say.

use std::collections::{HashMap, HashSet};

use super::activity::Activity;
use super::analysis::Analysis;
use super::continued::AwaitedTasks;
use super::counted::{Counted, Then, counted};
use super::functions::NameId;
use super::prefix_tree::{Paths, Prefix, PrefixPlace, PrefixTree, sum};
use super::row_paths::RowPaths;
use super::steps::Step;
use super::tree::{CallTree, FrameKind, Node, NodeId, TreeOptions};
use crate::profile::GroupId;

pub(super) struct Builder<'a, 'p> {
    pub(super) rows: RowPaths<'a, 'p>,
    nodes: Vec<Node>,
    /// Groups whose tasks are in a node.
    counted: HashSet<(NodeId, GroupId)>,
    /// Of parts of waits: where they lie.
    edges: HashMap<(NodeId, NameId, FrameKind), NodeId>,
}

impl<'a, 'p> Builder<'a, 'p> {
    pub(super) fn new(analysis: &'a Analysis<'p>, options: &TreeOptions) -> Builder<'a, 'p> {
        Builder {
            rows: RowPaths::new(analysis, options),
            nodes: Vec::new(),
            counted: HashSet::new(),
            edges: HashMap::new(),
        }
    }

    pub(super) fn build(mut self) -> CallTree {
        let rows: Vec<Counted<'_>> = counted(self.rows.analysis, &self.rows.options).collect();
        let mut paths = Paths::default();
        rows.iter().for_each(|row| paths.push(self.rows.path(row)));
        let weights: Vec<u64> = rows.iter().map(|row| row.stats.total_ns).collect();
        let min_weight = (sum(&weights) as f64 * self.rows.options.min_share).ceil() as u64;
        let tree = PrefixTree::new(&paths, self.rows.steps.keys(), &weights, min_weight);
        let mut awaited_tasks = AwaitedTasks::new();
        // The places above.
        let mut line: Vec<NodeId> = Vec::new();
        for (at, place) in tree.places.iter().enumerate() {
            let parent = NodeId(place.parent as u32);
            while line.last().is_some_and(|&above| above != parent) {
                line.pop();
            }
            line.push(NodeId(u32::try_from(at).expect("fewer than 2^32 nodes")));
            let node = self.node(place);
            self.nodes.push(node);
            for &row in &tree.order[place.ends.clone()] {
                let (row, path) = (&rows[row as usize], &paths[row as usize]);
                self.count(&line, row, path, &mut awaited_tasks);
            }
        }
        self.continue_waits(awaited_tasks);
        let mut tree = CallTree {
            nodes: self.nodes,
            names: self.rows.names,
        };
        tree.finish();
        tree
    }

    /// The node of a place, without any time yet.
    fn node(&mut self, place: &PrefixPlace) -> Node {
        let (name, kind) = match place.what {
            Prefix::Root => (self.rows.names.id("all"), FrameKind::Root),
            Prefix::Others(frames) => {
                let frames = u32::try_from(frames).unwrap_or(u32::MAX);
                (self.rows.names.id("(other)"), FrameKind::Others(frames))
            }
            Prefix::Step(step) => {
                let step = self.rows.steps.get(step);
                (step.name, step.kind)
            }
        };
        Node::new(name, kind, NodeId(place.parent as u32))
    }

    /// Adds what has this path at the last node of this line.
    fn count(
        &mut self,
        line: &[NodeId],
        counted: &Counted<'_>,
        path: &[u32],
        awaited_tasks: &mut AwaitedTasks,
    ) {
        let rows = &self.rows;
        let ns = counted.stats.total_ns;
        for (&at, &step) in line[1..].iter().zip(path) {
            let node = &mut self.nodes[at.index()];
            if let FrameKind::Others(_) = node.kind {
                break;
            }
            let step = rows.steps.get(step);
            node.pass(step, ns);
            if let Some(group) = step.group.filter(|_| !rows.options.inverted) {
                if self.counted.insert((at, group)) {
                    node.tasks += rows.analysis.profile.group(group).tasks;
                }
                if group == counted.group {
                    node.own_ns = node.own_ns.saturating_add(ns);
                }
            }
        }
        let Some(&end) = line.last() else { return };
        let leaf = &mut self.nodes[end.index()];
        leaf.end(counted);
        if !matches!(leaf.kind, FrameKind::Others(_))
            && let Then::State(row) = counted.then
            && let Some(awaited) = rows.awaited(row, counted.activity)
        {
            let ns = awaited_tasks.entry((end, row.group, awaited)).or_default();
            *ns = u64::saturating_add(*ns, row.stats.total_ns);
        }
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
            self.nodes[at.index()].is_continued = true;
        }
        let waited = self.nodes[wait.index()].shares.dominant();
        let leaf = &mut self.nodes[at.index()];
        leaf.stats.total_ns = leaf.stats.total_ns.saturating_add(ns);
        leaf.self_ns = leaf.self_ns.saturating_add(ns);
        if let Some(activity) = activity.or(waited.map(|waited| waited.0)) {
            leaf.shares.add(activity, ns);
        }
        at
    }

    /// The node of this step, on which `ns` more will stand.
    fn child(&mut self, parent: NodeId, step: &Step, ns: u64) -> NodeId {
        let next = NodeId(u32::try_from(self.nodes.len()).expect("fewer than 2^32 nodes"));
        let id = *self.edges.entry((parent, step.name, step.kind)).or_insert(next);
        if id == next {
            self.nodes.push(Node::new(step.name, step.kind, parent));
        }
        self.nodes[id.index()].pass(step, ns);
        id
    }
}
