//! Which frames of a call tree get a box, and their integer widths.

use asyncprof_core::view::{CallTree, FrameKind, NodeId};

use super::units;

/// JavaScript in the picture reads widths as doubles: beyond this they would be rounded.
const MAX_UNITS: u64 = 1 << 50;

/// A picture higher than this helps nobody.
const MAX_DEPTH: usize = 400;

/// A tree cut to what is wide enough to see.
pub(crate) struct Layout {
    /// Parents before children, siblings left to right.
    pub(crate) boxes: Vec<Placed>,
    /// Frames without a box of their own, for being too narrow or too deep.
    pub(crate) hidden: usize,
}

/// What a box stands for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Boxed {
    Node(NodeId),
    /// The frames on one parent that have no box of their own, and what they weigh.
    Others {
        frames: usize,
        weight: u64,
    },
}

pub(crate) struct Placed {
    pub(crate) what: Boxed,
    pub(crate) depth: usize,
    /// In units that all boxes share.
    pub(crate) width: u64,
}

impl Layout {
    /// `min_share` is the narrowest box to keep, as a share of the whole.
    pub(crate) fn new(tree: &CallTree, min_share: f64) -> Layout {
        let weight = |id: NodeId| tree.node(id).stats.total_ns;
        Layout::of(
            weight,
            |id| tree.node(id).children.clone(),
            |id| tree.node(id).kind,
            min_share,
        )
    }

    /// Of any tree, by what its nodes weigh, which children they have, and which of them stand for others.
    pub(crate) fn of(
        weight: impl Fn(NodeId) -> u64,
        children: impl Fn(NodeId) -> Vec<NodeId>,
        kind: impl Fn(NodeId) -> FrameKind,
        min_share: f64,
    ) -> Layout {
        let total_ns = weight(NodeId::ROOT);
        let unit_ns = total_ns.div_ceil(MAX_UNITS).max(1);
        let min_ns = (total_ns as f64 * min_share).max(unit_ns as f64);
        let mut layout = Layout {
            boxes: Vec::new(),
            hidden: 0,
        };
        let mut open = vec![(Boxed::Node(NodeId::ROOT), 0, 0)];
        while let Some((what, depth, start_ns)) = open.pop() {
            let ns = match what {
                Boxed::Node(id) => weight(id),
                Boxed::Others { weight, .. } => weight,
            };
            // Edges are rounded, not widths, so that children never stick out of their parent.
            let width = (start_ns + ns) / unit_ns - start_ns / unit_ns;
            layout.boxes.push(Placed { what, depth, width });
            let Boxed::Node(id) = what else { continue };
            let mut at = start_ns;
            let first = open.len();
            let (mut frames, mut others_ns) = (0, 0);
            for child in children(id) {
                let ns = weight(child);
                let is_other = matches!(kind(child), FrameKind::Others(_));
                if ns as f64 >= min_ns && depth < MAX_DEPTH && !is_other {
                    open.push((Boxed::Node(child), depth + 1, at));
                    at += ns;
                } else {
                    frames += frames_from(child, &children, &kind);
                    others_ns += ns;
                }
            }
            layout.hidden += frames;
            if others_ns as f64 >= min_ns {
                let weight = others_ns;
                open.push((Boxed::Others { frames, weight }, depth + 1, at));
            }
            open[first..].reverse();
        }
        layout
    }

    /// What a caption says of frames without a box; nothing if each has one.
    pub(crate) fn too_narrow(&self) -> String {
        match self.hidden {
            0 => String::new(),
            hidden => format!(" · {} too narrow to draw", units::counted(hidden as u64, "frame")),
        }
    }

