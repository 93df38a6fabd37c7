//! The tasks of each name: how many, how they ended, and what they did with their time.

use std::collections::{BTreeSet, HashMap};

use asyncprof_core::profile::TaskKind;
use asyncprof_core::view::{Analysis, Shares};
use serde::Serialize;

use super::report_data::{Report, StateNumbers};
use super::table::{Cell, left, right};
use super::{palette, units};

const NAME_WIDTH: usize = 60;

/// Tasks of one name, wherever they were spawned.
#[derive(Debug, Serialize)]
pub(crate) struct GroupEntry {
    pub(crate) name: String,
    /// `task`, `root`, `blocking` or `worker`.
    pub(crate) kind: &'static str,
    pub(crate) pid: u32,
    /// The names of the tasks that spawned these, in alphabetical order; empty where no task did.
    pub(crate) parents: BTreeSet<String>,
    pub(crate) tasks: u64,
    pub(crate) completed: u64,
    pub(crate) cancelled: u64,
    pub(crate) panicked: u64,
    #[serde(flatten)]
    pub(crate) time: StateNumbers,
    #[serde(skip)]
    pub(crate) shares: Shares,
}

/// All names, in a fixed order.
pub(super) fn groups(analysis: &Analysis<'_>) -> Vec<GroupEntry> {
    let profile = analysis.profile;
    let mut shares = vec![Shares::default(); profile.groups.len()];
    for (row, activity) in analysis.rows(false) {
        shares[row.group.index()].add(activity, row.stats.total_ns);
    }
    let mut entries: Vec<GroupEntry> = Vec::new();
    let mut known = HashMap::new();
    for (group, shares) in profile
        .groups
        .iter()
        .zip(shares)
        .filter(|(group, _)| group.kind != TaskKind::Worker)
    {
        let index = *known
            .entry((group.process, group.kind, group.name))
            .or_insert(entries.len());
        if index == entries.len() {
            entries.push(GroupEntry {
                name: profile.string(group.name).to_owned(),
                kind: kind_name(group.kind),
                pid: profile
                    .processes
                    .get(group.process.index())
                    .map_or(0, |process| process.pid),
                parents: BTreeSet::new(),
                tasks: 0,
                completed: 0,
                cancelled: 0,
                panicked: 0,
                time: StateNumbers::default(),
                shares: Shares::default(),
            });
        }
        let entry = &mut entries[index];
        let parent = group.parent.map(|parent| analysis.group_label(parent));
        entry.parents.extend(parent);
        entry.tasks += group.tasks;
        entry.completed += group.completed;
        entry.cancelled += group.cancelled;
        entry.panicked += group.panicked;
        entry.shares.merge(&shares);
    }
    for entry in &mut entries {
        entry.time = StateNumbers::of(&entry.shares);
    }
    entries
}

fn kind_name(kind: TaskKind) -> &'static str {
    match kind {
        TaskKind::Task => "task",
        TaskKind::Root => "root",
        TaskKind::Blocking => "blocking",
        TaskKind::Worker => "worker",
    }
}

/// The table, with a head; empty without entries.
pub(super) fn group_rows(report: &Report) -> Vec<Vec<Cell>> {
    let head = ["time", "share", "tasks", "running", "scheduled", "waiting"].map(right);
    let mut rows = vec![
        head.into_iter()
            .chain([left("mostly"), left("task")])
            .collect::<Vec<Cell>>(),
    ];
    rows.extend(
        report
            .groups
            .iter()
            .filter(|group| group.time.total_ns > 0)
            .map(|group| group_row(group, report)),
    );
    if rows.len() == 1 { Vec::new() } else { rows }
}

fn group_row(group: &GroupEntry, report: &Report) -> Vec<Cell> {
    let mostly = group.shares.dominant().map(|(activity, _)| activity);
    let mostly = mostly.map_or_else(
        || left(""),
        |activity| left(activity.name()).colored(palette::ansi(activity)),
    );
    let mut name = units::tail(&units::printable(&group.name), NAME_WIDTH);
    if group.kind != "task" {
        name = format!(
            "[{}] {name}",
            if group.kind == "root" {
                "root task"
            } else {
                "blocking task"
            }
        );
    }
    if report.processes.len() > 1 {
        name.push_str(&format!(" (pid {})", group.pid));
    }
    for (ended, how) in [(group.cancelled, "cancelled"), (group.panicked, "panicked")] {
        if ended > 0 {
            name.push_str(&format!(", {} {how}", units::count(ended)));
        }
    }
    vec![
        right(units::duration(group.time.total_ns)),
        right(units::percent(group.time.total_ns, report.task_time_ns)),
        right(units::count(group.tasks)),
        right(units::percent(group.time.running_ns, group.time.total_ns)),
        right(units::percent(group.time.scheduled_ns, group.time.total_ns)),
        right(units::percent(group.time.waiting_ns, group.time.total_ns)),
        mostly,
        left(name),
    ]
}
