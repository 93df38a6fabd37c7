//! Paths sorted by the keys of their steps. They lie far apart in memory, so looking at them is what sorting costs: a merge
//! sort that knows how much neighbours share mostly need not.

use std::cmp::Ordering;

use super::prefix_tree::Paths;

/// A path in its sorted place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Next {
    pub(super) path: u32,
    /// How many keys it shares with the one before.
    pub(super) shared: u32,
}

/// All paths; equal ones stay in their order.
pub(super) fn in_order(paths: &Paths, keys: &[u32]) -> Vec<Next> {
    let next = |path| Next { path, shared: 0 };
    let mut sorted: Vec<Next> = (0..paths.len() as u32).map(next).collect();
    let mut merged = Vec::with_capacity(sorted.len());
    let mut width = 1;
    while width < sorted.len() {
        for both in sorted.chunks(2 * width) {
            let (a, b) = both.split_at(width.min(both.len()));
            merge(a, b, &mut merged, |a, b, shared| {
                fork(paths, keys, [a, b], shared)
            });
        }
        std::mem::swap(&mut sorted, &mut merged);
        merged.clear();
        width *= 2;
    }
    sorted
}

/// How many keys two paths share that are known to share so many, and which comes first.
fn fork(paths: &Paths, keys: &[u32], both: [u32; 2], known: u32) -> (u32, Ordering) {
    let [a, b] = both.map(|path| &paths[path as usize][known as usize..]);
    let key = |step: &u32| keys[*step as usize];
    let are_same = |&(a, b): &(&u32, &u32)| a == b || key(a) == key(b);
    let more = a.iter().zip(b).take_while(are_same).count();
    let order = a.get(more).map(key).cmp(&b.get(more).map(key));
    (known + more as u32, order)
}

/// Of two paths the one that shares more with the last one taken comes first. Only where both share as much they are looked
/// at, from there on.
fn merge(
    mut a: &[Next],
    mut b: &[Next],
    merged: &mut Vec<Next>,
    fork: impl Fn(u32, u32, u32) -> (u32, Ordering),
) {
    let shared_by = |rest: &[Next]| rest.first().map_or(0, |next| next.shared);
    // By the next of each with the last one taken.
    let (mut a_shares, mut b_shares) = (0, 0);
    while let ([next_a, rest_a @ ..], [next_b, rest_b @ ..]) = (a, b) {
        let mut order = b_shares.cmp(&a_shares);
        let shared = a_shares.max(b_shares);
        if order == Ordering::Equal {
            let forked;
            (forked, order) = fork(next_a.path, next_b.path, shared);
            (a_shares, b_shares) = (forked, forked);
        }
        let path = if order == Ordering::Greater {
            (b, b_shares) = (rest_b, shared_by(rest_b));
            next_b.path
        } else {
            (a, a_shares) = (rest_a, shared_by(rest_a));
            next_a.path
        };
        merged.push(Next { path, shared });
    }
    let (rest, shared) = if a.is_empty() {
        (b, b_shares)
    } else {
        (a, a_shares)
    };
    let end = merged.len();
    merged.extend_from_slice(rest);
    if let Some(next) = merged.get_mut(end) {
        next.shared = shared;
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn it_is_the_order_of_the_lists_of_keys(
            given in prop::collection::vec(prop::collection::vec(0..4_u32, 0..7), 0..70),
            keys in prop::collection::vec(0..3_u32, 4),
        ) {
            let paths: Paths = given.iter().cloned().collect();
            let named = |path: &Vec<u32>| path.iter().map(|&step| keys[step as usize]).collect::<Vec<_>>();
            let named: Vec<Vec<u32>> = given.iter().map(named).collect();
            let mut order: Vec<usize> = (0..given.len()).collect();
            order.sort_by_key(|&at| &named[at]);
            let sorted = in_order(&paths, &keys);
            prop_assert_eq!(sorted.iter().map(|next| next.path as usize).collect::<Vec<_>>(), order.clone());
            for (at, next) in sorted.iter().enumerate() {
                let before: &[u32] = if at == 0 { &[] } else { &named[order[at - 1]] };
                let shared = named[order[at]].iter().zip(before).take_while(|(a, b)| a == b).count();
                prop_assert_eq!(next.shared as usize, shared, "{}", at);
            }
        }
    }
}
