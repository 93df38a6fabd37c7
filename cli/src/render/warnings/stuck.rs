//! Tasks that have been waiting at one place since more than half of the recording.

use std::collections::BTreeMap;

use super::Warning;
use crate::render::report::site;
use crate::render::stuck::StuckEntry;
use crate::render::units;

pub(super) fn warnings(stuck: &[StuckEntry]) -> Vec<Warning> {
    stuck
        .iter()
        .filter(|entry| entry.over_half > 0 && !entry.is_main_at_rest)
        .map(warning)
        .collect()
}

fn warning(entry: &StuckEntry) -> Warning {
    let have = if entry.over_half == 1 { "has" } else { "have" };
    // All ages that are known are that long, and some are not known.
    let is_least = entry.over_half == entry.oldest_ns.len() as u64 && entry.over_half < entry.tasks;
    let at_least = if is_least { "at least " } else { "" };
    let long = entry.oldest_ns.iter().take(entry.over_half as usize);
    Warning {
        code: "stuck",
        message: format!(
            "stuck: {at_least}{} {have} waited in {} for more than half of the recording (longest {})",
            units::counted(entry.over_half, "task"),
            site(&entry.function, &entry.place, entry.awaited.as_deref()),
            units::duration(entry.longest_ns()),
        ),
        advice: "see `asyncprof report --stuck` for how they came there",
        function: entry.function.clone(),
        file: entry.file.clone(),
        line: entry.line,
        tasks: vec![entry.task.clone()],
        blockers: Vec::new(),
        time_ns: long.fold(0, |sum, &ns| sum.saturating_add(ns)),
        numbers: BTreeMap::from([("tasks", entry.over_half), ("longest_ns", entry.longest_ns())]),
    }
}
