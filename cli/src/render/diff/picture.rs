//! The comparison as a flame graph: both sides in one tree, so that what has vanished stays visible, and each frame
//! coloured by its verdict.

use anyhow::{Context, bail};
use asyncprof_core::diff::{Diff, DiffNode, Verdict};
use asyncprof_core::view::{By, NodeId};

use super::colors::{GONE, MOVED, NEW, RARE, STEPS, UNCHANGED, look};
use super::data::{DiffReport, RunEntry, frame};
use super::text::{percent_of, q, rate, signed_percent};
use crate::render::flamegraph::{DEFAULT_MIN_WIDTH_PX, draw};
use crate::render::layout::Layout;
use crate::render::palette::Color;
use crate::render::svg::{self, FrameText, HATCHED, Header, LegendEntry};
use crate::render::{labels, units};

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Width {
    /// Of a stack, the side that has more of it.
    #[default]
    Union,
    Base,
    New,
}

/// The SVG of what the report is about.
pub(crate) fn diff_picture(
    diff: &Diff,
    report: &DiffReport,
    by: By,
    width: Width,
) -> anyhow::Result<Vec<u8>> {
    let widths = widths(diff, width);
    if widths[0] == 0 {
        bail!("nothing to draw: there is no such time");
    }
    let children = |id: NodeId| {
        let mut children = diff.nodes[id.index()].children.clone();
        children.sort_by_key(|&child| std::cmp::Reverse(widths[child]));
        children.into_iter().map(|child| NodeId(child as u32)).collect()
    };
    let min_share = DEFAULT_MIN_WIDTH_PX / svg::IMAGE_WIDTH as f64;
    let layout = Layout::of(|id| widths[id.index()], children, min_share);
    let unit = Unit {
        is_share: report.per != "second",
    };
    let drawn = draw(
        &layout,
        "What got slower, what got faster",
        &subtitle(diff, report, unit),
    )?;
    let header = Header {
        lines: vec![
            largest(diff, unit, "slower", |node| node.effect > 0.0),
            largest(diff, unit, "faster", |node| node.effect < 0.0),
            meaning(by, width, unit, layout.hidden),
        ],
        legend: legend(report),
    };
    let frame = |index: usize| {
        let at = layout.boxes[index].node.index();
        let share = widths[at] as f64 / widths[0] as f64;
        frame_text(diff, at, unit, share)
    };
    let picture = svg::finish(&drawn, &header, frame).context("inferno's SVG has an unexpected form")?;
    Ok(picture.into_bytes())
}

/// Leaves have their own width, parents the sum of their children's: so these fit.
pub(super) fn widths(diff: &Diff, width: Width) -> Vec<u64> {
    let mut widths = vec![0_u64; diff.nodes.len()];
    for (at, node) in diff.nodes.iter().enumerate().rev() {
        if node.children.is_empty() {
            let rate = match width {
                Width::Union => node.base.rate.max(node.new.rate),
                Width::Base => node.base.rate,
                Width::New => node.new.rate,
            };
            widths[at] = rate.round() as u64;
        }
        if at > 0 {
            widths[node.parent] = widths[node.parent].saturating_add(widths[at]);
        }
    }
    widths
}

/// How rates are written.
#[derive(Clone, Copy)]
struct Unit {
    /// Of all compared time; else per second of recording.
    is_share: bool,
}

impl Unit {
    fn rate(self, ns_per_second: f64) -> String {
        match self.is_share {
            true => format!("{:.1} %", ns_per_second / 1e7),
            false => format!("{}/s", rate(ns_per_second)),
        }
    }

    fn signed(self, ns_per_second: f64) -> String {
        let sign = if ns_per_second < 0.0 { '−' } else { '+' };
        let text = self.rate(ns_per_second.abs());
        match self.is_share {
            // Percentage points: not to be mistaken for a part of the frame's own time.
            true => format!("{sign}{} pp", text.trim_end_matches(" %")),
            false => format!("{sign}{text}"),
        }
    }
}

/// What is compared with what.
fn subtitle(diff: &Diff, report: &DiffReport, unit: Unit) -> String {
    let side = |runs: &[RunEntry]| {
        let ns = runs.iter().map(|run| run.duration_ns).sum();
        let name = match runs {
            [run] => units::tail(&run.file, 40),
            runs => format!(
                "{} and {} more",
                units::tail(&runs[0].file, 30),
                units::count(runs.len() as u64 - 1)
            ),
        };
        format!("{name} ({})", units::duration(ns))
    };
    let mut text = format!("base {}  →  new {}", side(&report.base), side(&report.new));
    if !unit.is_share {
        let root = diff.root();
        text.push_str(&format!(
            "  ·  in all {} → {}, {}",
            unit.rate(root.base.rate),
            unit.rate(root.new.rate),
            root.verdict.name()
        ));
    }
    text
}

