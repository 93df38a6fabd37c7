//! Work that the program counted, and the time that each of its labels took: per unit of work where that is counted.

use std::collections::HashMap;

use asyncprof_core::profile::{Label, Profile, Stats};
use asyncprof_core::view::{Analysis, Shares};
use serde::Serialize;

use super::report_data::{EpisodeNumbers, Report, StateNumbers};
use super::table::{Cell, left, right};
use super::{palette, units};

const NAME_WIDTH: usize = 60;

/// All work.
#[derive(Debug, Serialize)]
pub(crate) struct WorkNumbers {
    pub(crate) units: u64,
    pub(crate) units_per_second: f64,
    /// Of all tasks; null without units.
    pub(crate) task_time_per_unit_ns: Option<u64>,
    /// How long pieces of work took from their label, or the end of the last, to their count.
    pub(crate) pieces: EpisodeNumbers,
}

/// The time of all tasks under one label, and the work that they did under it.
#[derive(Debug, Serialize)]
pub(crate) struct LabelEntry {
    pub(crate) key: String,
    pub(crate) value: String,
    #[serde(flatten)]
    pub(crate) work: WorkNumbers,
    #[serde(flatten)]
    pub(crate) time: StateNumbers,
    #[serde(skip)]
    shares: Shares,
}

#[derive(Default)]
struct Sum {
    shares: Shares,
    units: u64,
    pieces: Stats,
}

impl Sum {
    fn numbers(&self, profile: &Profile) -> WorkNumbers {
        let seconds = profile.meta.duration_ns as f64 / 1e9;
        WorkNumbers {
            units: self.units,
            units_per_second: if seconds > 0.0 {
                self.units as f64 / seconds
            } else {
                0.0
            },
            task_time_per_unit_ns: self.shares.total_ns().checked_div(self.units),
            pieces: EpisodeNumbers::of(&self.pieces),
        }
    }
}

pub(super) fn all_work(analysis: &Analysis<'_>) -> WorkNumbers {
    let mut sum = Sum::default();
    for (row, activity) in analysis.rows(false) {
        sum.shares.add(activity, row.stats.total_ns);
    }
    for work in &analysis.profile.work {
        sum.units = sum.units.saturating_add(work.units);
        sum.pieces.merge(&work.pieces);
    }
    sum.numbers(analysis.profile)
}

/// Every label, in a fixed order.
pub(super) fn labels(analysis: &Analysis<'_>) -> Vec<LabelEntry> {
    let profile = analysis.profile;
    let mut sums: HashMap<Label, Sum> = HashMap::new();
    for (row, activity) in analysis.rows(false) {
        for &label in &profile.label_sets[row.labels.index()] {
            let sum = sums.entry(label).or_default();
            sum.shares.add(activity, row.stats.total_ns);
        }
    }
    for work in &profile.work {
        for &label in &profile.label_sets[work.labels.index()] {
            let sum = sums.entry(label).or_default();
            sum.units = sum.units.saturating_add(work.units);
            sum.pieces.merge(&work.pieces);
        }
    }
    let entry = |(label, sum): (Label, Sum)| LabelEntry {
        key: profile.string(label.key).to_owned(),
        value: profile.string(label.value).to_owned(),
        work: sum.numbers(profile),
        time: StateNumbers::of(&sum.shares),
        shares: sum.shares,
    };
    let mut entries: Vec<LabelEntry> = sums.into_iter().map(entry).collect();
    entries.sort_by(|a, b| (&a.key, &a.value).cmp(&(&b.key, &b.value)));
    entries
}

/// The table, with a head; empty without labels. Times are per unit of work under labels that have any.
pub(super) fn label_rows(report: &Report) -> Vec<Vec<Cell>> {
    if report.labels.is_empty() {
        return Vec::new();
    }
    let head = [
        "time",
        "work",
        "p50",
        "p99",
        "time each",
        "running",
        "scheduled",
        "waiting",
    ];
    let mut rows = vec![
        head.map(right)
            .into_iter()
            .chain([left("mostly"), left("label")])
            .collect::<Vec<Cell>>(),
    ];
    rows.extend(report.labels.iter().map(label_row));
    rows
}

fn label_row(entry: &LabelEntry) -> Vec<Cell> {
    let work = &entry.work;
    let of_pieces = |ns: u64| match work.pieces.episodes {
        0 => String::new(),
        _ => units::duration(ns),
    };
    let each = |ns: u64| match ns.checked_div(work.units) {
        Some(each_ns) => units::duration(each_ns),
        None => units::percent(ns, entry.time.total_ns),
    };
    let counted = match work.units {
        0 => String::new(),
        units => units::count(units),
    };
    let mostly = entry.shares.dominant().map_or_else(
        || left(""),
        |(activity, _)| left(activity.name()).colored(palette::ansi(activity)),
    );
    let name = format!("{} = {}", entry.key, entry.value);
    vec![
        right(units::duration(entry.time.total_ns)),
        right(counted),
        right(of_pieces(work.pieces.p50_ns)),
        right(of_pieces(work.pieces.p99_ns)),
        right(
            work.task_time_per_unit_ns
                .map(units::duration)
                .unwrap_or_default(),
        ),
        right(each(entry.time.running_ns)),
        right(each(entry.time.scheduled_ns)),
        right(each(entry.time.waiting_ns)),
        mostly,
        left(units::head(&units::printable(&name), NAME_WIDTH)),
    ]
}

/// What the heading says of work: `96 units of work, 23.2 per second, 12 ms of task time each`.
pub(super) fn summary(work: &WorkNumbers) -> Option<String> {
    let each_ns = work.task_time_per_unit_ns?;
    Some(format!(
        "{} of work, {:.1} per second, {} of task time each",
        units::counted(work.units, "unit"),
        work.units_per_second,
        units::duration(each_ns)
    ))
}
