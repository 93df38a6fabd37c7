//! The rows of all runs laid into one call tree, in which each place knows what each run says of it.

use std::collections::HashMap;

use super::compare::DiffOptions;
use super::measure::{Blocks, Measure};
use super::runs::Run;
use crate::profile::Profile;
use crate::view::counted::{Then, counted};
use crate::view::prefix_tree::{Paths, Prefix, PrefixTree, sum};
use crate::view::row_paths::RowPaths;
use crate::view::{Analysis, Category, FrameKind, TreeOptions};

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

/// Which part of all time is too little for a place of its own, where a run has so many paths: then places with less are
/// taken together. It is told from the time of all runs together, so it says nothing about which way a place has changed.
pub(super) fn min_share(most_paths: usize, options: &DiffOptions) -> f64 {
    const MAX_PATHS_IN_FULL: usize = 50_000;
    /// Of what matters.
    const PART: f64 = 0.01;
    match most_paths > MAX_PATHS_IN_FULL {
        true => options.min_effect * PART,
        false => 0.0,
    }
}

/// Places in an order that does not depend on that of the runs: parents before children, siblings by name.
pub(super) fn align(laid: Laid, runs: &[&Run], blocks: Blocks, options: &DiffOptions) -> Vec<Place> {
    let row = |&(run, row): &(u32, u32)| &runs[run as usize].rows[row as usize];
    let weights: Vec<u64> = laid.rows.iter().map(|at| row(at).stats.total_ns).collect();
    let min_share = min_share(laid.most, options);
    let min_weight = (sum(&weights) as f64 * min_share).ceil() as u64;
    let keys: Vec<u32> = (0..laid.steps.len() as u32).collect();
    let tree = PrefixTree::new(&laid.paths, &keys, &weights, min_weight);
    drop((laid.paths, weights));
    let mut places: Vec<Place> = Vec::with_capacity(tree.places.len());
    let mut place_of_path = vec![0; laid.rows.len()];
    for place in &tree.places {
        let (name, kind) = match place.what {
            Prefix::Root => ("all".to_owned(), FrameKind::Root),
            Prefix::Step(step) => laid.steps[step as usize].clone(),
            Prefix::Others(frames) => ("(other)".to_owned(), FrameKind::Others(frames as u32)),
        };
        for &path in &tree.order[place.ends.clone()] {
            place_of_path[path as usize] = places.len() as u32;
        }
        places.push(Place {
            name,
            kind,
            parent: place.parent,
            measures: vec![Measure::default(); runs.len()],
        });
    }
    // In the order in which the rows lie in memory.
    for (at, place) in laid.rows.iter().zip(place_of_path) {
        let run = at.0 as usize;
        places[place as usize].measures[run].add(row(at), blocks, runs[run]);
    }
    for index in (1..places.len()).rev() {
        let (before, from) = places.split_at_mut(index);
        let parent = &mut before[from[0].parent];
        for (sum, measure) in parent.measures.iter_mut().zip(&from[0].measures) {
            sum.merge(measure);
        }
    }
    sorted(places)
}

/// Process numbers are new in every run.
fn name(name: &str, kind: FrameKind) -> &str {
    match (kind, name.rsplit_once(" [process ")) {
        (FrameKind::Process, Some((program, _))) => program,
        _ => name,
    }
}

/// A function is the same one wherever its source lies.
fn same(kind: FrameKind) -> FrameKind {
    match kind {
        FrameKind::Function(_) => FrameKind::Function(Category::App),
        kind => kind,
    }
}

/// The paths of all runs.
#[derive(Default)]
pub(super) struct Laid {
    paths: Paths,
    /// Parallel to the paths: the number of the run and its row.
    rows: Vec<(u32, u32)>,
    /// Paths of the run that has most.
    most: usize,
    /// They are the same in all runs.
    steps: Vec<(String, FrameKind)>,
    numbers: HashMap<(String, FrameKind), u32>,
}

impl Laid {
    pub(super) fn add(&mut self, run: usize, profile: &Profile, options: &DiffOptions) {
        let tree_options = TreeOptions {
            by: options.by,
            exact_names: options.exact_names,
            ..TreeOptions::default()
        };
        let analysis = Analysis::new(profile, &options.rules);
        let mut row_paths = RowPaths::new(&analysis, &tree_options);
        let first = self.paths.len();
        for counted in counted(&analysis, &tree_options) {
            if let Then::State(_) = counted.then {
                self.paths.push(row_paths.path(&counted));
                self.rows.push((run as u32, counted.at));
            }
        }
        self.most = self.most.max(self.paths.len() - first);
        let steps: Vec<u32> = row_paths
            .steps()
            .map(|(text, kind)| self.step(name(text, kind), kind))
            .collect();
        for step in self.paths.items_from(first) {
            *step = steps[*step as usize];
        }
    }

    fn step(&mut self, name: &str, kind: FrameKind) -> u32 {
        let next = self.steps.len() as u32;
        let number = *self.numbers.entry((name.to_owned(), same(kind))).or_insert(next);
        if number == next {
            self.steps.push((name.to_owned(), kind));
        }
        number
    }
}

/// Siblings by name.
fn sorted(places: Vec<Place>) -> Vec<Place> {
    let mut children: Vec<Vec<usize>> = vec![Vec::new(); places.len()];
    for (index, place) in places.iter().enumerate().skip(1) {
        children[place.parent].push(index);
    }
    let key = |index: &usize| (&places[*index].name, same(places[*index].kind));
    let mut order = Vec::with_capacity(places.len());
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
    let mut old: Vec<Option<Place>> = places.into_iter().map(Some).collect();
    let moved = |&at: &usize| {
        let place = old[at].take().expect("each index is in the order once");
        Place {
            parent: new_index[place.parent],
            ..place
        }
    };
    order.iter().map(moved).collect()
}
