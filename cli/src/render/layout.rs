//! Which frames of a call tree get a box, and their integer widths.

use asyncprof_core::view::{CallTree, NodeId};

/// JavaScript in the picture reads widths as doubles: beyond this they would be rounded.
const MAX_UNITS: u64 = 1 << 50;

/// A picture higher than this helps nobody.
const MAX_DEPTH: usize = 400;

/// A tree cut to what is wide enough to see.
pub(crate) struct Layout {
    /// Parents before children, siblings left to right.
    pub(crate) boxes: Vec<Placed>,
    /// Frames left out (with all below them) for being too narrow or too deep.
    pub(crate) hidden: usize,
}

pub(crate) struct Placed {
    pub(crate) node: NodeId,
    pub(crate) depth: usize,
    /// In units that all boxes share.
    pub(crate) width: u64,
}

impl Layout {
    /// `min_share` is the narrowest box to keep, as a share of the whole.
    pub(crate) fn new(tree: &CallTree, min_share: f64) -> Layout {
        let weight = |id: NodeId| tree.node(id).stats.total_ns;
        Layout::of(weight, |id| tree.node(id).children.clone(), min_share)
    }

    /// Of any tree, by what its nodes weigh and which children they have.
    pub(crate) fn of(
        weight: impl Fn(NodeId) -> u64,
        children: impl Fn(NodeId) -> Vec<NodeId>,
        min_share: f64,
    ) -> Layout {
        let total_ns = weight(NodeId::ROOT);
        let unit_ns = total_ns.div_ceil(MAX_UNITS).max(1);
        let min_ns = (total_ns as f64 * min_share).max(unit_ns as f64);
        let mut layout = Layout {
            boxes: Vec::new(),
            hidden: 0,
        };
        let mut open = vec![(NodeId::ROOT, 0, 0)];
        while let Some((id, depth, start_ns)) = open.pop() {
            // Edges are rounded, not widths, so that children never stick out of their parent.
            let width = (start_ns + weight(id)) / unit_ns - start_ns / unit_ns;
            layout.boxes.push(Placed {
                node: id,
                depth,
                width,
            });
            let mut at = start_ns;
            let first = open.len();
            for child in children(id) {
                let ns = weight(child);
                if ns as f64 >= min_ns && depth < MAX_DEPTH {
                    open.push((child, depth + 1, at));
                } else {
                    layout.hidden += 1;
                }
                at += ns;
            }
            open[first..].reverse();
        }
        layout
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
        assert_eq!(layout.hidden, 1);
        let expected = [
            "n00000001;rest 1",
            "n00000001;n00000002;n00000003 900",
            "n00000001;n00000004;n00000005 99",
        ];
        assert_eq!(layout.folded(), expected);
    }
}
