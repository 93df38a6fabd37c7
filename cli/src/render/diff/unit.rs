//! How rates are written: it depends on what they are per.

use asyncprof_core::diff::Exposure;

use crate::render::units;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Unit {
    /// Nanoseconds of task time per second, of recording or of equal load.
    PerSecond,
    /// Nanoseconds of task time per unit of work.
    PerWork,
    /// Billionths of all compared time.
    Share,
}

impl From<Exposure> for Unit {
    fn from(exposure: Exposure) -> Unit {
        match exposure {
            Exposure::Seconds | Exposure::Load => Unit::PerSecond,
            Exposure::Work => Unit::PerWork,
            Exposure::Share => Unit::Share,
        }
    }
}

impl Unit {
    /// Behind the number.
    pub(super) fn suffix(self) -> &'static str {
        match self {
            Unit::PerSecond => "/s",
            Unit::PerWork => "/unit",
            Unit::Share => "",
        }
    }

    /// As a column has it, the suffix being in its head.
    pub(super) fn bare(self, rate: f64) -> String {
        match self {
            Unit::Share => format!("{:.2} %", rate / 1e7),
            Unit::PerSecond | Unit::PerWork => units::duration(rate.round().max(0.0) as u64),
        }
    }

    pub(super) fn rate(self, rate: f64) -> String {
        format!("{}{}", self.bare(rate), self.suffix())
    }

    /// A difference of two rates; of shares in percentage points, not to be mistaken for a part of the frame's own time.
    pub(super) fn signed(self, rate: f64) -> String {
        let sign = if rate < 0.0 { '−' } else { '+' };
        match self {
            Unit::Share => format!("{sign}{:.2} pp", rate.abs() / 1e7),
            Unit::PerSecond | Unit::PerWork => format!("{sign}{}", self.rate(rate.abs())),
        }
    }
}
