//! The rows of all runs laid into one call tree, in which each place knows what each run says of it.

use std::collections::HashMap;

use super::compare::DiffOptions;
use super::measure::{Blocks, Measure};
use crate::profile::{Profile, Row};
use crate::view::counted::Then;
use crate::view::prefix_tree::{Paths, Prefix, sum};
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
pub(super) fn align(runs: &[&Profile], blocks: Blocks, options: &DiffOptions) -> Vec<Place> {
    let tree_options = TreeOptions {
        by: options.by,
        exact_names: options.exact_names,
        ..TreeOptions::default()
    };
    let mut laid = Laid::default();
    for (number, run) in runs.iter().enumerate() {
        laid.add(
            number,
            &RowPaths::new(&Analysis::new(run, &options.rules), &tree_options),
        );
    }
    let weights: Vec<u64> = laid.rows.iter().map(|(_, row)| row.stats.total_ns).collect();
    let min_share = min_share(laid.most, options);
    let min_weight = (sum(&weights) as f64 * min_share).ceil() as u64;
    let keys: Vec<u32> = (0..laid.steps.len() as u32).collect();
    let tree = laid.paths.tree(&keys, &weights, min_weight);
    let mut places: Vec<Place> = Vec::with_capacity(tree.places.len());
    for place in &tree.places {
        let (name, kind) = match place.what {
            Prefix::Root => ("all".to_owned(), FrameKind::Root),
            Prefix::Step(step) => laid.steps[step as usize].clone(),
            Prefix::Others(frames) => ("(other)".to_owned(), FrameKind::Others(frames as u32)),
        };
        let mut measures = vec![Measure::default(); runs.len()];
        for &path in &tree.order[place.ends.clone()] {
            let (number, row) = laid.rows[path as usize];
            measures[number].merge(&Measure::of(row, blocks, runs[number]));
        }
        places.push(Place {
            name,
            kind,
            parent: place.parent,
            measures,
        });
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

/// The paths of all runs, with steps that are the same in all of them.
#[derive(Default)]
struct Laid<'p> {
    paths: Paths,
    /// Parallel to the paths: the run and its row.
    rows: Vec<(usize, &'p Row)>,
    /// Paths of the run that has most.
    most: usize,
    steps: Vec<(String, FrameKind)>,
    numbers: HashMap<(String, FrameKind), u32>,
}

impl<'p> Laid<'p> {
    fn add(&mut self, run: usize, of_run: &RowPaths<'_, 'p>) {
        let steps: Vec<u32> = of_run
            .steps()
            .map(|(text, kind)| self.step(name(text, kind), kind))
            .collect();
        self.most = self.most.max(of_run.rows.len());
        for (at, counted) in of_run.rows.iter().enumerate() {
            if let Then::State(row) = counted.then {
                let path = of_run.paths.path(at).iter().map(|&step| steps[step as usize]);
                self.paths.push(path);
                self.rows.push((run, row));
            }
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
