//! The numbers of the report, as `report --json` writes them. Stable: fields are only ever added, and `version`
//! rises if one must change. All times are integer nanoseconds.

use std::collections::HashMap;

use asyncprof_core::profile::{Profile, Quality, Stats, TaskKind};
use asyncprof_core::view::{Activity, Analysis, AwaitSite, Kind, Shares};
use serde::Serialize;

use super::blocking::blocking_place;
use super::delays::{DelayEntry, delays};
use super::stuck::{StuckEntry, stuck};
use super::tasks::{GroupEntry, groups};
use super::wakes::{WakeEntry, wakes};
use super::warnings::{Warning, warnings};
use super::work::{LabelEntry, WorkNumbers, all_work, labels};

#[derive(Debug, Serialize)]
pub(crate) struct Report {
    /// Always `asyncprof-report`.
    pub(crate) format: &'static str,
    pub(crate) version: u32,
    pub(crate) command: Vec<String>,
    pub(crate) started_unix_ns: u64,
    pub(crate) duration_ns: u64,
    pub(crate) processes: Vec<ProcessEntry>,
    pub(crate) tasks: u64,
    /// The lives of all tasks added up; the states below add up to it.
    pub(crate) task_time_ns: u64,
    pub(crate) states: Vec<StateEntry>,
    /// What the program counted with the library's `work`.
    pub(crate) work: WorkNumbers,
    /// What the program told with the library's `label`: most time first, at most `limit`.
    pub(crate) labels: Vec<LabelEntry>,
    pub(crate) labels_total: usize,
    /// All polls: what the states `on-cpu`, `blocked` and `running` are made of.
    pub(crate) polls: EpisodeNumbers,
    /// Most time first, at most `limit`.
    pub(crate) groups: Vec<GroupEntry>,
    pub(crate) groups_total: usize,
    /// Most time first, at most `limit`.
    pub(crate) waits: Vec<WaitEntry>,
    pub(crate) waits_total: usize,
    /// Who ended whose waits: most waited time first, at most `limit`. Waits without a known waker are left out.
    pub(crate) wakes: Vec<WakeEntry>,
    pub(crate) wakes_total: usize,
    /// What ran while tasks were ready: most time first, at most `limit`. Delays below 0.1 ms are left out.
    pub(crate) delays: Vec<DelayEntry>,
    pub(crate) delays_total: usize,
    /// What is wrong: most explained time first, at most `limit`.
    pub(crate) warnings: Vec<Warning>,
    pub(crate) warnings_total: usize,
    /// Tasks still waiting at the end: longest wait first, at most `limit` places.
    pub(crate) stuck: Vec<StuckEntry>,
    pub(crate) stuck_total: usize,
    /// Longest first, at most `limit`.
    pub(crate) longest_polls: Vec<PollEntry>,
    pub(crate) quality: Quality,
}

#[derive(Debug, Serialize)]
pub(crate) struct ProcessEntry {
    pub(crate) pid: u32,
    pub(crate) executable: String,
    pub(crate) runtime: String,
}

#[derive(Debug, Serialize)]
pub(crate) struct StateEntry {
    /// `on-cpu`, `blocked`, `running` (not known in which of these ways), `scheduled`, `waiting` or `lost`. Of the first
    /// two the episodes are samples.
    pub(crate) state: &'static str,
    /// Of a wait: `io`, `timer`, `lock`, `channel`, `join`, `blocking`, `notify`, `yield`, `other`.
    pub(crate) kind: Option<Kind>,
    #[serde(flatten)]
    pub(crate) episodes: EpisodeNumbers,
    #[serde(skip)]
    pub(crate) activity: Activity,
}

#[derive(Debug, Serialize)]
pub(crate) struct EpisodeNumbers {
    pub(crate) total_ns: u64,
    pub(crate) episodes: u64,
    pub(crate) mean_ns: u64,
    pub(crate) p50_ns: u64,
    pub(crate) p99_ns: u64,
    pub(crate) max_ns: u64,
}

/// The time of some tasks, by state.
#[derive(Debug, Default, Serialize)]
pub(crate) struct StateNumbers {
    pub(crate) total_ns: u64,
    pub(crate) running_ns: u64,
    pub(crate) scheduled_ns: u64,
    pub(crate) waiting_ns: u64,
    pub(crate) lost_ns: u64,
    /// What the waiting is made of, by kind.
    pub(crate) waits_ns: Vec<(Kind, u64)>,
}

