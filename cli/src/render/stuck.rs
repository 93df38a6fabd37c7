//! Tasks that were still waiting when the recording ended: where, how many, and for how long.

use std::collections::HashMap;

use asyncprof_core::profile::{GroupId, OpenWait, StackId, TaskKind};
use asyncprof_core::view::{Activity, Analysis, Kind, NameId, Place};
use serde::Serialize;

use super::report_data::{awaited_of, function_of, place_of};
use super::{palette, units};

const NAME_WIDTH: usize = 100;

/// Tasks of one name that waited at one place.
#[derive(Debug, Serialize)]
pub(crate) struct StuckEntry {
    pub(crate) task: String,
    pub(crate) kind: Kind,
    pub(crate) tasks: u64,
    /// How long they had waited, longest first; of very many only the oldest.
    pub(crate) oldest_ns: Vec<u64>,
    /// Those among `oldest_ns` that had waited for more than half of the recording.
    pub(crate) over_half: u64,
    /// As in the waits.
    pub(crate) function: String,
    pub(crate) file: String,
    pub(crate) line: u32,
    pub(crate) awaited: Option<String>,
    /// From the task's first function to the leaf.
    pub(crate) stack: Vec<StuckFrame>,
    #[serde(skip)]
    pub(super) place: String,
    /// A main task that waits for others, or for a signal, does what it is for.
    #[serde(skip)]
    pub(super) is_main_at_rest: bool,
}

#[derive(Debug, Serialize)]
pub(crate) struct StuckFrame {
    pub(crate) function: String,
    pub(crate) file: String,
    pub(crate) line: u32,
    #[serde(skip)]
    place: String,
}

impl StuckEntry {
    pub(super) fn longest_ns(&self) -> u64 {
        self.oldest_ns.first().copied().unwrap_or(0)
    }
}

/// All places where tasks were still waiting, the longest wait first.
pub(super) fn stuck(analysis: &Analysis<'_>) -> Vec<StuckEntry> {
    type Key = (String, Kind, Vec<(NameId, Option<Place>)>);
    let profile = analysis.profile;
    let mut kinds: HashMap<(GroupId, StackId), Kind> = HashMap::new();
    for (row, activity) in analysis.rows(false).filter(|(row, _)| row.open_episodes > 0) {
        if let Activity::Waiting(kind) = activity {
            kinds.insert((row.group, row.stack), kind);
        }
    }
    let mut index: HashMap<Key, usize> = HashMap::new();
    let mut entries: Vec<StuckEntry> = Vec::new();
    let shown = |wait: &&OpenWait| profile.group(wait.group).kind != TaskKind::Worker;
    for wait in profile.open_waits.iter().filter(shown) {
        let kind = kinds.get(&(wait.group, wait.stack)).copied();
        let kind = kind.unwrap_or(Kind::Other);
        let key = (
            analysis.group_label(wait.group),
            kind,
            analysis.await_stack(wait.stack),
        );
        let at = *index.entry(key).or_insert(entries.len());
        if at == entries.len() {
            entries.push(entry(analysis, wait, kind));
        }
        let entry = &mut entries[at];
        entry.tasks += wait.tasks;
        entry.oldest_ns.extend(&wait.oldest_ns);
    }
    for entry in &mut entries {
        entry.oldest_ns.sort_unstable_by(|a, b| b.cmp(a));
        let half_ns = profile.meta.duration_ns / 2;
        entry.over_half = entry.oldest_ns.iter().filter(|&&ns| ns > half_ns).count() as u64;
    }
    entries.sort_by_key(|entry| std::cmp::Reverse((entry.longest_ns(), entry.tasks)));
    entries
}

/// Without the counts.
fn entry(analysis: &Analysis<'_>, wait: &OpenWait, kind: Kind) -> StuckEntry {
    let site = analysis.await_site(wait.stack);
    let (file, line, place) = place_of(analysis, site);
    let frame = |(name, place): (NameId, Option<Place>)| StuckFrame {
        function: analysis.name(name).to_owned(),
        file: place.map_or_else(String::new, |place| {
            analysis.profile.string(place.file).to_owned()
        }),
        line: place.map_or(0, |place| place.line),
        place: place.map_or_else(String::new, |place| analysis.place_text(place)),
    };
    let is_root = analysis.profile.group(wait.group).kind == TaskKind::Root;
    StuckEntry {
        task: analysis.group_label(wait.group),
        kind,
        tasks: 0,
        oldest_ns: Vec::new(),
        over_half: 0,
        function: function_of(analysis, site),
        file,
        line,
        awaited: awaited_of(analysis, site),
        stack: analysis.await_stack(wait.stack).into_iter().map(frame).collect(),
        place,
        is_main_at_rest: is_root && matches!(kind, Kind::Join | Kind::Notify),
    }
}

/// The list for people: each place with its await stack.
pub(super) fn list(stuck: &[StuckEntry], limit: usize, color: bool) -> String {
    if stuck.is_empty() {
        return "No task was still waiting when the recording ended.\n".to_owned();
    }
    let tasks = stuck
        .iter()
        .fold(0_u64, |sum, entry| sum.saturating_add(entry.tasks));
    let (bold, plain) = if color {
        ("\u{1b}[1m", "\u{1b}[0m")
    } else {
        ("", "")
    };
    let shown = match stuck.len() > limit {
        true => format!(", {limit} of {} places", stuck.len()),
        false => String::new(),
    };
    let mut text = format!(
        "{bold}Still waiting when the recording ended: {}{shown}{plain}\n",
        units::counted(tasks, "task")
    );
    for entry in stuck.iter().take(limit) {
        let longest = match (entry.tasks, entry.longest_ns()) {
            (_, 0) => String::new(),
            (1, ns) => format!(" for {}", units::duration(ns)),
            (_, ns) => format!(" for up to {}", units::duration(ns)),
        };
        let kind = format!("[{}]", entry.kind.name());
        let kind = match color {
            true => format!(
                "\u{1b}[38;5;{}m{kind}\u{1b}[0m",
                palette::ansi(Activity::Waiting(entry.kind))
            ),
            false => kind,
        };
        text.push_str(&format!(
            "\n  {} × {}{longest} {kind}\n",
            units::count(entry.tasks),
            units::tail(&units::printable(&entry.task), NAME_WIDTH),
        ));
        for frame in &entry.stack {
            let function = units::tail(&units::printable(&frame.function), NAME_WIDTH);
            let place = match frame.place.as_str() {
                "" => String::new(),
                place => format!(" at {}", units::printable(place)),
            };
            text.push_str(&format!("      {function}{place}\n"));
        }
        if entry.stack.is_empty() {
            text.push_str("      (no await stack)\n");
        }
    }
    text
}
