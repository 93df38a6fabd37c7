//! The report: where the time of the tasks went, in text that needs no picture, or as JSON.

use std::io::Write;

use asyncprof_core::profile::Profile;
use asyncprof_core::view::{Activity, Analysis, Rules};

use super::delays::{delay_rows, noticeable};
use super::flamegraph::NO_TASK;
use super::quality::quality;
use super::report_data::{EpisodeNumbers, PollEntry, Report, StateEntry, WaitEntry};
use super::table::{Cell, bar, left, lines, right};
use super::tasks::group_rows;
use super::wakes::wake_rows;
use super::words::Runtime;
use super::work::{self, label_rows};
use super::{labels, palette, stuck, units, warnings};

#[derive(Clone, Debug)]
pub(crate) struct ReportOptions {
    pub(crate) rules: Rules,
    /// How many lines each list has at most.
    pub(crate) limit: usize,
    /// Colours for a terminal.
    pub(crate) color: bool,
}

pub(crate) const DEFAULT_LIMIT: usize = 10;
const BAR_WIDTH: usize = 30;
const NAME_WIDTH: usize = 60;

/// Writes the report as text.
pub(crate) fn report(profile: &Profile, options: &ReportOptions, mut out: impl Write) -> anyhow::Result<()> {
    let analysis = Analysis::new(profile, &options.rules);
    let report = Report::new(&analysis, options.limit);
    let mut text = header(&report);
    if report.task_time_ns == 0 {
        text.push_str("\nNo task time recorded");
        // Else the notes say why.
        if report.quality.notes.is_empty() {
            text.push_str(&format!(": {NO_TASK}"));
        }
        text.push_str(".\n");
    } else {
        let delays = noticeable(&report.delays, report.duration_ns);
        let runtime = Runtime::of_all(profile);
        let a_worker = runtime.either("a worker", "their event loop");
        let sections = [
            ("Where the task time went".to_owned(), states(&report)),
            (
                heading("Labels", report.labels.len(), report.labels_total),
                label_rows(&report),
            ),
            (
                heading("Tasks", report.groups.len(), report.groups_total),
                group_rows(&report),
            ),
            (
                heading("Waits", report.waits.len(), report.waits_total),
                waits(&report),
            ),
            (
                heading("Who wakes whom", report.wakes.len(), report.wakes_total),
                wake_rows(&report.wakes),
            ),
            (
                heading(
                    &format!("What kept tasks from {a_worker}"),
                    delays.len(),
                    report.delays_total,
                ),
                delay_rows(&delays, runtime.worker()),
            ),
            ("Longest polls".to_owned(), polls(&report)),
        ];
        for (heading, rows) in sections.iter().filter(|(_, rows)| !rows.is_empty()) {
            text.push_str(&section(heading, &lines(rows, options.color), options.color));
        }
    }
    if !report.warnings.is_empty() {
        let heading = heading("Warnings", report.warnings.len(), report.warnings_total);
        text.push_str(&section(
            &heading,
            &warnings::text(&report.warnings),
            options.color,
        ));
    }
    text.push_str(&format!("\nQuality: {}\n", quality(&report.quality)));
    for note in &report.quality.notes {
        text.push_str(&format!("Note: {}\n", units::printable(note)));
    }
    out.write_all(text.as_bytes())?;
    out.flush()?;
    Ok(())
}

/// Writes where tasks were still waiting at the end, each place with its await stack.
pub(crate) fn report_stuck(
    profile: &Profile,
    options: &ReportOptions,
    mut out: impl Write,
) -> anyhow::Result<()> {
    let analysis = Analysis::new(profile, &options.rules);
    let report = Report::new(&analysis, 0);
    let list = stuck::list(&stuck::stuck(&analysis), options.limit, options.color);
    write!(out, "{}\n{list}", header(&report))?;
    out.flush()?;
    Ok(())
}

/// Writes the report as one JSON object; see [`Report`].
pub(crate) fn report_json(
    profile: &Profile,
    options: &ReportOptions,
    mut out: impl Write,
) -> anyhow::Result<()> {
    let analysis = Analysis::new(profile, &options.rules);
    // In one piece: an error of the writer comes back as what it is, not as one of JSON.
    let mut text = serde_json::to_vec_pretty(&Report::new(&analysis, options.limit))?;
    text.push(b'\n');
    out.write_all(&text)?;
    out.flush()?;
    Ok(())
}

fn section(heading: &str, body: &str, color: bool) -> String {
    match color {
        true => format!("\n\u{1b}[1m{heading}\u{1b}[0m\n{body}"),
        false => format!("\n{heading}\n{body}"),
    }
}

fn heading(what: &str, shown: usize, total: usize) -> String {
    if shown < total {
        format!("{what} by time ({shown} of {total})")
    } else {
        format!("{what} by time")
    }
}

fn header(report: &Report) -> String {
    let mut runtimes: Vec<&str> = report
        .processes
        .iter()
        .map(|process| process.runtime.as_str())
        .collect();
    runtimes.retain(|runtime| !runtime.is_empty());
    runtimes.sort_unstable();
    runtimes.dedup();
    let mut parts = vec![
        format!("recorded {}", units::duration(report.duration_ns)),
        units::counted(report.tasks, "task"),
        format!("{} of task time", units::duration(report.task_time_ns)),
        runtimes.join(", "),
    ];
    if report.processes.len() > 1 {
        parts.push(format!("{} processes", report.processes.len()));
    }
    parts.extend(work::summary(&report.work));
    parts.retain(|part| !part.is_empty());
    format!(
        "{}\n{}\n",
        units::printable(&report.command.join(" ")),
        parts.join(" · ")
    )
}

