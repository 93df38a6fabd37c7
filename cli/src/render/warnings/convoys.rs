//! Locks at which tasks queue up: what runs there runs one by one.

use std::collections::BTreeMap;

use asyncprof_core::view::{Analysis, AwaitSite, Kind};

use super::{WaitsAt, Warning, describe, named, tenths, waits_by_site};
use crate::render::units;

/// So many wait at once on average: whoever comes finds a queue, though one or two may meet at any lock.
const MIN_QUEUE: f64 = 2.0;

pub(super) fn warnings(analysis: &Analysis<'_>) -> Vec<Warning> {
    let sites = waits_by_site(analysis, Kind::Lock).into_iter();
    sites
        .filter(|(_, waits)| waits.mean_tasks(analysis) >= MIN_QUEUE)
        .map(|(site, waits)| warning(analysis, site, waits))
        .collect()
}

fn warning(analysis: &Analysis<'_>, site: AwaitSite, waits: WaitsAt) -> Warning {
    let (function, file, line, words) = describe(analysis, Some(site));
    let (tasks, mean_tasks, mean_ns) = (waits.tasks(analysis), waits.mean_tasks(analysis), waits.mean_ns());
    let labels = waits.labels(analysis);
    let (total_ns, episodes) = (waits.total_ns, waits.episodes);
    let blockers = waits.wakers.names();
    let holder = match blockers.first() {
        Some(holder) => format!("; most often they got it from {}", named(holder)),
        None => String::new(),
    };
    Warning {
        code: "lock_convoy",
        message: format!(
            "lock convoy: on average {} of {} waited in {words} ({} waits of {}, {} in all){holder}",
            tenths(mean_tasks),
            units::counted(tasks, "task"),
            units::count(episodes),
            units::duration(mean_ns),
            units::duration(total_ns),
        ),
        advice: "hold it for less time, above all not across an await, or divide what it guards",
        function,
        file,
        line,
        tasks: labels,
        blockers,
        time_ns: total_ns,
        numbers: BTreeMap::from([
            ("tasks", tasks),
            ("waits", episodes),
            ("mean_ns", mean_ns),
            ("total_ns", total_ns),
        ]),
    }
}
