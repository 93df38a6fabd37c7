//! What kept tasks from a worker: the pairs of a task that was ready and what its worker ran meanwhile.

use std::collections::HashMap;

use asyncprof_core::profile::Stats;
use asyncprof_core::view::Analysis;
use serde::Serialize;

use super::blocking::{BlockingPlace, blocking_place};
use super::report_data::EpisodeNumbers;
use super::table::{Cell, left, right};
use super::units;

const NAME_WIDTH: usize = 60;

/// A task that was ready, and one that ran meanwhile on the worker that took it at last.
#[derive(Debug, Serialize)]
pub(crate) struct DelayEntry {
    /// The name of the tasks that were ready.
    pub(crate) task: String,
    /// The name of the tasks that ran; null for the time in which none did.
    pub(crate) blocker: Option<String>,
    /// Where the blocker's polls ended; null where it ended with them.
    pub(crate) function: Option<String>,
    pub(crate) file: String,
    pub(crate) line: u32,
    /// One episode per delay.
    #[serde(flatten)]
    pub(crate) episodes: EpisodeNumbers,
    #[serde(skip)]
    words: String,
}

/// All pairs, in a fixed order.
pub(super) fn delays(analysis: &Analysis<'_>) -> Vec<DelayEntry> {
    let mut merged: HashMap<(String, Option<String>, BlockingPlace), Stats> = HashMap::new();
    for delay in &analysis.profile.delays {
        let blocker = delay.blocker.map(|blocker| analysis.group_label(blocker));
        let key = (
            analysis.group_label(delay.victim),
            blocker,
            blocking_place(analysis, (delay.blocker_state, delay.blocker_stack)),
        );
        merged.entry(key).or_default().merge(&delay.stats);
    }
    let mut merged: Vec<_> = merged.into_iter().collect();
    merged.sort_by(|(a, _), (b, _)| a.cmp(b));
    let entry =
        |((task, blocker, place), stats): ((String, Option<String>, BlockingPlace), Stats)| DelayEntry {
            words: place.words(),
            task,
            blocker,
            function: place.function,
            file: place.file,
            line: place.line,
            episodes: EpisodeNumbers::of(&stats),
        };
    merged.into_iter().map(entry).collect()
}

/// Those of more than a thousandth of the recording: every program has some small ones.
pub(super) fn noticeable(delays: &[DelayEntry], duration_ns: u64) -> Vec<&DelayEntry> {
    let is_noticeable = |delay: &&DelayEntry| delay.episodes.total_ns > duration_ns / 1000;
    delays.iter().filter(is_noticeable).collect()
}

/// The table, with a head; empty without entries.
pub(super) fn delay_rows(delays: &[&DelayEntry], worker: &str) -> Vec<Vec<Cell>> {
    let head = ["time", "delays", "mean", "longest"].map(right);
    let head = head
        .into_iter()
        .chain([left(format!("task ← what its {worker} ran meanwhile")), left("")]);
    let mut rows = vec![head.collect::<Vec<Cell>>()];
    rows.extend(delays.iter().map(|delay| delay_row(delay)));
    if rows.len() == 1 { Vec::new() } else { rows }
}

fn delay_row(delay: &DelayEntry) -> Vec<Cell> {
    let name = |name: &str| units::tail(&units::printable(name), NAME_WIDTH);
    let (blocker, words) = match &delay.blocker {
        Some(blocker) => (name(blocker), delay.words.as_str()),
        None => ("(no task)".to_owned(), ""),
    };
    let numbers = &delay.episodes;
    vec![
        right(units::duration(numbers.total_ns)),
        right(units::count(numbers.episodes)),
        right(units::duration(numbers.mean_ns)),
        right(units::duration(numbers.max_ns)),
        left(format!("{} ← {blocker}", name(&delay.task))),
        left(words),
    ]
}
