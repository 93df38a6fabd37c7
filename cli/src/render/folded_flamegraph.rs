//! The flame graph of another profiler's folded stacks: width is what was counted.

use anyhow::Context;
use asyncprof_core::folded::{Folded, FoldedNode, FoldedTreeOptions, folded_tree};
use asyncprof_core::view::{Activity, Category, FrameKind, NodeId};

use super::flamegraph::{DEFAULT_MIN_WIDTH_PX, draw};
use super::layout::{Boxed, Layout};
use super::svg::{self, FrameText, Header};
use super::{labels, palette, units};

pub(crate) struct FoldedOptions {
    /// Of the file.
    pub(crate) name: String,
    pub(crate) inverted: bool,
    /// Of 1200; [`DEFAULT_MIN_WIDTH_PX`] unless told.
    pub(crate) min_width_px: Option<f64>,
    pub(crate) title: Option<String>,
}

/// The SVG.
pub(crate) fn folded_flamegraph(stacks: &Folded, options: &FoldedOptions) -> anyhow::Result<Vec<u8>> {
    let min_share = options.min_width_px.unwrap_or(DEFAULT_MIN_WIDTH_PX) / svg::IMAGE_WIDTH as f64;
    let tree_options = FoldedTreeOptions {
        inverted: options.inverted,
        min_share,
        ..FoldedTreeOptions::default()
    };
    let nodes = folded_tree(&[stacks], tree_options);
    let mut children: Vec<Vec<NodeId>> = vec![Vec::new(); nodes.len()];
    for (at, node) in nodes.iter().enumerate().skip(1) {
        children[node.parent].push(NodeId(at as u32));
    }
    let layout = Layout::of(
        |id| nodes[id.index()].weight,
        |id| children[id.index()].clone(),
        |id| nodes[id.index()].kind,
        min_share,
    );
    let total = units::counted(stacks.total.round() as u64, "sample");
    let subtitle = format!("{}  ·  {total}", options.name);
    let title = options.title.as_deref().unwrap_or("Where the samples are");
    let drawn = draw(&layout, title, &subtitle)?;
    let order = match options.inverted {
        true => "top: the innermost function; below: its callers",
        false => "top: the outermost function; below: what it calls",
    };
    let header = Header {
        lines: vec![format!("width = samples · {order}{}", layout.too_narrow())],
        legend: Vec::new(),
    };
    let root = &nodes[0];
    let frame = |index: usize| match layout.boxes[index].what {
        Boxed::Node(id) => frame_text(&nodes[id.index()], root),
        Boxed::Others { frames, weight } => FrameText::of_others(frames, units::percent(weight, root.weight)),
    };
    let picture = svg::finish(&drawn, &header, frame).context("inferno's SVG has an unexpected form")?;
    Ok(picture.into_bytes())
}

fn frame_text(node: &FoldedNode, root: &FoldedNode) -> FrameText {
    let on_cpu = palette::of_activity(Activity::OnCpu);
    let (label, fill) = match node.kind {
        FrameKind::Root => ("all".to_owned(), on_cpu.tinted(0.9)),
        FrameKind::Function(Category::App) => (labels::label(&node.name, node.kind), on_cpu.tinted(0.6)),
        kind => (labels::label(&node.name, kind), on_cpu.tinted(0.8)),
    };
    let count = units::counted(node.counts[0].round() as u64, "sample");
    let share = units::percent(node.weight, root.weight);
    let details = match label == node.name {
        true => format!("{count}, {share}"),
        false => format!("{}, {count}, {share}", node.name),
    };
    FrameText {
        label,
        details,
        fill,
        strong: false,
        hatched: false,
        outlined: false,
    }
}
