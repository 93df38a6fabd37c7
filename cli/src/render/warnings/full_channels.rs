//! Channels whose senders wait for room most of their time: the receivers do not keep up.

use std::collections::{BTreeMap, HashMap};

use asyncprof_core::profile::GroupId;
use asyncprof_core::view::{Analysis, AwaitSite, Kind, names::short_name};

use super::{WaitsAt, Warning, describe, named, tenths, waits_by_site};
use crate::render::units;

/// Of the senders' time: above this they wait for room more than they do anything else.
const MIN_SHARE_OF_SENDERS: f64 = 0.5;

/// Of the recording: a short burst that fills a channel is what channels are for.
const MIN_SHARE_OF_RECORDING: f64 = 0.05;

/// What waits for room in a channel.
const SENDING: &[&str] = &[
    "feed",
    "poll_ready",
    "poll_reserve",
    "put",
    "reserve",
    "reserve_many",
    "reserve_owned",
    "send",
    "send_all",
    "send_async",
    "send_timeout",
];

pub(super) fn warnings(analysis: &Analysis<'_>) -> Vec<Warning> {
    let mut lives: HashMap<GroupId, u64> = HashMap::new();
    for (row, _) in analysis.rows(false) {
        *lives.entry(row.group).or_default() += row.stats.total_ns;
    }
    let sites = waits_by_site(analysis, Kind::Channel).into_iter();
    sites
        .filter(|(site, _)| is_sending(analysis, site))
        .filter_map(|(site, waits)| {
            let life_ns = waits.groups.keys().map(|group| lives[group]).sum::<u64>();
            let share = waits.total_ns as f64 / life_ns.max(1) as f64;
            let is_full =
                share >= MIN_SHARE_OF_SENDERS && waits.mean_tasks(analysis) >= MIN_SHARE_OF_RECORDING;
            is_full.then(|| warning(analysis, site, waits, life_ns))
        })
        .collect()
}

fn is_sending(analysis: &Analysis<'_>, site: &AwaitSite) -> bool {
    let Some(awaited) = site.awaited else {
        return false;
    };
    let short = short_name(analysis.name(awaited));
    SENDING.contains(&short.rsplit([':', '.']).next().unwrap_or(short))
}

fn warning(analysis: &Analysis<'_>, site: AwaitSite, waits: WaitsAt, life_ns: u64) -> Warning {
    let (function, file, line, words) = describe(analysis, Some(site));
    let (tasks, mean_tasks) = (waits.tasks(analysis), waits.mean_tasks(analysis));
    let labels = waits.labels(analysis);
    let (total_ns, episodes) = (waits.total_ns, waits.episodes);
    let blockers = waits.wakers.names();
    let receiver = match blockers.first() {
        Some(receiver) => format!("; it is emptied by {}", named(receiver)),
        None => String::new(),
    };
    Warning {
        code: "full_channel",
        message: format!(
            "full channel: on average {} of {} waited for room in {words} ({} in all, {} of the senders' \
             time){receiver}",
            tenths(mean_tasks),
            units::counted(tasks, "task"),
            units::duration(total_ns),
            units::percent(total_ns, life_ns),
        ),
        advice: "have the receiver do less for each item, or more receivers; more room would only delay it",
        function,
        file,
        line,
        tasks: labels,
        blockers,
        time_ns: total_ns,
        numbers: BTreeMap::from([
            ("tasks", tasks),
            ("waits", episodes),
            ("total_ns", total_ns),
            ("senders_ns", life_ns),
        ]),
    }
}