impl StateNumbers {
    pub(super) fn of(shares: &Shares) -> StateNumbers {
        let waits = Kind::ALL.map(|kind| (kind, shares.of(Activity::Waiting(kind))));
        StateNumbers {
            total_ns: shares.total_ns(),
            running_ns: shares.running_ns(),
            scheduled_ns: shares.of(Activity::Scheduled),
            waiting_ns: shares.waiting_ns(),
            lost_ns: shares.of(Activity::Lost),
            waits_ns: waits.into_iter().filter(|&(_, ns)| ns > 0).collect(),
        }
    }
}

#[derive(Debug, Serialize)]
pub(crate) struct WaitEntry {
    /// The app's innermost function on the await stack.
    pub(crate) function: String,
    /// Empty and 0 where unknown.
    pub(crate) file: String,
    pub(crate) line: u32,
    /// The library function awaited there, if it has a name.
    pub(crate) awaited: Option<String>,
    pub(crate) kind: Kind,
    /// Waits that had not ended when the recording did.
    pub(crate) open_episodes: u64,
    #[serde(flatten)]
    pub(crate) episodes: EpisodeNumbers,
    #[serde(skip)]
    pub(crate) place: String,
}

#[derive(Debug, Serialize)]
pub(crate) struct PollEntry {
    pub(crate) task: String,
    /// From the start of the recording.
    pub(crate) started_ns: u64,
    pub(crate) duration_ns: u64,
    /// The await at which the poll ended; null where the task ended with it.
    pub(crate) until: Option<String>,
    pub(crate) file: String,
    pub(crate) line: u32,
    #[serde(skip)]
    pub(crate) words: String,
}

impl Report {
    pub(crate) fn new(analysis: &Analysis<'_>, limit: usize) -> Report {
        let profile = analysis.profile;
        let states = states(analysis);
        let (groups, groups_total) = top(groups(analysis), limit, |group| group.time.total_ns);
        let (waits, waits_total) = top(waits(analysis), limit, |wait| wait.episodes.total_ns);
        let (wakes, wakes_total) = top(wakes(analysis), limit, |wake| wake.episodes.total_ns);
        let (delays, delays_total) = top(delays(analysis), limit, |delay| delay.episodes.total_ns);
        let (labels, labels_total) = top(labels(analysis), limit, |label| label.time.total_ns);
        let mut stuck = stuck(analysis);
        let (warnings, warnings_total) = top(warnings(analysis, &stuck), limit, |warning| warning.time_ns);
        let stuck_total = stuck.len();
        stuck.truncate(limit);
        let visible = profile
            .groups
            .iter()
            .filter(|group| group.kind != TaskKind::Worker);
        Report {
            format: "asyncprof-report",
            version: 1,
            command: profile.meta.command.clone(),
            started_unix_ns: profile.meta.started_unix_ns,
            duration_ns: profile.meta.duration_ns,
            processes: profile.processes.iter().map(ProcessEntry::of).collect(),
            tasks: visible.map(|group| group.tasks).sum(),
            task_time_ns: states
                .iter()
                .fold(0, |sum, state| sum.saturating_add(state.episodes.total_ns)),
            states,
            work: all_work(analysis),
            labels,
            labels_total,
            polls: polls(profile),
            groups,
            groups_total,
            waits,
            waits_total,
            wakes,
            wakes_total,
            delays,
            delays_total,
            warnings,
            warnings_total,
            stuck,
            stuck_total,
            longest_polls: longest_polls(analysis, limit),
            quality: profile.quality.clone(),
        }
    }
}

/// The first `limit` by descending weight, and how many there were. Ties keep the order given.
fn top<T>(mut entries: Vec<T>, limit: usize, weight: impl Fn(&T) -> u64) -> (Vec<T>, usize) {
    let total = entries.len();
    entries.sort_by_key(|entry| std::cmp::Reverse(weight(entry)));
    entries.truncate(limit);
    (entries, total)
}

