//! A comparison of folded stacks: shares, and no more than those allow.

use std::io::Write;

use asyncprof_core::diff::{Diff, DiffNode};
use serde::Serialize;

use super::text::{percent_of, q, sign};
use crate::render::table::{Cell, left, lines, right};
use crate::render::{labels, units};

const NAME_WIDTH: usize = 70;

/// As `diff --json` writes it. Shares are parts of 1 of all that was counted on that side.
#[derive(Debug, Serialize)]
pub(crate) struct FoldedReport {
    /// Always `asyncprof-diff-folded`.
    format: &'static str,
    version: u32,
    base: Vec<String>,
    new: Vec<String>,
    /// Whole numbers, taken as counts of independent samples; else nothing is tested.
    tested: bool,
    min_effect: f64,
    findings: Vec<ShareEntry>,
    findings_total: usize,
}

#[derive(Debug, Serialize)]
struct ShareEntry {
    verdict: &'static str,
    frame: String,
    /// Outermost first.
    inside: Vec<String>,
    base: f64,
    new: f64,
    change: f64,
    /// In which the true change lies with 95 %; none where nothing is tested.
    interval: Option<(f64, f64)>,
    q: Option<f64>,
}

impl FoldedReport {
    /// Of the findings, largest change first, at most `limit`.
    pub(crate) fn new(
        diff: &Diff,
        [base, new]: [Vec<String>; 2],
        is_counted: bool,
        min_effect: f64,
        limit: usize,
    ) -> FoldedReport {
        let findings = diff.findings.iter().take(limit);
        FoldedReport {
            format: "asyncprof-diff-folded",
            version: 1,
            base,
            new,
            tested: is_counted,
            min_effect,
            findings: findings.map(|&at| ShareEntry::new(diff, at)).collect(),
            findings_total: diff.findings.len(),
        }
    }
}

impl ShareEntry {
    fn new(diff: &Diff, at: usize) -> ShareEntry {
        let node: &DiffNode = &diff.nodes[at];
        let mut inside: Vec<String> = diff.ancestors(at).map(|at| diff.nodes[at].name.clone()).collect();
        inside.reverse();
        let share = |rate: f64| rate / 1e9;
        ShareEntry {
            verdict: node.verdict.name(),
            frame: node.name.clone(),
            inside,
            base: share(node.base.rate),
            new: share(node.new.rate),
            change: share(node.effect),
            interval: node.q.map(|_| (share(node.interval.0), share(node.interval.1))),
            q: node.q,
        }
    }
}

/// Writes the report as text.
pub(crate) fn folded_text(report: &FoldedReport, color: bool, mut out: impl Write) -> anyhow::Result<()> {
    let names = |names: &[String]| units::printable(&names.join(", "));
    let mut text = format!("base: {}\nnew:  {}\n", names(&report.base), names(&report.new));
    text.push_str(match report.tested {
        true => {
            "Folded stacks: shares of all samples are compared, each sample taken as independent of the others. They \
             know\nnothing of episodes and seconds: where load comes in bursts the intervals are too narrow.\n\n"
        }
        false => {
            "Folded stacks with fractions: shares are compared, largest change first. How far chance moves them is \
             unknown,\nso nothing is tested, and no change is known to be one.\n\n"
        }
    });
    if report.findings.is_empty() {
        text.push_str("Nothing is known to have changed.\n");
    } else {
        text.push_str(&table(&report.findings, color));
    }
    let more = report.findings_total - report.findings.len();
    if more > 0 {
        text.push_str(&format!("  … and {more} more (--limit)\n"));
    }
    text.push_str(&format!(
        "\nChanges below {} of all do not matter (--min-effect).\n",
        percent_of(report.min_effect)
    ));
    out.write_all(text.as_bytes())?;
    Ok(out.flush()?)
}

fn table(entries: &[ShareEntry], color: bool) -> String {
    let heads = ["verdict", "frame"].map(left).into_iter();
    let numbers = ["base", "new", "change"].map(right).into_iter();
    let mut rows: Vec<Vec<Cell>> = vec![
        heads
            .chain(numbers)
            .chain(["95 % interval", "q", "inside"].map(left))
            .collect(),
    ];
    for entry in entries {
        let (sign, hue) = sign(entry.verdict);
        let verdict = left(format!("{sign} {}", entry.verdict));
        let interval = entry
            .interval
            .map(|(low, high)| format!("{} to {}", points(low), points(high)));
        let name = |name: &str| left(units::printable(&labels::at_most(name, NAME_WIDTH)));
        rows.push(vec![
            match hue {
                Some(hue) => verdict.colored(hue),
                None => verdict,
            },
            name(&entry.frame),
            right(percent(entry.base)),
            right(percent(entry.new)),
            right(points(entry.change)),
            left(interval.unwrap_or_default()),
            left(entry.q.map(q).unwrap_or_default()),
            name(&entry.inside.join(" › ")),
        ]);
    }
    lines(&rows, color)
}

fn percent(share: f64) -> String {
    format!("{:.2} %", share * 100.0)
}

/// Percentage points.
fn points(share: f64) -> String {
    let sign = if share < 0.0 { '−' } else { '+' };
    format!("{sign}{:.2}", share.abs() * 100.0)
}
