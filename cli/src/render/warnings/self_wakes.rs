//! Tasks that wake themselves all the time, and run for next to nothing in between: they poll in a loop what they
//! should wait for.

use std::collections::BTreeMap;

use asyncprof_core::profile::{Row, TaskKind, Waker};
use asyncprof_core::thinning::SHORT_WAIT;
use asyncprof_core::view::{Activity, Analysis, AwaitSite, Kind};

use super::{Warning, describe, named};
use crate::render::units;
use crate::render::words::Runtime;

/// Per second of the task's time. A task that gives way between pieces of work does so some hundred times.
const MIN_PER_SECOND: u64 = 1000;

/// Polls that take longer on average do some work before the task gives way.
const MAX_POLL_NS: u64 = 100_000;

/// Of the recording: less than a hundredth of a core disturbs nobody.
const MIN_SHARE: u64 = 100;

const SECOND_NS: u128 = 1_000_000_000;

/// The tasks of one name.
#[derive(Debug, Default)]
struct Wakes {
    /// All wake-ups.
    all: u64,
    /// Those by a task of this name, and the waits that such a one ended: there it was another task.
    own: u64,
    waits_ended: u64,
    polls: u64,
    running_ns: u64,
    waiting_ns: u64,
    /// Ready to run, and giving way.
    ready_ns: u64,
    /// Where it woke itself, by number.
    sites: BTreeMap<AwaitSite, u64>,
}

pub(super) fn warnings(analysis: &Analysis<'_>) -> Vec<Warning> {
    let mut tasks: BTreeMap<String, Wakes> = BTreeMap::new();
    for (row, activity) in analysis.rows(false) {
        if analysis.profile.group(row.group).kind == TaskKind::Task {
            let wakes = tasks.entry(analysis.group_label(row.group)).or_default();
            wakes.add(analysis, row, activity);
        }
    }
    for (id, group) in analysis.profile.groups_with_ids() {
        if let Some(wakes) = tasks.get_mut(&analysis.group_label(id)) {
            wakes.polls += group.polls.episodes;
            wakes.running_ns += group.polls.total_ns;
        }
    }
    let warning = |(task, wakes): (String, Wakes)| wakes.warning(analysis, task);
    tasks.into_iter().filter_map(warning).collect()
}

impl Wakes {
    fn add(&mut self, analysis: &Analysis<'_>, row: &Row, activity: Activity) {
        let (episodes, ns) = (row.stats.episodes, row.stats.total_ns);
        let waker = analysis.profile.wakers[row.waker.index()];
        let by_own_name = matches!(waker, Waker::Task { group, .. } if group == row.group);
        match activity {
            Activity::Scheduled => {
                self.ready_ns += ns;
                self.all += u64::from(waker != Waker::Unknown) * episodes;
                if by_own_name {
                    self.woke_itself(analysis, analysis.await_site(waker.stack()), episodes);
                }
            }
            Activity::Waiting(Kind::Yield) => {
                self.ready_ns += ns;
                self.woke_itself(analysis, analysis.await_site(row.stack), episodes);
            }
            Activity::Waiting(_) => {
                self.waiting_ns += ns;
                self.waits_ended += u64::from(by_own_name) * episodes;
            }
            Activity::Lost | Activity::OnCpu | Activity::Blocked | Activity::Running => {}
        }
    }

    /// Where the app itself did it. Libraries do so in the midst of much work, to be fair to others.
    fn woke_itself(&mut self, analysis: &Analysis<'_>, site: Option<AwaitSite>, times: u64) {
        let Some(site) = site else {
            return;
        };
        let by_app = |name| analysis.name(name).contains("yield_now");
        if site.awaited.is_none_or(by_app) {
            self.own += times;
            // Such a task may write more than is taken in; where it was before its stacks were left out is known.
            if analysis.name(site.function) != SHORT_WAIT {
                *self.sites.entry(site).or_default() += times;
            }
        }
    }

    fn warning(self, analysis: &Analysis<'_>, task: String) -> Option<Warning> {
        let own = self.own.saturating_sub(self.waits_ended);
        let busy_ns = self.running_ns.saturating_add(self.ready_ns);
        let known_ns = busy_ns.saturating_add(self.waiting_ns).max(1);
        let per_second = (u128::from(own) * SECOND_NS / u128::from(known_ns)) as u64;
        let is_trouble = own * 2 > self.all
            && per_second >= MIN_PER_SECOND
            && self.running_ns <= self.polls * MAX_POLL_NS
            && busy_ns >= analysis.profile.meta.duration_ns / MIN_SHARE;
        if !is_trouble {
            return None;
        }
        let site = self.sites.into_iter().max_by_key(|&(_, wakes)| wakes);
        let (function, file, line, words) = describe(analysis, site.map(|(site, _)| site));
        Some(Warning {
            code: "self_wakes",
            message: format!(
                "busy waiting: {} woke itself {} times, {} times in each second of its time, in {words}",
                named(&task),
                units::count(own),
                units::count(per_second),
            ),
            advice: Runtime::of_all(analysis.profile).either(
                "await what it is looking for (a channel, a Notify, a timer) instead of looking again and again",
                "await what it is looking for (a queue, an Event, a timer) instead of looking again and again",
            ),
            function,
            file,
            line,
            tasks: vec![task],
            blockers: Vec::new(),
            time_ns: busy_ns,
            numbers: BTreeMap::from([("self_wakes", own), ("per_second", per_second)]),
        })
    }
}
