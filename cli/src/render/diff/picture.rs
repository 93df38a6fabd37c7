//! The comparison as a flame graph: both sides in one tree, each frame as wide as on the side where it has more, and
//! coloured by its verdict. How strong the colour is follows a fixed scale, not the largest change at hand.

use anyhow::Context;
use asyncprof_core::diff::{Diff, DiffNode, Verdict};
use asyncprof_core::view::NodeId;

use super::text::{percent_of, q, rate, signed_percent};
use crate::render::flamegraph::{DEFAULT_MIN_WIDTH_PX, draw};
use crate::render::layout::Layout;
use crate::render::palette::Color;
use crate::render::svg::{self, FrameText, Header, LegendEntry};
use crate::render::{labels, units};

// Of Okabe and Ito's palette, which colour-blind eyes can tell apart.
const MORE: Color = Color(213, 94, 0);
const LESS: Color = Color(0, 114, 178);
const MOVED: Color = Color(204, 121, 167);
const SAME: Color = Color(222, 222, 218);

/// The SVG.
pub(crate) fn diff_picture(diff: &Diff, subtitle: &str, min_effect: f64) -> anyhow::Result<Vec<u8>> {
    let widths = widths(diff);
    let children = |id: NodeId| {
        let mut children = diff.nodes[id.index()].children.clone();
        children.sort_by_key(|&child| std::cmp::Reverse(widths[child]));
        children.into_iter().map(|child| NodeId(child as u32)).collect()
    };
    let min_share = DEFAULT_MIN_WIDTH_PX / svg::IMAGE_WIDTH as f64;
    let layout = Layout::of(|id| widths[id.index()], children, min_share);
    let drawn = draw(&layout, "What changed", subtitle)?;
    let header = Header {
        lines: vec![
            "width = task time per second, on the side that has more of it · colour = verdict; full at twice or half"
                .to_owned(),
        ],
        legend: legend(min_effect),
    };
    let frame = |index: usize| frame_text(&diff.nodes[layout.boxes[index].node.index()]);
    let picture = svg::finish(&drawn, &header, frame).context("inferno's SVG has an unexpected form")?;
    Ok(picture.into_bytes())
}

/// Of both sides, so that what has vanished stays visible; parents show their children's sum.
fn widths(diff: &Diff) -> Vec<u64> {
    let mut widths = vec![0_u64; diff.nodes.len()];
    for (at, node) in diff.nodes.iter().enumerate().rev() {
        let own = node.base.rate.max(node.new.rate).round() as u64;
        widths[at] = widths[at].max(own);
        if at > 0 {
            let width = widths[at];
            let parent = &mut widths[node.parent];
            *parent = parent.saturating_add(width);
        }
    }
    widths
}

fn legend(min_effect: f64) -> Vec<LegendEntry> {
    let entry = |color, hatched, text: &str| LegendEntry {
        color,
        hatched,
        text: text.to_owned(),
    };
    let unchanged = format!("= unchanged within ±{} of all", percent_of(min_effect));
    vec![
        entry(MORE, false, "▲ slower or new"),
        entry(LESS, false, "▼ faster or gone"),
        entry(MOVED, false, "↔ moved"),
        entry(SAME, false, &unchanged),
        entry(svg::HATCHED, true, "? inconclusive, or too rare to tell"),
    ]
}

fn frame_text(node: &DiffNode) -> FrameText {
    let relative = (node.base.rate > 0.0).then(|| signed_percent(node.effect / node.base.rate));
    let name = labels::label(&node.name, node.kind);
    // Full strength where it doubles or halves, and where one side has none.
    let strength = (node.new.rate / node.base.rate).log2().abs().min(1.0);
    let shade = |color: Color| color.tinted(0.7 * (1.0 - strength));
    let (sign, fill, hatched) = match node.verdict {
        Verdict::Slower | Verdict::New => ("▲ ", shade(MORE), false),
        Verdict::Faster | Verdict::Gone => ("▼ ", shade(LESS), false),
        Verdict::Moved => ("↔ ", MOVED, false),
        Verdict::Unchanged => ("", SAME, false),
        Verdict::Inconclusive | Verdict::Rare => ("", svg::HATCHED, true),
    };
    let number = match node.verdict {
        Verdict::Slower | Verdict::Faster => relative.clone().unwrap_or_default(),
        Verdict::New | Verdict::Gone => node.verdict.name().to_owned(),
        _ => String::new(),
    };
    let label = match number.is_empty() {
        true => format!("{sign}{name}"),
        false => format!("{sign}{number} {name}"),
    };
    let mut details = vec![
        node.name.clone(),
        node.verdict.name().to_owned(),
        format!("{} → {} a second", rate(node.base.rate), rate(node.new.rate)),
    ];
    details.extend(relative);
    if let Some(q_value) = node.q {
        let (low, high) = node.interval;
        details.push(format!("95 %: {} to {} ms/s", millis(low), millis(high)));
        details.push(format!("q {}", q(q_value)));
    }
    details.push(format!(
        "{} × {} → {} × {}",
        units::count(node.base.episodes),
        units::duration(node.base.stats.mean_ns()),
        units::count(node.new.episodes),
        units::duration(node.new.stats.mean_ns())
    ));
    FrameText {
        label,
        details: details.join(", "),
        fill,
        strong: node.verdict.is_change(),
        hatched,
    }
}

fn millis(ns: f64) -> String {
    format!("{:+.1}", ns / 1e6)
}
