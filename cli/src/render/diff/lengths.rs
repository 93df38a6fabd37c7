//! What `diff` says of the lengths of waits: percentiles, which can change without there being more time.

use asyncprof_core::diff::{Length, Percentile};
use serde::Serialize;

use super::data::NodeEntry;
use super::text::q;
use crate::render::table::{Cell, left, lines, right};
use crate::render::{labels, units};

const NAME_WIDTH: usize = 60;

#[derive(Debug, Serialize)]
pub(super) struct LengthEntry {
    /// 0.5 is the median.
    percentile: f64,
    base_ns: u64,
    new_ns: u64,
    /// In which the true factor, new : base, lies with 95 %.
    factor: (f64, f64),
    p: Option<f64>,
    q: Option<f64>,
    /// `longer`, `shorter`, `inconclusive` or `rare`.
    verdict: &'static str,
}

impl From<&Percentile> for LengthEntry {
    fn from(of: &Percentile) -> LengthEntry {
        LengthEntry {
            percentile: of.part,
            base_ns: of.base_ns,
            new_ns: of.new_ns,
            factor: of.factor,
            p: of.p,
            q: of.q,
            verdict: match of.verdict {
                Length::Longer => "longer",
                Length::Shorter => "shorter",
                Length::Inconclusive => "inconclusive",
                Length::Rare => "rare",
            },
        }
    }
}

/// One line for each percentile that changed.
pub(super) fn table(entries: &[NodeEntry], color: bool) -> String {
    let heads = [
        left("length"),
        left("wait"),
        left(""),
        right("base"),
        right("new"),
    ];
    let mut rows: Vec<Vec<Cell>> = vec![
        heads
            .into_iter()
            .chain([left("factor, 95 %"), left("q")])
            .collect(),
    ];
    for entry in entries {
        for of in &entry.lengths {
            let (sign, hue) = match of.verdict {
                "longer" => ("▲", 208),
                "shorter" => ("▼", 39),
                _ => continue,
            };
            rows.push(vec![
                left(format!("{sign} {}", of.verdict)).colored(hue),
                left(units::printable(&labels::at_most(&entry.frame, NAME_WIDTH))),
                left(format!("p{:.0}", of.percentile * 100.0)),
                right(units::duration(of.base_ns)),
                right(units::duration(of.new_ns)),
                left(format!("× {:.2} to {:.2}", of.factor.0, of.factor.1)),
                left(of.q.map(q).unwrap_or_default()),
            ]);
        }
    }
    lines(&rows, color)
}
