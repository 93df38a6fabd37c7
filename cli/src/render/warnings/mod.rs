//! What is wrong with the program, in plain words: each kind of trouble is a file here, a function from the profile
//! to warnings. What a healthy program does now and then is below their thresholds.

mod convoys;
mod full_channels;
mod long_polls;
mod self_wakes;
mod starvation;
mod stuck;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, HashMap};

use asyncprof_core::profile::{GroupId, Row, Waker};
use asyncprof_core::view::{Activity, Analysis, AwaitSite, Kind};
use serde::Serialize;

use super::report::site as site_text;
use super::report_data::{awaited_of, function_of, place_of};
use super::stuck::StuckEntry;
use super::units;

/// One trouble at one place.
#[derive(Debug, Serialize)]
pub(crate) struct Warning {
    /// `long_polls`, `self_wakes`, `starved_workers`, `lock_convoy`, `full_channel` or `stuck`.
    pub(crate) code: &'static str,
    /// What, how much and where, as one sentence without a full stop.
    pub(crate) message: String,
    /// What to do about it.
    pub(crate) advice: &'static str,
    /// The place in the source; empty and 0 where unknown.
    pub(crate) function: String,
    pub(crate) file: String,
    pub(crate) line: u32,
    /// The names of the tasks concerned, worst first.
    pub(crate) tasks: Vec<String>,
    /// Of those for which they wait, most time first.
    pub(crate) blockers: Vec<String>,
    /// How much task time the trouble explains.
    pub(crate) time_ns: u64,
    /// What the message says, by name; times in nanoseconds.
    pub(crate) numbers: BTreeMap<&'static str, u64>,
}

/// All warnings, those that explain most time first.
pub(super) fn warnings(analysis: &Analysis<'_>, stuck: &[StuckEntry]) -> Vec<Warning> {
    let mut warnings = long_polls::warnings(analysis);
    warnings.extend(self_wakes::warnings(analysis));
    warnings.extend(starvation::warnings(analysis));
    warnings.extend(convoys::warnings(analysis));
    warnings.extend(full_channels::warnings(analysis));
    warnings.extend(stuck::warnings(stuck));
    warnings.sort_by(|a, b| (b.time_ns.cmp(&a.time_ns)).then_with(|| a.message.cmp(&b.message)));
    warnings
}

/// For people: each with what to do about it.
pub(super) fn text(warnings: &[Warning]) -> String {
    let paragraph = |warning: &Warning| {
        let mut message = warning.message.chars();
        let first: String = message.next().into_iter().flat_map(char::to_uppercase).collect();
        let message = wrapped(&format!("{first}{}", message.as_str()), "  ", "    ");
        message + &wrapped(&format!("→ {}", warning.advice), "    ", "      ")
    };
    warnings.iter().map(paragraph).collect()
}

/// The words in lines of at most [`LINE_WIDTH`], unless a word is longer than that. A number stays with its unit.
fn wrapped(text: &str, first_indent: &str, indent: &str) -> String {
    let (mut lines, mut line) = (String::new(), first_indent.to_owned());
    let mut width = line.len();
    let is_number = |word: &str| {
        word.trim_start_matches('(')
            .starts_with(|c: char| c.is_ascii_digit())
    };
    let mut words = text.split_inclusive(' ');
    while let Some(word) = words.next() {
        let unit = if is_number(word) { words.next() } else { None };
        let word = format!("{word}{}", unit.unwrap_or_default());
        if width + word.trim_end().chars().count() > LINE_WIDTH {
            lines.push_str(line.trim_end());
            lines.push('\n');
            line = indent.to_owned();
            width = indent.len();
        }
        width += word.chars().count();
        line.push_str(&word);
    }
    lines + line.trim_end() + "\n"
}

const LINE_WIDTH: usize = 110;

/// A name in a sentence.
fn named(name: &str) -> String {
    const WIDTH: usize = 80;
    units::tail(&units::printable(name), WIDTH)
}

/// Nanoseconds by name, most first.
#[derive(Debug, Default)]
struct ByName(HashMap<String, u64>);

impl ByName {
    fn add(&mut self, name: String, ns: u64) {
        let total = self.0.entry(name).or_default();
        *total = total.saturating_add(ns);
    }

    fn descending(self) -> Vec<(String, u64)> {
        let mut names: Vec<_> = self.0.into_iter().collect();
        names.sort_by(|a, b| (b.1.cmp(&a.1)).then_with(|| a.0.cmp(&b.0)));
        names
    }

    fn names(self) -> Vec<String> {
        self.descending().into_iter().map(|(name, _)| name).collect()
    }
}

/// The waits of one kind at one place.
#[derive(Debug, Default)]
struct WaitsAt {
    total_ns: u64,
    episodes: u64,
    groups: BTreeMap<GroupId, u64>,
    /// The tasks that ended the waits.
    wakers: ByName,
}

impl WaitsAt {
    fn add(&mut self, analysis: &Analysis<'_>, row: &Row) {
        let ns = row.stats.total_ns;
        self.total_ns = self.total_ns.saturating_add(ns);
        self.episodes += row.stats.episodes;
        *self.groups.entry(row.group).or_default() += ns;
        if let Waker::Task { group, .. } = analysis.profile.wakers[row.waker.index()] {
            self.wakers.add(analysis.group_label(group), ns);
        }
    }

    /// How many tasks wait there at some time.
    fn tasks(&self, analysis: &Analysis<'_>) -> u64 {
        let groups = self.groups.keys();
        groups.map(|&group| analysis.profile.group(group).tasks).sum()
    }

    /// How many waited there on average, over the whole recording.
    fn mean_tasks(&self, analysis: &Analysis<'_>) -> f64 {
        self.total_ns as f64 / analysis.profile.meta.duration_ns.max(1) as f64
    }

    fn mean_ns(&self) -> u64 {
        self.total_ns.checked_div(self.episodes).unwrap_or(0)
    }

    fn labels(&self, analysis: &Analysis<'_>) -> Vec<String> {
        let mut labels = ByName::default();
        for (&group, &ns) in &self.groups {
            labels.add(analysis.group_label(group), ns);
        }
        labels.names()
    }
}

/// The waits of this kind by place.
fn waits_by_site(analysis: &Analysis<'_>, kind: Kind) -> Vec<(AwaitSite, WaitsAt)> {
    let mut sites: BTreeMap<AwaitSite, WaitsAt> = BTreeMap::new();
    for (row, activity) in analysis.rows(false) {
        if activity == Activity::Waiting(kind)
            && let Some(site) = analysis.await_site(row.stack)
        {
            sites.entry(site).or_default().add(analysis, row);
        }
    }
    sites.into_iter().collect()
}

/// Function, file and line of a place, and all of it in words.
fn describe(analysis: &Analysis<'_>, site: Option<AwaitSite>) -> (String, String, u32, String) {
    let function = function_of(analysis, site);
    let (file, line, place) = place_of(analysis, site);
    let words = site_text(&function, &place, awaited_of(analysis, site).as_deref());
    (function, file, line, words)
}

/// `7.1`.
fn tenths(number: f64) -> String {
    format!("{number:.1}")
}
