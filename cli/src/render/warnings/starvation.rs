//! Tasks that are ready, but wait long for a worker, because the workers are busy with others.

use std::collections::BTreeMap;

use asyncprof_core::profile::{Stats, TaskKind};
use asyncprof_core::view::{Activity, Analysis};

use super::{ByName, Warning, named};
use crate::render::blocking::{BlockingPlace, blocking_place};
use crate::render::units;
use crate::render::words::Runtime;

/// Of all delays, one in a hundred is at least that long. With a free worker it takes some 10 µs.
const P99_NS: u64 = 5_000_000;

/// Of the recording: at least that share of a task was ready without a worker on average.
const MIN_SHARE: u64 = 20;

pub(super) fn warnings(analysis: &Analysis<'_>) -> Vec<Warning> {
    starvation(analysis).into_iter().collect()
}

fn starvation(analysis: &Analysis<'_>) -> Option<Warning> {
    let (mut ready, mut running_ns, mut victims) = (Stats::default(), 0_u64, ByName::default());
    for (row, activity) in analysis.rows(false) {
        // A closure that waits for a thread of the blocking pool waits for no worker.
        if analysis.profile.group(row.group).kind != TaskKind::Task {
            continue;
        }
        match activity {
            Activity::Scheduled => {
                ready.merge(&row.stats);
                victims.add(analysis.group_label(row.group), row.stats.total_ns);
            }
            _ if activity.is_running() => running_ns = running_ns.saturating_add(row.stats.total_ns),
            _ => {}
        }
    }
    let p99_ns = ready.quantile_ns(0.99);
    if p99_ns < P99_NS || ready.total_ns < analysis.profile.meta.duration_ns / MIN_SHARE {
        return None;
    }
    let behind = Behind::of(analysis);
    // If the workers did little else meanwhile, they had no processor: no fault of the program.
    if behind.tasks_ns * 2 < behind.total_ns {
        return None;
    }
    let (blocker, place, blocked_ns) = behind.worst()?;
    let runtime = Runtime::of_all(analysis.profile);
    let victims = victims.descending();
    let (victim, victim_ns) = victims.first()?;
    Some(Warning {
        code: "starved_workers",
        message: format!(
            "{}: tasks were ready for {} {} (p99 {}; they ran for {}), above all {} ({}); \
             {} of the longer delays were behind polls of {}, {}",
            runtime.either("starved workers", "busy event loop"),
            units::duration(ready.total_ns),
            runtime.either("without a worker", "before their event loop came to them"),
            units::duration(p99_ns),
            units::duration(running_ns),
            named(victim),
            units::duration(*victim_ns),
            units::percent(blocked_ns, behind.total_ns),
            named(&blocker),
            place.words(),
        ),
        advice: runtime.either(
            "have those polls take less time, move heavy work off the runtime, or give it more workers",
            "have those polls take less time, or move heavy work off the event loop: what blocks to a thread \
             (asyncio.to_thread), what computes to a process",
        ),
        function: place.function.unwrap_or_default(),
        file: place.file,
        line: place.line,
        tasks: victims.into_iter().map(|(victim, _)| victim).collect(),
        blockers: behind.blockers.names(),
        time_ns: ready.total_ns,
        numbers: BTreeMap::from([
            ("scheduled_ns", ready.total_ns),
            ("p99_ns", p99_ns),
            ("running_ns", running_ns),
        ]),
    })
}

/// What the delays of tasks are known to have been behind.
#[derive(Debug, Default)]
struct Behind {
    total_ns: u64,
    tasks_ns: u64,
    blockers: ByName,
    places: BTreeMap<(String, BlockingPlace), u64>,
}

impl Behind {
    fn of(analysis: &Analysis<'_>) -> Behind {
        let mut behind = Behind::default();
        for delay in &analysis.profile.delays {
            if analysis.profile.group(delay.victim).kind != TaskKind::Task {
                continue;
            }
            let ns = delay.stats.total_ns;
            behind.total_ns += ns;
            if let Some(blocker) = delay.blocker {
                behind.tasks_ns += ns;
                let name = analysis.group_label(blocker);
                behind.blockers.add(name.clone(), ns);
                let place = blocking_place(analysis, (delay.blocker_state, delay.blocker_stack));
                *behind.places.entry((name, place)).or_default() += ns;
            }
        }
        behind
    }

    /// The poll that most of it was behind.
    fn worst(&self) -> Option<(String, BlockingPlace, u64)> {
        let worst = self.places.iter().max_by_key(|&(_, ns)| ns)?;
        let ((blocker, place), &ns) = worst;
        Some((blocker.clone(), place.clone(), ns))
    }
}
