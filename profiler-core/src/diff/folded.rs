//! What can be said of folded stacks that are compared: shares, and where the numbers count samples how far chance moves
//! those.

use super::align::min_share;
use super::blame::blame;
use super::compare::{Diff, DiffNode, DiffOptions, Verdict, judge, node_of};
use super::estimate::{Estimate, Spread};
use super::exposure::Exposure;
use super::gate::gate_without_windows;
use crate::folded::{Folded, FoldedTreeOptions, folded_tree};
use crate::view::{Category, FrameKind};

/// Compares shares; each side has at least one file. Rates are parts of a billion.
///
/// Samples are taken as independent, so that a share p of n of them has the variance p (1 − p) / n. Where any file has
/// fractions nothing is tested, and what changed by more than matters is inconclusive.
pub fn compare_folded(base: &[&Folded], new: &[&Folded], options: &DiffOptions) -> Diff {
    let files = [base, new].concat();
    let is_counted = files.iter().all(|file| file.is_counted);
    let totals: Vec<f64> = files.iter().map(|file| file.total).collect();
    let mut nodes: Vec<DiffNode> = Vec::new();
    let most = files.iter().map(|file| file.len()).max().unwrap_or(0);
    let tree_options = FoldedTreeOptions {
        exact_names: options.exact_names,
        min_share: min_share(most, options),
        ..FoldedTreeOptions::default()
    };
    for place in folded_tree(&files, tree_options) {
        let at = nodes.len();
        if at > 0 {
            nodes[place.parent].children.push(at);
        }
        let side = |from: usize, to: usize| estimate(&place.counts[from..to], &totals[from..to], is_counted);
        let (base, new) = (side(0, base.len()), side(base.len(), files.len()));
        let kind = match place.kind {
            // Whose code it is does not matter to who is to blame.
            FrameKind::Function(_) => FrameKind::Function(Category::App),
            kind => kind,
        };
        nodes.push(node_of(place.name, kind, place.parent, [base, new], is_counted));
    }
    let min_effect_rate = options.min_effect * 1e9;
    let findings = if is_counted {
        judge(&mut nodes, min_effect_rate);
        blame(&mut nodes, min_effect_rate)
    } else {
        largest(&mut nodes, min_effect_rate)
    };
    let of_side = |totals: &[f64]| totals.iter().sum::<f64>();
    let samples = of_side(&totals[..base.len()]).min(of_side(&totals[base.len()..]));
    Diff {
        findings,
        min_effect_rate,
        exposure: Exposure::Share,
        exposed_per_second: [1.0; 2],
        detectable_rate: options.detectable * 1e9,
        gate: is_counted.then(|| gate_without_windows(&nodes, min_effect_rate, samples)),
        nodes,
    }
}

fn estimate(counts: &[f64], totals: &[f64], is_counted: bool) -> Estimate {
    let runs = counts.len() as f64;
    let shares = counts.iter().zip(totals).map(|(count, total)| count / total);
    let rates: Vec<f64> = shares.map(|share| share * 1e9).collect();
    let of_run = |(rate, total): (&f64, &f64)| (rate * (1e9 - rate) / total).max(0.0);
    let variance: f64 = rates.iter().zip(totals).map(of_run).sum();
    Estimate {
        rate: rates.iter().sum::<f64>() / runs,
        episodes: counts.iter().sum::<f64>() as u64,
        spread: Spread {
            variance: if is_counted { variance / runs.powi(2) } else { 0.0 },
            ..Spread::default()
        },
        rates,
        ..Estimate::default()
    }
}