fn states(analysis: &Analysis<'_>) -> Vec<StateEntry> {
    let mut stats: Vec<Stats> = vec![Stats::default(); Activity::ALL.len()];
    for (row, activity) in analysis.rows(false) {
        stats[activity.index()].merge(&row.stats);
    }
    let entry = |(activity, stats): (Activity, &Stats)| {
        let (state, kind) = match activity {
            Activity::Waiting(kind) => ("waiting", Some(kind)),
            other => (other.name(), None),
        };
        StateEntry {
            state,
            kind,
            episodes: EpisodeNumbers::of(stats),
            activity,
        }
    };
    Activity::ALL
        .into_iter()
        .zip(&stats)
        .filter(|(_, stats)| stats.episodes > 0)
        .map(entry)
        .collect()
}

fn polls(profile: &Profile) -> EpisodeNumbers {
    let mut polls = Stats::default();
    let groups = profile
        .groups
        .iter()
        .filter(|group| group.kind != TaskKind::Worker);
    groups.for_each(|group| polls.merge(&group.polls));
    EpisodeNumbers::of(&polls)
}

fn waits(analysis: &Analysis<'_>) -> Vec<WaitEntry> {
    let mut sites = HashMap::new();
    let mut merged: HashMap<(Option<AwaitSite>, Kind), (Stats, u64)> = HashMap::new();
    for (row, activity) in analysis.rows(false) {
        let Activity::Waiting(kind) = activity else {
            continue;
        };
        let site = *sites
            .entry(row.stack)
            .or_insert_with(|| analysis.await_site(row.stack));
        let (stats, open) = merged.entry((site, kind)).or_default();
        stats.merge(&row.stats);
        *open += row.open_episodes;
    }
    let mut merged: Vec<_> = merged.into_iter().collect();
    merged.sort_by_key(|&(key, _)| key);
    let entry = |((site, kind), (stats, open_episodes)): ((Option<AwaitSite>, Kind), (Stats, u64))| {
        let (file, line, place) = place_of(analysis, site);
        WaitEntry {
            function: function_of(analysis, site),
            file,
            line,
            awaited: awaited_of(analysis, site),
            kind,
            open_episodes,
            episodes: EpisodeNumbers::of(&stats),
            place,
        }
    };
    merged.into_iter().map(entry).collect()
}

pub(super) fn function_of(analysis: &Analysis<'_>, site: Option<AwaitSite>) -> String {
    site.map_or_else(
        || "(no await stack)".to_owned(),
        |site| analysis.name(site.function).to_owned(),
    )
}

pub(super) fn awaited_of(analysis: &Analysis<'_>, site: Option<AwaitSite>) -> Option<String> {
    let awaited = site.and_then(|site| site.awaited);
    awaited.map(|name| analysis.name(name).to_owned())
}

pub(super) fn place_of(analysis: &Analysis<'_>, site: Option<AwaitSite>) -> (String, u32, String) {
    match site.and_then(|site| site.place) {
        Some(place) => (
            analysis.profile.string(place.file).to_owned(),
            place.line,
            analysis.place_text(place),
        ),
        None => Default::default(),
    }
}

fn longest_polls(analysis: &Analysis<'_>, limit: usize) -> Vec<PollEntry> {
    let entry = |poll: &asyncprof_core::profile::LongPoll| {
        let place = blocking_place(analysis, poll.deed());
        PollEntry {
            words: place.words(),
            task: analysis.group_label(poll.group),
            started_ns: poll.started_ns,
            duration_ns: poll.duration_ns,
            until: place.function,
            file: place.file,
            line: place.line,
        }
    };
    let polls = analysis.profile.longest_polls.iter();
    polls.take(limit).map(entry).collect()
}

impl EpisodeNumbers {
    pub(super) fn of(stats: &Stats) -> EpisodeNumbers {
        EpisodeNumbers {
            total_ns: stats.total_ns,
            episodes: stats.episodes,
            mean_ns: stats.mean_ns(),
            p50_ns: stats.quantile_ns(0.5),
            p99_ns: stats.quantile_ns(0.99),
            max_ns: stats.max_ns,
        }
    }
}

impl ProcessEntry {
    fn of(process: &asyncprof_core::profile::Process) -> ProcessEntry {
        ProcessEntry {
            pid: process.pid,
            executable: process.executable.clone(),
            runtime: process.runtime.clone(),
        }
    }
}
