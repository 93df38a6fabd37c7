//! The call trees of all runs laid over each other: one tree, in which each node knows what each run says of it.

use std::collections::HashMap;

use super::measure::{Blocks, Measure};
use crate::profile::Profile;
use crate::view::{Analysis, By, CallTree, Category, FrameKind, Node, Rules, TreeOptions};

/// A place in the program, in whichever runs.
#[derive(Clone, Debug)]
pub(super) struct Place {
    pub(super) name: String,
    pub(super) kind: FrameKind,
    /// The root is its own.
    pub(super) parent: usize,
    /// By run.
    pub(super) measures: Vec<Measure>,
}

/// Places in an order that does not depend on that of the runs: parents before children, siblings by name.
pub(super) fn align(
    runs: &[&Profile],
    blocks: Blocks,
    by: By,
    exact_names: bool,
    rules: &Rules,
) -> Vec<Place> {
    let mut laid = Laid::new(runs.len());
    let options = TreeOptions {
        by,
        exact_names,
        ..TreeOptions::default()
    };
    for (number, run) in runs.iter().enumerate() {
        let (tree, ends) = CallTree::with_rows(&Analysis::new(run, rules), &options);
        let mut places = vec![0; tree.nodes.len()];
        for (index, node) in tree.nodes.iter().enumerate().skip(1) {
            // A part of a wait by what was awaited has that place of its own.
            if !node.is_continued {
                places[index] = laid.child(places[node.parent.index()], name(&tree, node), node.kind);
            }
        }
        for (end, row) in ends {
            let place = &mut laid.places[places[end.index()]];
            place.measures[number].merge(&Measure::of(row, blocks, run));
        }
    }
    let mut places = laid.sorted();
    for index in (1..places.len()).rev() {
        let (before, from) = places.split_at_mut(index);
        let parent = &mut before[from[0].parent];
        for (sum, measure) in parent.measures.iter_mut().zip(&from[0].measures) {
            sum.merge(measure);
        }
    }
    places
}

/// Process numbers are new in every run.
fn name(tree: &CallTree, node: &Node) -> String {
    let name = tree.name(node);
    match (node.kind, name.rsplit_once(" [process ")) {
        (FrameKind::Process, Some((program, _))) => program.to_owned(),
        _ => name.to_owned(),
    }
}

/// A function is the same one wherever its source lies.
fn same(kind: FrameKind) -> FrameKind {
    match kind {
        FrameKind::Function(_) => FrameKind::Function(Category::App),
        kind => kind,
    }
}

struct Laid {
    places: Vec<Place>,
    index: HashMap<(usize, String, FrameKind), usize>,
    runs: usize,
}

impl Laid {
    fn new(runs: usize) -> Laid {
        let root = Place {
            name: "all".to_owned(),
            kind: FrameKind::Root,
            parent: 0,
            measures: vec![Measure::default(); runs],
        };
        Laid {
            places: vec![root],
            index: HashMap::new(),
            runs,
        }
    }

    fn child(&mut self, parent: usize, name: String, kind: FrameKind) -> usize {
        let next = self.places.len();
        let key = (parent, name.clone(), same(kind));
        let id = *self.index.entry(key).or_insert(next);
        if id == next {
            self.places.push(Place {
                name,
                kind,
                parent,
                measures: vec![Measure::default(); self.runs],
            });
        }
        id
    }

    fn sorted(self) -> Vec<Place> {
        let mut children: Vec<Vec<usize>> = vec![Vec::new(); self.places.len()];
        for (index, place) in self.places.iter().enumerate().skip(1) {
            children[place.parent].push(index);
        }
        let key = |index: &usize| (&self.places[*index].name, same(self.places[*index].kind));
        let mut order = Vec::with_capacity(self.places.len());
        let mut open = vec![0];
        while let Some(index) = open.pop() {
            order.push(index);
            let of = &mut children[index];
            of.sort_by(|a, b| key(b).cmp(&key(a)));
            open.append(of);
        }
        let mut new_index = vec![0; order.len()];
        for (new, &old) in order.iter().enumerate() {
            new_index[old] = new;
        }
        let mut old: Vec<Option<Place>> = self.places.into_iter().map(Some).collect();
        let moved = |&at: &usize| {
            let place = old[at].take().expect("each index is in the order once");
            Place {
                parent: new_index[place.parent],
                ..place
            }
        };
        order.iter().map(moved).collect()
    }
}
