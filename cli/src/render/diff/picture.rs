//! The comparison as a flame graph: both sides in one tree, so that what has vanished stays visible, and each frame
//! coloured by its verdict.

use std::collections::HashSet;

use anyhow::{Context, bail};
use asyncprof_core::diff::{Diff, DiffNode, Verdict};
use asyncprof_core::view::NodeId;

use super::colors::{GONE, MOVED, NEW, RARE, STEPS, UNCHANGED, look};
use super::data::{Counts, frame};
use super::text::{percent_of, q, signed_percent};
use super::unit::Unit;
use crate::render::flamegraph::{DEFAULT_MIN_WIDTH_PX, draw};
use crate::render::layout::{Boxed, Layout};
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

/// What the picture says around the frames.
pub(crate) struct Captions {
    /// Names of the files.
    pub(super) base: String,
    pub(super) new: String,
    /// What is compared: `task time`.
    pub(super) time: &'static str,
    /// ` per second`; nothing for shares.
    pub(super) per: &'static str,
    pub(super) unit: Unit,
    pub(super) min_effect: f64,
}

/// The SVG of the comparison.
pub(crate) fn diff_picture(diff: &Diff, captions: &Captions, width: Width) -> anyhow::Result<Vec<u8>> {
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
    let kind = |id: NodeId| diff.nodes[id.index()].kind;
    let layout = Layout::of(|id| widths[id.index()], children, kind, min_share);
    let unit = captions.unit;
    let drawn = draw(
        &layout,
        "What got slower, what got faster",
        &subtitle(diff, captions),
    )?;
    let header = Header {
        lines: vec![
            largest(diff, unit, "slower", |node| node.effect > 0.0),
            largest(diff, unit, "faster", |node| node.effect < 0.0),
            meaning(captions, width, &layout),
        ],
        legend: legend(diff, captions.min_effect),
    };
    let findings: HashSet<usize> = diff.findings.iter().copied().collect();
    let frame = |index: usize| match layout.boxes[index].what {
        Boxed::Node(id) => {
            let at = id.index();
            let share = widths[at] as f64 / widths[0] as f64;
            FrameText {
                outlined: findings.contains(&at),
                ..frame_text(diff, at, unit, share)
            }
        }
        Boxed::Others { frames, weight } => FrameText::of_others(frames, unit.rate(weight as f64)),
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

/// What is compared with what.
fn subtitle(diff: &Diff, captions: &Captions) -> String {
    let mut text = format!("base {}  →  new {}", captions.base, captions.new);
    let unit = captions.unit;
    if unit != Unit::Share {
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

fn meaning(captions: &Captions, width: Width, layout: &Layout) -> String {
    let what = match captions.unit {
        Unit::Share => format!("share of all {}", captions.time),
        _ => format!("{}{}", captions.time, captions.per),
    };
    let side = match width {
        Width::Union => "where there is more of it",
        Width::Base => "in the base",
        Width::New => "in the new runs",
    };
    let too_narrow = layout.too_narrow();
    format!("width = {what}, {side} · colour = verdict, and new : base · framed = to blame{too_narrow}")
}

fn legend(diff: &Diff, min_effect: f64) -> Vec<LegendEntry> {
    let counts = Counts::of(diff);
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
                percent_of(min_effect)
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
        outlined: false,
    }
}

fn details(diff: &Diff, node: &DiffNode, unit: Unit, relative: Option<String>) -> Vec<String> {
    let side = |word: &str, side: &asyncprof_core::diff::Estimate| {
        let mut text = format!("{word} {}", unit.rate(side.rate));
        if side.episodes > 0 && side.stats.episodes > 0 {
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