/// Where most of each change is that would matter if it were one.
fn largest(nodes: &mut [DiffNode], min_effect_rate: f64) -> Vec<usize> {
    for node in nodes.iter_mut() {
        if node.effect.abs() >= min_effect_rate && node.effect != 0.0 {
            node.verdict = if node.effect > 0.0 {
                Verdict::Slower
            } else {
                Verdict::Faster
            };
        }
    }
    let findings = blame(nodes, min_effect_rate);
    for node in nodes {
        node.verdict = Verdict::Inconclusive;
        node.partner = None;
    }
    findings
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::diff::{Answer, Question};

    fn parse(text: &str) -> Folded {
        Folded::read(text.as_bytes()).unwrap()
    }

    fn diff(base: &Folded, new: &Folded) -> Diff {
        compare_folded(&[base], &[new], &DiffOptions::default())
    }

    fn found(diff: &Diff) -> Vec<(&str, Verdict)> {
        let finding = |&at: &usize| (diff.nodes[at].name.as_str(), diff.nodes[at].verdict);
        diff.findings.iter().map(finding).collect()
    }

    #[test]
    fn a_share_that_grew_is_found_and_blamed_on_the_innermost_frame() {
        let diff = diff(
            &parse("main;f 500\nmain;g 9500"),
            &parse("main;f 1000\nmain;g 9000"),
        );
        let mut names = found(&diff);
        names.sort();
        assert_eq!(names, [("f", Verdict::Slower), ("g", Verdict::Faster)]);
        let f = diff.nodes.iter().find(|node| node.name == "f").unwrap();
        // √(0.05·0.95/10000 + 0.1·0.9/10000) = 0.0037
        assert!((f.effect / 1e9 - 0.05).abs() < 1e-12 && (f.standard_error / 1e9 - 0.0037).abs() < 1e-5);
        assert_eq!(diff.answer(Question::Slower), Answer::Yes);
    }

    #[test]
    fn a_few_samples_and_fractions_prove_nothing() {
        let few = diff(&parse("f 5\ng 95"), &parse("f 9\ng 91"));
        assert_eq!(found(&few), []);
        let fractions = diff(&parse("f 500.5\ng 9500"), &parse("f 1000.5\ng 9000"));
        let mut names = found(&fractions);
        names.sort();
        assert_eq!(
            names,
            [("f", Verdict::Inconclusive), ("g", Verdict::Inconclusive)]
        );
        assert!(fractions.nodes.iter().all(|node| node.p.is_none()));
        assert_eq!(fractions.answer(Question::Slower), Answer::CannotTell);
    }

    /// Draws of the same distribution: of 200 pairs at most 8 % have any finding.
    #[test]
    fn a_program_against_itself() {
        let mut random = crate::diff::gate::Random(7);
        let mut draw = || {
            let mut counts = [0; 40];
            for _ in 0..5000 {
                // Squared, so that some are frequent and some rare.
                let at = random.below(40) * random.below(40) / 40;
                counts[at] += 1;
            }
            let lines = counts
                .iter()
                .enumerate()
                .map(|(at, count)| format!("main;f{at} {count}\n"));
            parse(&lines.collect::<String>())
        };
        let (mut findings, mut alarms) = (0, 0);
        for _ in 0..200 {
            let diff = diff(&draw(), &draw());
            findings += usize::from(!diff.findings.is_empty());
            alarms += usize::from(diff.answer(Question::Change) == Answer::Yes);
        }
        println!("findings in {findings} of 200, {alarms} alarms");
        assert!(findings <= 16 && alarms <= 16, "{findings}, {alarms}");
    }

    proptest! {
        #[test]
        fn no_text_makes_it_panic(text in any::<String>(), lines in proptest::collection::vec("[a-c;: ]{0,9} [0-9.e+-]{0,5}", 0..9)) {
            let other = parse("a;b 3\nc 1.5");
            for text in [text, lines.join("\n")] {
                if let Ok(folded) = Folded::read(text.as_bytes()) {
                    diff(&folded, &other);
                    prop_assert!(diff(&folded, &folded).findings.is_empty());
                }
            }
        }

        #[test]
        fn swapped_sides_swap_the_signs(counts in proptest::collection::vec((0_u32..999, 0_u32..999), 2..9)) {
            let side = |of: fn(&(u32, u32)) -> u32| {
                let lines = counts.iter().enumerate().map(|(at, pair)| format!("m;f{at} {}\n", of(pair)));
                parse(&format!("m;x 7\n{}", lines.collect::<String>()))
            };
            let (base, new) = (side(|pair| pair.0), side(|pair| pair.1));
            for (there, back) in diff(&base, &new).nodes.iter().zip(&diff(&new, &base).nodes) {
                prop_assert_eq!(there.effect, -back.effect);
                prop_assert_eq!(there.q, back.q);
            }
        }
    }
}
