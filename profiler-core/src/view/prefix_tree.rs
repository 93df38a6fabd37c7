//! Many weighted paths merged into one tree, of which only what is wide enough is ever made: the paths are sorted, so
//! what stands on each place lies side by side, and a range whose weight is too small becomes no places but a part of
//! its parent's *others*.

use std::ops::Range;

use super::path_order::{Next, in_order};
use crate::profile::Lists;

/// From the root on, as numbers of steps.
pub(crate) type Paths = Lists<u32>;

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct PrefixTree {
    /// Parents before children; the root first.
    pub(crate) places: Vec<PrefixPlace>,
    /// Numbers of paths: those of one place side by side.
    pub(crate) order: Vec<u32>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct PrefixPlace {
    pub(crate) what: Prefix,
    /// The root is its own.
    pub(crate) parent: usize,
    /// In `order`: the paths that end here; of others all that are in them.
    pub(crate) ends: Range<usize>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Prefix {
    Root,
    /// One of the steps that lead here; all of them have the same key.
    Step(u32),
    /// So many places that are too light.
    Others(usize),
}

pub(crate) fn sum(weights: &[u64]) -> u64 {
    weights.iter().fold(0, |sum, &weight| sum.saturating_add(weight))
}

/// A path in its sorted place.
#[derive(Clone, Copy)]
struct Sorted {
    path: u32,
    len: u32,
    /// How many keys it shares with the one before.
    shared: u32,
    weight: u64,
}

/// A range of sorted paths that share their first `depth` keys.
struct Open {
    range: Range<usize>,
    depth: u32,
    parent: usize,
    what: Prefix,
}

impl PrefixTree {
    /// The tree in which paths run together as long as their steps have the same key. `keys` has that of each step,
    /// `weights` that of each path. Places of less than `min_weight` are among their parents' others.
    pub(crate) fn new(paths: &Paths, keys: &[u32], weights: &[u64], min_weight: u64) -> PrefixTree {
        let mut sorted = sorted(paths, keys, weights);
        let mut places = Vec::new();
        let mut open = vec![Open {
            range: 0..sorted.len(),
            depth: 0,
            parent: 0,
            what: Prefix::Root,
        }];
        while let Some(Open {
            range,
            depth,
            parent,
            what,
        }) = open.pop()
        {
            let at = places.len();
            if let Prefix::Others(_) = what {
                let ends = range;
                places.push(PrefixPlace { what, parent, ends });
                continue;
            }
            let own = sorted[range.clone()].iter().take_while(|path| path.len == depth);
            let ends = range.start..range.start + own.count();
            let mut runs = runs(&sorted, ends.end..range.end, depth);
            places.push(PrefixPlace { what, parent, ends });
            let kept = put_light_ones_last(&mut sorted, &mut runs, min_weight, depth);
            if let Some(light) = runs.get(kept) {
                let range = light.range.start..range.end;
                let what = Prefix::Others(frames(&sorted[range.clone()], depth));
                open.push(Open {
                    range,
                    depth: depth + 1,
                    parent: at,
                    what,
                });
            }
            open.extend(runs[..kept].iter().rev().map(|run| Open {
                range: run.range.clone(),
                depth: depth + 1,
                parent: at,
                what: Prefix::Step(paths[sorted[run.range.start].path as usize][depth as usize]),
            }));
        }
        PrefixTree {
            places,
            order: sorted.iter().map(|sorted| sorted.path).collect(),
        }
    }
}

fn sorted(paths: &Paths, keys: &[u32], weights: &[u64]) -> Vec<Sorted> {
    let place = |Next { path, shared }| Sorted {
        path,
        len: paths[path as usize].len() as u32,
        shared,
        weight: weights[path as usize],
    };
    in_order(paths, keys).into_iter().map(place).collect()
}

/// Paths that share one key more.
struct Run {
    range: Range<usize>,
    weight: u64,
}

fn runs(sorted: &[Sorted], range: Range<usize>, depth: u32) -> Vec<Run> {
    let mut runs: Vec<Run> = Vec::new();
    for at in range {
        match runs.last_mut() {
            Some(run) if sorted[at].shared > depth => {
                run.range.end = at + 1;
                run.weight = run.weight.saturating_add(sorted[at].weight);
            }
            _ => runs.push(Run {
                range: at..at + 1,
                weight: sorted[at].weight,
            }),
        }
    }
    runs
}

/// Moves the runs that are too light behind the others, and returns how many are not.
fn put_light_ones_last(sorted: &mut [Sorted], runs: &mut Vec<Run>, min_weight: u64, depth: u32) -> usize {
    let kept = runs.iter().filter(|run| run.weight >= min_weight).count();
    let (Some(first), Some(last)) = (runs.first(), runs.last()) else {
        return 0;
    };
    if kept == 0 || kept == runs.len() {
        return kept;
    }
    let whole = first.range.start..last.range.end;
    let before = sorted[whole.clone()].to_vec();
    runs.sort_by_key(|run| run.weight < min_weight);
    let mut at = whole.start;
    for run in runs {
        let from = run.range.start - whole.start;
        let moved = &before[from..from + run.range.len()];
        run.range = at..at + moved.len();
        sorted[run.range.clone()].copy_from_slice(moved);
        // Of runs side by side, whichever they are, the next shares no more than this.
        sorted[at].shared = depth;
        at = run.range.end;
    }
    kept
}

/// How many places there are below `depth`.
fn frames(sorted: &[Sorted], depth: u32) -> usize {
    let own = |(at, path): (usize, &Sorted)| {
        let shared = if at == 0 { depth } else { path.shared.max(depth) };
        (path.len - shared) as usize
    };
    sorted.iter().enumerate().map(own).sum()
}

#[cfg(test)]
mod tests {
    use std::collections::{BTreeMap, HashMap};

    use proptest::prelude::*;

    use super::*;

    fn paths(paths: &[(Vec<u32>, u64)]) -> Paths {
        paths.iter().map(|(path, _)| path.iter().copied()).collect()
    }

    /// By its keys from the root on; others end in `u32::MAX`. With the sorted paths that end there.
    fn named(paths: &Paths, tree: &PrefixTree) -> BTreeMap<Vec<u32>, (Option<usize>, Vec<u32>)> {
        let mut names: Vec<Vec<u32>> = Vec::new();
        let mut named = BTreeMap::new();
        for place in &tree.places {
            let mut name = names.get(place.parent).cloned().unwrap_or_default();
            let others = match place.what {
                Prefix::Root => None,
                Prefix::Step(step) => {
                    name.push(step);
                    None
                }
                Prefix::Others(frames) => {
                    name.push(u32::MAX);
                    Some(frames)
                }
            };
            let mut ends = tree.order[place.ends.clone()].to_vec();
            ends.sort_unstable();
            assert!(named.insert(name.clone(), (others, ends)).is_none(), "each once");
            names.push(name);
        }
        assert_eq!(tree.order.len(), paths.len());
        named
    }

    proptest! {
        #[test]
        fn every_path_is_where_a_full_tree_has_it_or_among_the_others_of_the_last_wide_place(
            given in prop::collection::vec((prop::collection::vec(0..3_u32, 0..6), 0..5_u64), 0..30),
            min_weight in 0..12_u64,
        ) {
            let all = paths(&given);
            let weights_of_paths: Vec<u64> = given.iter().map(|path| path.1).collect();
            let tree = named(&all, &PrefixTree::new(&all, &[0, 1, 2], &weights_of_paths, min_weight));
            let mut weights: HashMap<Vec<u32>, u64> = HashMap::new();
            for (path, weight) in &given {
                for len in 1..=path.len() {
                    *weights.entry(path[..len].to_vec()).or_default() += weight;
                }
            }
            let mut expected: BTreeMap<Vec<u32>, (Option<usize>, Vec<u32>)> = BTreeMap::new();
            expected.insert(Vec::new(), (None, Vec::new()));
            for (path, &weight) in &weights {
                if weight >= min_weight {
                    expected.insert(path.clone(), (None, Vec::new()));
                } else {
                    let wide = (0..path.len()).rev().find(|&len| len == 0 || weights[&path[..len]] >= min_weight);
                    let mut others = path[..wide.unwrap_or(0)].to_vec();
                    others.push(u32::MAX);
                    *expected.entry(others).or_insert((Some(0), Vec::new())).0.get_or_insert(0) += 1;
                }
            }
            for (at, (path, _)) in given.iter().enumerate() {
                let is_wide = |len: &usize| *len == 0 || weights[&path[..*len]] >= min_weight;
                let wide = (0..=path.len()).rev().find(is_wide).unwrap_or(0);
                let mut end = path[..wide].to_vec();
                if wide < path.len() {
                    end.push(u32::MAX);
                }
                expected.get_mut(&end).expect("it is there").1.push(at as u32);
            }
            prop_assert_eq!(tree, expected);
        }
    }
}
