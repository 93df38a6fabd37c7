//! A comparison of folded stacks: shares, and no more than those allow.

use std::io::Write;

use asyncprof_core::diff::{Diff, DiffNode, Question};
use serde::Serialize;

use super::data::{GateEntry, Sort, listed, said, side_name};
use super::picture::Captions;
use super::text::{answers, percent_of, q, sign};
use super::unit::Unit;
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
    gate: Option<GateEntry>,
    /// `yes`, `no` or `cannot tell`.
    slower: &'static str,
    faster: &'static str,
    /// All places, largest change first; only with --all.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    places: Vec<ShareEntry>,
}

pub(crate) struct FoldedInput<'a> {
    pub(crate) diff: &'a Diff,
    pub(crate) base: Vec<String>,
    pub(crate) new: Vec<String>,
    pub(crate) is_counted: bool,
    pub(crate) min_effect: f64,
    pub(crate) detectable: f64,
    pub(crate) limit: usize,
    pub(crate) sort: Sort,
    /// With all places.
    pub(crate) all: bool,
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
    pub(crate) fn new(input: FoldedInput<'_>) -> FoldedReport {
        let diff = input.diff;
        let (findings, places) = listed(diff, input.sort, input.all);
        let entry = |at: usize| ShareEntry::new(diff, at);
        FoldedReport {
            format: "asyncprof-diff-folded",
            version: 1,
            base: input.base,
            new: input.new,
            tested: input.is_counted,
            min_effect: input.min_effect,
            findings_total: findings.len(),
            findings: findings.into_iter().take(input.limit).map(entry).collect(),
            gate: GateEntry::of(diff, input.detectable),
            slower: said(diff, Question::Slower),
            faster: said(diff, Question::Faster),
            places: places.into_iter().map(entry).collect(),
        }
    }

    /// What the picture says around the frames.
    pub(crate) fn captions(&self) -> Captions {
        let side = |files: &[String]| side_name(&files.iter().map(String::as_str).collect::<Vec<_>>());
        Captions {
            base: side(&self.base),
            new: side(&self.new),
            time: "that was counted",
            per: "",
            unit: Unit::Share,
            min_effect: self.min_effect,
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
    if !report.places.is_empty() {
        text.push_str(&table(&report.places, color));
    } else if report.findings_total == 0 {
        text.push_str("Nothing is known to have changed.\n");
    } else {
        text.push_str(&table(&report.findings, color));
    }
    let more = report.findings_total - report.findings.len();
    if more > 0 && report.places.is_empty() {
        text.push_str(&format!("  … and {more} more (--limit)\n"));
    }
    text.push_str(&format!(
        "\nChanges below {} of all do not matter (--min-effect).\n",
        percent_of(report.min_effect)
    ));
    if let Some(gate) = &report.gate {
        text.push_str(&format!("{}\n", answers(gate, report.slower, report.faster)));
    }
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
