//! Which of the changed nodes are to blame: those whose change their children do not explain.

use super::compare::{DiffNode, Verdict};
use crate::view::FrameKind;

/// Children that changed by so much of the parent's change explain it.
const EXPLAINS: f64 = 0.8;
/// So many gains and losses, the largest, are looked at for moves.
const MAX_PAIRED: usize = 1000;
/// A gain equals a loss if their sum is below this part of them.
const EQUAL: f64 = 0.2;

/// The nodes to blame, largest effect first. Pairs of a loss and an equal gain become moved.
pub(super) fn blame(nodes: &mut [DiffNode], min_effect_rate: f64) -> Vec<usize> {
    let mut findings: Vec<usize> = (0..nodes.len()).filter(|&at| is_to_blame(nodes, at)).collect();
    findings.sort_by(|&a, &b| nodes[b].effect.abs().total_cmp(&nodes[a].effect.abs()));
    pair_moved(nodes, &findings, min_effect_rate);
    // What moved along with something around it is no finding of its own.
    findings.retain(|&at| nodes[at].verdict != Verdict::Moved || nodes[at].partner.is_some());
    findings
}

fn is_to_blame(nodes: &[DiffNode], at: usize) -> bool {
    let node = &nodes[at];
    if !node.verdict.is_change() {
        return false;
    }
    let is_whole = |verdict| matches!(verdict, Verdict::New | Verdict::Gone);
    if at != 0 && is_whole(nodes[node.parent].verdict) {
        return false; // all of the parent is new, or gone
    }
    if is_whole(node.verdict) {
        return true;
    }
    let children = node.children.iter().map(|&child| &nodes[child]);
    let explained: f64 = children
        .filter(|child| child.verdict.is_change() && child.effect.signum() == node.effect.signum())
        .map(|child| child.effect.abs())
        .sum();
    explained < EXPLAINS * node.effect.abs()
}

/// Each gain with the loss that is nearest to it.
fn pair_moved(nodes: &mut [DiffNode], findings: &[usize], min_effect_rate: f64) {
    let largest = findings.iter().take(MAX_PAIRED);
    let (gains, losses): (Vec<usize>, Vec<usize>) = largest.partition(|&&at| nodes[at].effect > 0.0);
    let mut pairs: Vec<(f64, usize, usize)> = Vec::new();
    for &gain in &gains {
        for &loss in &losses {
            if let Some(rest) = rest_of_move(nodes, gain, loss, min_effect_rate) {
                pairs.push((rest, gain, loss));
            }
        }
    }
    pairs.sort_by(|a, b| a.0.total_cmp(&b.0));
    for (_, gain, loss) in pairs {
        if nodes[gain].partner.is_none() && nodes[loss].partner.is_none() {
            nodes[gain].partner = Some(loss);
            nodes[loss].partner = Some(gain);
            move_below(nodes, gain);
            move_below(nodes, loss);
        }
    }
}

/// What is left of gain and loss together, as a part of them; none if these are no move.
fn rest_of_move(nodes: &[DiffNode], gain: usize, loss: usize, min_effect_rate: f64) -> Option<f64> {
    let (gained, lost) = (&nodes[gain], &nodes[loss]);
    // A wait that got shorter and another that got longer are two changes. What moved was not there before, and is not
    // here any more; or it is the same function with another caller.
    let is_move = (gained.verdict == Verdict::New && lost.verdict == Verdict::Gone)
        || (gained.name == lost.name && is_function(gained) && is_function(lost));
    let rest = (gained.effect + lost.effect).abs();
    let size = gained.effect.max(-lost.effect);
    let error = gained.standard_error.hypot(lost.standard_error);
    let is_equal = rest <= (EQUAL * size).max(min_effect_rate.min(size / 2.0)) && rest <= 2.0 * error;
    (is_move && is_equal && state_of(nodes, gain) == state_of(nodes, loss)).then(|| rest / size)
}

fn is_function(node: &DiffNode) -> bool {
    matches!(node.kind, FrameKind::Function(_) | FrameKind::Group(_))
}

/// The state in which most of the node's time is.
fn state_of(nodes: &[DiffNode], mut at: usize) -> FrameKind {
    let weight = |&child: &usize| nodes[child].base.rate.max(nodes[child].new.rate);
    while let Some(&child) = nodes[at]
        .children
        .iter()
        .max_by(|a, b| weight(a).total_cmp(&weight(b)))
    {
        at = child;
    }
    nodes[at].kind
}

fn move_below(nodes: &mut [DiffNode], at: usize) {
    let mut open = vec![at];
    while let Some(at) = open.pop() {
        if nodes[at].verdict.is_change() {
            nodes[at].verdict = Verdict::Moved;
        }
        open.extend(&nodes[at].children);
    }
}
