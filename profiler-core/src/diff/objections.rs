//! Why two sides had better not be compared.

use std::collections::BTreeSet;

use super::compare::Diff;
use super::runs::Run;

/// Groups that both sides have must have so much of the time of either, if the programs have different names.
const SHARED: f64 = 0.5;

/// Sentences for the user; none if all is well.
pub fn objections(base: &[&Run], new: &[&Run], diff: &Diff) -> Vec<String> {
    let mut objections = Vec::new();
    let runs = || {
        base.iter()
            .map(|run| ("base", *run))
            .chain(new.iter().map(|run| ("new", *run)))
    };
    for (side, run) in runs() {
        let quality = &run.quality;
        if run.meta.duration_ns == 0 || run.rows.iter().all(|row| row.stats.total_ns == 0) {
            objections.push(format!("a {side} run is empty: no task time was recorded"));
        }
        if quality.events_lost > 0 || quality.threads_lost > 0 || quality.stacks_lost > 0 {
            objections.push(format!(
                "a {side} run has losses ({} events, {} threads, {} stacks): what is missing could look like a change",
                quality.events_lost, quality.threads_lost, quality.stacks_lost
            ));
        }
        if quality.stacks_left_out > 0 {
            objections.push(format!(
                "a {side} run has no stacks of {} short waits, as there was too much to record: their stacks could look new \
                 or gone",
                quality.stacks_left_out
            ));
        }
        if quality.tasks_cut_short > 0 {
            objections.push(format!(
                "of {} tasks a {side} run has only the beginning, as there was too much to record: which tasks stayed could \
                 look like a change",
                quality.tasks_cut_short
            ));
        }
    }
    let [sampled, plain]: [BTreeSet<&str>; 2] = [true, false].map(|is_sampled| {
        runs()
            .filter(|(_, run)| (run.quality.sampling_hz > 0) == is_sampled)
            .map(|(side, _)| side)
            .collect()
    });
    if !sampled.is_empty() && !plain.is_empty() {
        objections.push(
            "some runs were recorded with samples of running threads and some without (--freq 0): their running time \
             is split differently"
                .to_owned(),
        );
    }
    let windows: BTreeSet<u64> = runs().map(|(_, run)| run.meta.window_ns).collect();
    if windows.len() > 1 {
        objections.push("the runs have time windows of different lengths".to_owned());
    }
    let (base_names, new_names) = (programs(base), programs(new));
    if base_names.is_disjoint(&new_names) && shared(diff) < SHARED {
        let names = |names: BTreeSet<String>| names.into_iter().collect::<Vec<_>>().join(", ");
        objections.push(format!(
            "these are different programs: {} and {} have few tasks in common",
            names(base_names),
            names(new_names)
        ));
    }
    objections
}

fn programs(runs: &[&Run]) -> BTreeSet<String> {
    let processes = runs.iter().flat_map(|run| &run.processes);
    processes
        .map(|process| {
            process
                .executable
                .rsplit('/')
                .next()
                .unwrap_or_default()
                .to_owned()
        })
        .collect()
}

/// The part of either side's time that is in tasks which both sides have: the smaller one.
fn shared(diff: &Diff) -> f64 {
    let root = diff.root();
    let groups = || root.children.iter().map(|&at| &diff.nodes[at]);
    let both = || groups().filter(|node| node.base.rate > 0.0 && node.new.rate > 0.0);
    let base = both().map(|node| node.base.rate).sum::<f64>() / root.base.rate;
    let new = both().map(|node| node.new.rate).sum::<f64>() / root.new.rate;
    base.min(new)
}
