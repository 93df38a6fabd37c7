//! Who wakes whom: the pairs of a waker and an await that it ended, for the report.

use std::collections::HashMap;

use asyncprof_core::profile::Stats;
use asyncprof_core::view::{Activity, Analysis, AwaitSite, Kind, NameId, WakeSource};
use serde::Serialize;

use super::report::site;
use super::report_data::{EpisodeNumbers, awaited_of, function_of, place_of};
use super::table::{Cell, left, right};
use super::{palette, units};

const NAME_WIDTH: usize = 60;

/// A waker and those it kept waiting at one await.
#[derive(Debug, Serialize)]
pub(crate) struct WakeEntry {
    pub(crate) waker: WakerEntry,
    /// The name of the tasks that waited.
    pub(crate) task: String,
    /// Where they waited, as in [`WaitEntry`].
    pub(crate) function: String,
    pub(crate) file: String,
    pub(crate) line: u32,
    pub(crate) awaited: Option<String>,
    pub(crate) kind: Kind,
    #[serde(flatten)]
    pub(crate) episodes: EpisodeNumbers,
    #[serde(skip)]
    pub(crate) place: String,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize)]
pub(crate) struct WakerEntry {
    /// `task`, `root`, `io_driver`, `timer`, `signal_driver`, `scheduler`, `blocking_pool` or `thread`.
    pub(crate) source: &'static str,
    /// Of a task its name, else such as `[I/O driver]`.
    pub(crate) name: String,
    /// Where no task woke: the app's innermost function on the stack of the wake.
    pub(crate) function: Option<String>,
}

/// All pairs, in a fixed order; waits without a known waker are left out.
pub(super) fn wakes(analysis: &Analysis<'_>) -> Vec<WakeEntry> {
    let mut sites = HashMap::new();
    let mut wakers = HashMap::new();
    let mut merged: HashMap<(WakerEntry, String, Option<AwaitSite>, Kind), Stats> = HashMap::new();
    for (row, activity) in analysis.rows(false) {
        let (Activity::Waiting(kind), Some(source)) = (activity, analysis.wake_source(row.waker)) else {
            continue;
        };
        let waker = wakers
            .entry(row.waker)
            .or_insert_with(|| waker_entry(analysis, source, analysis.wake_site(row.waker)))
            .clone();
        let site = *sites
            .entry(row.stack)
            .or_insert_with(|| analysis.await_site(row.stack));
        let key = (waker, analysis.group_label(row.group), site, kind);
        merged.entry(key).or_default().merge(&row.stats);
    }
    let mut merged: Vec<_> = merged.into_iter().collect();
    merged.sort_by(|(a, _), (b, _)| a.cmp(b));
    let entry =
        |((waker, task, site, kind), stats): ((WakerEntry, String, Option<AwaitSite>, Kind), Stats)| {
            let (file, line, place) = place_of(analysis, site);
            WakeEntry {
                waker,
                task,
                function: function_of(analysis, site),
                file,
                line,
                awaited: awaited_of(analysis, site),
                kind,
                episodes: EpisodeNumbers::of(&stats),
                place,
            }
        };
    merged.into_iter().map(entry).collect()
}

fn waker_entry(analysis: &Analysis<'_>, source: WakeSource, site: Option<NameId>) -> WakerEntry {
    let (name, site) = match source {
        WakeSource::Task(group) => (analysis.group_label(group), None),
        other => (other.name().to_owned(), site),
    };
    WakerEntry {
        source: source.id(),
        name,
        function: site.map(|site| analysis.name(site).to_owned()),
    }
}

/// The table, with a head; empty without entries.
pub(super) fn wake_rows(wakes: &[WakeEntry]) -> Vec<Vec<Cell>> {
    let head = ["time", "waits", "mean"].map(right);
    let head = head
        .into_iter()
        .chain([left("kind"), left("waker → task"), left("where it waited")]);
    let mut rows = vec![head.collect::<Vec<Cell>>()];
    rows.extend(wakes.iter().map(wake_row));
    if rows.len() == 1 { Vec::new() } else { rows }
}

fn wake_row(wake: &WakeEntry) -> Vec<Cell> {
    let name = |name: &str| units::tail(&units::printable(name), NAME_WIDTH);
    let mut waker = name(&wake.waker.name);
    if let Some(function) = &wake.waker.function {
        waker.push_str(&format!(" in {}", name(function)));
    }
    // The task is often named after the very function that waits.
    let function = if wake.function == wake.task {
        ""
    } else {
        &wake.function
    };
    let numbers = &wake.episodes;
    vec![
        right(units::duration(numbers.total_ns)),
        right(units::count(numbers.episodes)),
        right(units::duration(numbers.mean_ns)),
        left(wake.kind.name()).colored(palette::ansi(Activity::Waiting(wake.kind))),
        left(format!("{waker} → {}", name(&wake.task))),
        left(site(function, &wake.place, wake.awaited.as_deref()).trim_start()),
    ]
}
