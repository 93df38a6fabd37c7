//! What a changed frame looks like. The scale is fixed: the same change has the same colour in every picture.

use asyncprof_core::diff::{DiffNode, Verdict};

use crate::render::palette::Color;
use crate::render::svg::HATCHED;

/// Weaker changes first: up to how many times the smaller side the larger one is, and the colours for more and less.
/// Orange and blue, and darker with size, are apart for colour-blind eyes, too.
pub(super) const STEPS: [(f64, Color, Color); 4] = [
    (1.1, Color(253, 217, 181), Color(208, 226, 243)),
    (1.5, Color(248, 178, 110), Color(150, 194, 230)),
    (2.0, Color(236, 130, 45), Color(75, 150, 212)),
    (f64::INFINITY, Color(196, 78, 0), Color(0, 96, 168)),
];
pub(super) const NEW: Color = Color(116, 30, 10);
pub(super) const GONE: Color = Color(8, 32, 92);
pub(super) const MOVED: Color = Color(204, 121, 167);
pub(super) const UNCHANGED: Color = Color(214, 214, 210);
pub(super) const RARE: Color = Color(246, 246, 243);

pub(super) struct Look {
    pub(super) sign: &'static str,
    pub(super) fill: Color,
    pub(super) hatched: bool,
}

pub(super) fn look(node: &DiffNode) -> Look {
    let (sign, fill) = match node.verdict {
        Verdict::Slower => ("▲", step(node).1),
        Verdict::Faster => ("▼", step(node).2),
        Verdict::New => ("▲ new", NEW),
        Verdict::Gone => ("▼ gone", GONE),
        Verdict::Moved => ("↔", MOVED),
        Verdict::Unchanged => ("", UNCHANGED),
        Verdict::Inconclusive => ("?", HATCHED),
        Verdict::Rare => ("", RARE),
    };
    Look {
        sign,
        fill,
        hatched: node.verdict == Verdict::Inconclusive,
    }
}

fn step(node: &DiffNode) -> (f64, Color, Color) {
    let (low, high) = match node.base.rate < node.new.rate {
        true => (node.base.rate, node.new.rate),
        false => (node.new.rate, node.base.rate),
    };
    let within = |step: &&(f64, Color, Color)| high < step.0 * low;
    *STEPS.iter().find(within).unwrap_or(&STEPS[STEPS.len() - 1])
}
