//! The nodes that take part in the gate.

use super::align::Place;
use super::compare::{DiffNode, Verdict};
use super::estimate::Side;
use super::gate::Tested;

/// Those with most time.
const MAX_NODES: usize = 2000;

pub(super) fn watched(
    places: &[Place],
    nodes: &[DiffNode],
    [base, new]: [&Side<'_>; 2],
    min_effect_rate: f64,
) -> Vec<Tested> {
    let weight = |at: &usize| nodes[*at].base.rate + nodes[*at].new.rate;
    let mut taken: Vec<usize> = (0..nodes.len()).filter(|&at| nodes[at].p.is_some()).collect();
    taken.sort_by(|a, b| weight(b).total_cmp(&weight(a)));
    taken.truncate(MAX_NODES);
    let is_watch = watches(nodes, &taken);
    let tested = |&at: &usize| {
        let (place, node) = (&places[at], &nodes[at]);
        let is_change = matches!(
            node.verdict,
            Verdict::Slower | Verdict::Faster | Verdict::New | Verdict::Gone | Verdict::Inconclusive
        );
        Tested {
            base_runs: node.base.rates.clone(),
            new_runs: node.new.rates.clone(),
            base_blocks: base.all_block_rates(place),
            new_blocks: new.all_block_rates(place),
            standard_error: node.standard_error,
            alarms: is_change && node.effect.abs() >= min_effect_rate,
            visible: base.visible(node.base.rate).min(new.visible(node.new.rate)),
            is_watch: is_watch[at],
        }
    };
    taken.iter().map(tested).collect()
}

/// Where a change at the end of a stack shows first: in the innermost node above it that takes part.
fn watches(nodes: &[DiffNode], taken: &[usize]) -> Vec<bool> {
    let mut takes_part = vec![false; nodes.len()];
    taken.iter().for_each(|&at| takes_part[at] = true);
    let mut is_watch = vec![false; nodes.len()];
    for (end, node) in nodes.iter().enumerate() {
        if node.children.is_empty() {
            let mut at = end;
            while at != 0 && !takes_part[at] {
                at = nodes[at].parent;
            }
            is_watch[at] = true;
        }
    }
    is_watch
}