/// Running, scheduled, waiting; and what running and waiting are made of.
fn states(report: &Report) -> Vec<Vec<Cell>> {
    let total = report.task_time_ns;
    let line = |name: &str, ns: u64, color: Option<u8>| {
        let paint = |cell: Cell| color.into_iter().fold(cell, Cell::colored);
        let figures = [right(units::duration(ns)), right(units::percent(ns, total))];
        [paint(left(name))]
            .into_iter()
            .chain(figures)
            .chain([paint(left(bar(ns, total, BAR_WIDTH)))])
            .collect::<Vec<Cell>>()
    };
    let episodes = |numbers: &EpisodeNumbers| {
        [
            right(format!("{} ×", units::count(numbers.episodes))),
            right(units::duration(numbers.mean_ns)),
            left(format!("p99 {}", units::duration(numbers.p99_ns))),
        ]
    };
    let sum = |states: &[&StateEntry]| states.iter().map(|state| state.episodes.total_ns).sum();
    let of = |wanted: fn(Activity) -> bool| {
        let states = report.states.iter().filter(|state| wanted(state.activity));
        states.collect::<Vec<&StateEntry>>()
    };
    let mut rows = Vec::new();
    let running = of(Activity::is_running);
    if !running.is_empty() {
        let mut row = line("running", sum(&running), None);
        if report.polls.episodes > 0 {
            row.extend(episodes(&report.polls));
        }
        rows.push(row);
    }
    let is_split = running.iter().any(|state| state.activity != Activity::Running);
    for state in running.into_iter().filter(|_| is_split) {
        let name = match state.activity {
            Activity::Running => "  not sampled",
            activity => &format!("  {}", activity.name()),
        };
        let color = Some(palette::ansi(state.activity));
        rows.push(line(name, state.episodes.total_ns, color));
    }
    for state in of(|activity| matches!(activity, Activity::Scheduled | Activity::Lost)) {
        let color = Some(palette::ansi(state.activity));
        let mut row = line(state.activity.name(), state.episodes.total_ns, color);
        row.extend(episodes(&state.episodes));
        rows.push(row);
    }
    let mut waits = of(|activity| matches!(activity, Activity::Waiting(_)));
    waits.sort_by_key(|state| std::cmp::Reverse(state.episodes.total_ns));
    if !waits.is_empty() {
        rows.push(line("waiting", sum(&waits), None));
    }
    for state in waits {
        let color = Some(palette::ansi(state.activity));
        let mut row = line(
            &format!("  {}", state.activity.name()),
            state.episodes.total_ns,
            color,
        );
        row.extend(episodes(&state.episodes));
        rows.push(row);
    }
    rows
}

fn waits(report: &Report) -> Vec<Vec<Cell>> {
    let head = ["time", "share", "waits", "mean", "p99"].map(right);
    let mut rows = vec![
        head.into_iter()
            .chain([left("kind"), left("where")])
            .collect::<Vec<Cell>>(),
    ];
    rows.extend(report.waits.iter().map(|wait| wait_row(wait, report)));
    if rows.len() == 1 { Vec::new() } else { rows }
}

fn wait_row(wait: &WaitEntry, report: &Report) -> Vec<Cell> {
    let mut place = site(&wait.function, &wait.place, wait.awaited.as_deref());
    if wait.open_episodes > 0 {
        place.push_str(&format!(
            " ({} still waiting at the end)",
            units::count(wait.open_episodes)
        ));
    }
    let numbers = &wait.episodes;
    vec![
        right(units::duration(numbers.total_ns)),
        right(units::percent(numbers.total_ns, report.task_time_ns)),
        right(units::count(numbers.episodes)),
        right(units::duration(numbers.mean_ns)),
        right(units::duration(numbers.p99_ns)),
        left(wait.kind.name()).colored(palette::ansi(Activity::Waiting(wait.kind))),
        left(place),
    ]
}

/// `app::fetch at src/main.rs:18 → Sleep::poll`.
pub(super) fn site(function: &str, at: &str, awaited: Option<&str>) -> String {
    let mut text = labels::at_most(&units::printable(function), NAME_WIDTH);
    if !at.is_empty() {
        text.push_str(&format!(" at {}", units::printable(at)));
    }
    if let Some(awaited) = awaited {
        let short = asyncprof_core::view::names::short_name(awaited);
        text.push_str(&format!(
            " → {}",
            units::tail(&units::printable(short), NAME_WIDTH)
        ));
    }
    text
}

fn polls(report: &Report) -> Vec<Vec<Cell>> {
    let row = |poll: &PollEntry| {
        vec![
            right(units::duration(poll.duration_ns)),
            right(format!("at {}", units::duration(poll.started_ns))),
            left(units::tail(&units::printable(&poll.task), NAME_WIDTH)),
            left(&poll.words),
        ]
    };
    report.longest_polls.iter().map(row).collect()
}