    /// Folded lines in which every frame is named by its position in `boxes`: unique, sorted as drawn, and
    /// free of anything that the folded format or XML could trip over.
    pub(crate) fn folded(&self) -> Vec<String> {
        let mut covered = vec![0; self.boxes.len()];
        let mut path: Vec<usize> = Vec::new();
        for (index, placed) in self.boxes.iter().enumerate() {
            path.truncate(placed.depth);
            if let Some(&parent) = path.last() {
                covered[parent] += placed.width;
            }
            path.push(index);
        }
        let mut lines = Vec::new();
        path.clear();
        for (index, placed) in self.boxes.iter().enumerate() {
            path.truncate(placed.depth);
            path.push(index);
            let own = placed.width - covered[index];
            if own > 0 {
                let mut names: Vec<String> = path[1..].iter().map(|&index| frame_name(index)).collect();
                if covered[index] > 0 || names.is_empty() {
                    names.push(FILLER.to_owned());
                }
                lines.push(format!("{} {own}", names.join(";")));
            }
        }
        lines
    }
}

/// The frame and all below it.
fn frames_from(
    top: NodeId,
    children: &impl Fn(NodeId) -> Vec<NodeId>,
    kind: &impl Fn(NodeId) -> FrameKind,
) -> usize {
    let mut frames = 0;
    let mut open = vec![top];
    while let Some(id) = open.pop() {
        frames += match kind(id) {
            FrameKind::Others(frames) => frames as usize,
            _ => 1,
        };
        open.extend(children(id));
    }
    frames
}

/// Stands for the part of a box that no shown child covers; sorts behind them all and is not drawn.
const FILLER: &str = "rest";

pub(crate) fn frame_name(index: usize) -> String {
    format!("n{index:08}")
}

/// The position in `boxes`; the root for inferno's own frame, none for filler.
pub(crate) fn frame_index(name: &str) -> Option<usize> {
    if name == "all" {
        Some(0)
    } else {
        name.strip_prefix('n')?.parse().ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use asyncprof_core::profile::{State, TaskKind};
    use asyncprof_core::view::testing::ProfileBuilder;
    use asyncprof_core::view::{Analysis, Rules, TreeOptions};

    #[test]
    fn every_unit_is_in_one_line() {
        let mut builder = ProfileBuilder::new();
        let group = builder.group("task", TaskKind::Task, 1);
        for (name, ns) in [("app::wide", 900), ("app::narrow", 99), ("app::hidden", 1)] {
            let stack = builder.stack(&[name]);
            builder.row(group, stack, State::Running, 1, ns);
        }
        let profile = builder.build();
        let tree = CallTree::new(
            &Analysis::new(&profile, &Rules::default()),
            &TreeOptions::default(),
        );
        let layout = Layout::new(&tree, 0.01);
        assert_eq!(layout.hidden, 2, "the function and its state");
        let expected = [
            "n00000001;rest 1",
            "n00000001;n00000002;n00000003 900",
            "n00000001;n00000004;n00000005 99",
        ];
        assert_eq!(layout.folded(), expected);
    }

    #[test]
    fn narrow_frames_that_are_wide_together_have_one_box() {
        let mut builder = ProfileBuilder::new();
        let group = builder.group("task", TaskKind::Task, 1);
        for (name, ns) in [
            ("app::wide", 700),
            ("app::a", 100),
            ("app::b", 100),
            ("app::c", 100),
        ] {
            let stack = builder.stack(&[name]);
            builder.row(group, stack, State::Running, 1, ns);
        }
        let profile = builder.build();
        let analysis = Analysis::new(&profile, &Rules::default());
        // However much of it the tree has left out itself.
        for min_share in [0.0, 0.2] {
            let options = TreeOptions {
                min_share,
                ..TreeOptions::default()
            };
            let layout = Layout::new(&CallTree::new(&analysis, &options), 0.2);
            let (frames, weight) = (6, 300);
            assert_eq!(layout.boxes[4].what, Boxed::Others { frames, weight });
            assert_eq!((layout.hidden, layout.boxes.len()), (6, 5));
            let lines = ["n00000001;n00000002;n00000003 700", "n00000001;n00000004 300"];
            assert_eq!(layout.folded(), lines);
        }
    }
}