/// The largest findings in one direction, by name: the answer before one looks for it.
fn largest(diff: &Diff, unit: Unit, word: &str, is_in: impl Fn(&DiffNode) -> bool) -> String {
    const SHOWN: usize = 2;
    const NAME_WIDTH: usize = 50;
    let findings = diff.findings.iter().filter(|&&at| {
        let node = &diff.nodes[at];
        node.verdict != Verdict::Moved && is_in(node)
    });
    let findings: Vec<usize> = findings.copied().collect();
    let said = |&at: &usize| {
        let node = &diff.nodes[at];
        let (name, own) = frame(diff, at);
        let own = &diff.nodes[own];
        let rest = name.strip_prefix(&own.name).unwrap_or_default();
        let name = format!("{}{rest}", labels::label(&own.name, own.kind));
        let whole = match node.verdict {
            Verdict::New | Verdict::Gone => format!(" ({})", node.verdict.name()),
            _ => String::new(),
        };
        format!(
            "{} {}{whole}",
            unit.signed(node.effect),
            units::head(&name, NAME_WIDTH)
        )
    };
    let named: Vec<String> = findings.iter().take(SHOWN).map(said).collect();
    match findings.len() {
        0 => format!("{word}: nothing is known to be"),
        more if more > SHOWN => format!("{word}: {}, and {} more", named.join(", "), more - SHOWN),
        _ => format!("{word}: {}", named.join(", ")),
    }
}

fn meaning(by: By, width: Width, unit: Unit, hidden: usize) -> String {
    let what = match by {
        By::Wait => "time suspended at an await",
        By::Io => "time waiting for I/O",
        By::Sched => "time without a worker",
        By::Running => "time being polled",
        By::Cpu => "time on the CPU in polls",
        By::Wall | By::Wake | By::Delay => "task time",
    };
    let what = match unit.is_share {
        true => format!("share of all {what}"),
        false => format!("{what} per second"),
    };
    let side = match width {
        Width::Union => "where there is more of it",
        Width::Base => "in the base",
        Width::New => "in the new runs",
    };
    let hidden = match hidden {
        0 => String::new(),
        hidden => format!(" · {} too narrow to draw", units::counted(hidden as u64, "frame")),
    };
    format!("width = {what}, {side} · colour = verdict, and new : base · framed = to blame{hidden}")
}

fn legend(report: &DiffReport) -> Vec<LegendEntry> {
    let counts = &report.counts;
    let entry = |color, text: String| LegendEntry {
        color,
        hatched: color == HATCHED,
        text,
    };
    let scale = |word: String, color: fn(usize) -> Color| {
        let step = move |index: usize| {
            let factor = STEPS[index].0;
            let text = match (index, factor.is_finite()) {
                (0, _) => format!("{word} by < {factor} ×"),
                (_, true) => format!("< {factor} ×"),
                (_, false) => format!("≥ {} ×", STEPS[index - 1].0),
            };
            entry(color(index), text)
        };
        (0..STEPS.len()).map(step)
    };
    let slower = scale(format!("▲ {} slower", counts.slower), |index| STEPS[index].1);
    let faster = scale(format!("▼ {} faster", counts.faster), |index| STEPS[index].2);
    let others = [
        entry(NEW, format!("▲ {} new", counts.new)),
        entry(GONE, format!("▼ {} gone", counts.gone)),
        entry(MOVED, format!("↔ {} moved", counts.moved)),
        entry(
            UNCHANGED,
            format!(
                "{} unchanged within ±{} of all",
                counts.unchanged,
                percent_of(report.min_effect)
            ),
        ),
        entry(HATCHED, format!("? {} inconclusive", counts.inconclusive)),
        entry(RARE, format!("{} too rare to tell", counts.rare)),
    ];
    slower.chain(faster).chain(others).collect()
}

fn frame_text(diff: &Diff, at: usize, unit: Unit, share: f64) -> FrameText {
    let node = &diff.nodes[at];
    let look = look(node);
    let name = labels::label(&node.name, node.kind);
    let relative = (node.base.rate > 0.0).then(|| signed_percent(node.effect / node.base.rate));
    let mut label = match (node.verdict.is_change(), look.sign) {
        (true, sign) => format!("{sign} {} {name}", unit.signed(node.effect)),
        (false, "") => name,
        (false, sign) => format!("{sign} {name}"),
    };
    if let (Verdict::Slower | Verdict::Faster, Some(relative)) = (node.verdict, &relative) {
        let longer = format!("{label} · {relative}");
        if svg::fits(&longer, share) {
            label = longer;
        }
    }
    FrameText {
        label,
        details: details(diff, node, unit, relative).join(", "),
        fill: look.fill,
        strong: node.verdict.is_change(),
        hatched: look.hatched,
        outlined: diff.findings.contains(&at),
    }
}

fn details(diff: &Diff, node: &DiffNode, unit: Unit, relative: Option<String>) -> Vec<String> {
    let side = |word: &str, side: &asyncprof_core::diff::Estimate| {
        let mut text = format!("{word} {}", unit.rate(side.rate));
        if side.episodes > 0 {
            text.push_str(&format!(
                " = {} × {}",
                units::count(side.episodes),
                units::duration(side.stats.mean_ns())
            ));
        }
        text
    };
    let mut details = vec![
        node.name.clone(),
        node.verdict.name().to_owned(),
        side("base", &node.base),
        side("new", &node.new),
    ];
    let relative = relative
        .map(|relative| format!(" = {relative}"))
        .unwrap_or_default();
    details.push(format!("change {}{relative}", unit.signed(node.effect)));
    if let Some(q_value) = node.q {
        let (low, high) = node.interval;
        details.push(format!(
            "95 % interval {} to {}",
            unit.signed(low),
            unit.signed(high)
        ));
        details.push(format!("q {}", q(q_value)));
    }
    if let Some(partner) = node.partner {
        let word = if node.effect > 0.0 { "from" } else { "to" };
        details.push(format!("moved {word} {}", frame(diff, partner).0));
    }
    details
}
