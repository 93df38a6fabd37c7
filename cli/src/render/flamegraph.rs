//! The flame graph of tasks: width is task time, waits included, and the last frame of each stack says what it was.
//!
//! Tasks are on top and their awaits below, so it reads like a call stack from where the program begins.

use std::io::Write;

use anyhow::Context;
use asyncprof_core::profile::{Profile, TaskKind};
use asyncprof_core::view::{
    Activity, Analysis, By, CallTree, FrameKind, GroupBy, Kind, Node, Rules, TreeOptions,
};
use inferno::flamegraph::TextTruncateDirection;
use inferno::flamegraph::color::BackgroundColor;

use super::layout::{Boxed, Layout};
use super::svg::{self, FrameText, Header, LegendEntry};
use super::{labels, palette, units};

#[derive(Clone, Debug, Default)]
pub(crate) struct FlamegraphOptions {
    pub(crate) rules: Rules,
    pub(crate) by: By,
    pub(crate) group_by: GroupBy,
    pub(crate) show_runtime: bool,
    pub(crate) inverted: bool,
    /// Frames narrower than this many pixels (of 1200) are left out; [`DEFAULT_MIN_WIDTH_PX`] unless told.
    pub(crate) min_width_px: Option<f64>,
    /// "Where task time goes" unless told.
    pub(crate) title: Option<String>,
}

pub(crate) const DEFAULT_MIN_WIDTH_PX: f64 = 0.3;

/// There is nothing to draw; says why and what to try.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub(crate) struct EmptyProfile(String);

/// Writes the picture. Fails with [`EmptyProfile`] if there is nothing to show.
pub(crate) fn flamegraph(
    profile: &Profile,
    options: &FlamegraphOptions,
    mut out: impl Write,
) -> anyhow::Result<()> {
    let analysis = Analysis::new(profile, &options.rules);
    let min_share = options.min_width_px.unwrap_or(DEFAULT_MIN_WIDTH_PX) / svg::IMAGE_WIDTH as f64;
    let tree_options = TreeOptions {
        by: options.by,
        show_runtime: options.show_runtime,
        inverted: options.inverted,
        group_by: options.group_by,
        exact_names: false,
        min_share,
    };
    let tree = CallTree::new(&analysis, &tree_options);
    if tree.root().stats.total_ns == 0 {
        return Err(EmptyProfile(nothing_to_show(profile, options.by)).into());
    }
    let layout = Layout::new(&tree, min_share);
    let title = options.title.as_deref().unwrap_or(default_title(options.by));
    let drawn = draw(
        &layout,
        title,
        &subtitle(profile, &analysis, options.show_runtime),
    )?;
    let header = Header {
        lines: meaning(options, &tree, &layout, unseen_wakes_ns(&analysis, options)),
        legend: legend(&tree),
    };
    let total_ns = tree.root().stats.total_ns;
    let frame = |index: usize| match layout.boxes[index].what {
        Boxed::Node(id) => frame_text(&analysis, &tree, tree.node(id)),
        Boxed::Others { frames, weight } => FrameText::of_others(
            frames,
            format!(
                "{}, {}",
                units::duration(weight),
                units::percent(weight, total_ns)
            ),
        ),
    };
    let picture = svg::finish(&drawn, &header, frame).context("inferno's SVG has an unexpected form")?;
    out.write_all(picture.as_bytes())?;
    out.flush()?;
    Ok(())
}

pub(super) fn draw(layout: &Layout, title: &str, subtitle: &str) -> anyhow::Result<String> {
    let mut inferno = inferno::flamegraph::Options::default();
    inferno.title = units::printable(title);
    inferno.subtitle = Some(units::printable(subtitle));
    inferno.direction = inferno::flamegraph::Direction::Inverted;
    inferno.bgcolors = Some(BackgroundColor::Flat((255, 255, 255).into()));
    inferno.font_size = svg::FONT_SIZE;
    inferno.font_width = svg::FONT_WIDTH;
    inferno.frame_height = 18;
    inferno.text_truncate_direction = TextTruncateDirection::Right;
    inferno.count_name = "units".to_owned();
    inferno.name_type = String::new();
    inferno.min_width = 0.0;
    // Random colours would differ from run to run; all of them are replaced.
    inferno.deterministic = true;
    let lines = layout.folded();
    let mut drawn = Vec::new();
    inferno::flamegraph::from_lines(&mut inferno, lines.iter().map(String::as_str), &mut drawn)
        .context("failed to draw the flame graph")?;
    String::from_utf8(drawn).context("the flame graph is not UTF-8")
}

fn default_title(by: By) -> &'static str {
    match by {
        By::Wall => "Where task time goes",
        By::Wait => "Where tasks wait",
        By::Io => "Where tasks wait for I/O",
        By::Sched => "Where tasks wait for a worker",
        By::Running => "Where tasks run",
        By::Cpu => "Where tasks use the CPU",
        By::Blocked => "Where tasks block their threads",
        By::Wake => "Who ends the waits of tasks",
        By::Delay => "What keeps tasks from a worker",
    }
}

/// Why there is no task time, if no note says it.
pub(super) const NO_TASK: &str = "the program polled no task while it was recorded";

/// Why there is no task time in the profile; None if there is some.
pub(crate) fn nothing_recorded(profile: &Profile) -> Option<String> {
    let analysis = Analysis::new(profile, &Rules::default());
    let has_time = analysis.rows(false).any(|(row, _)| row.stats.total_ns > 0);
    (!has_time).then(|| nothing_to_show(profile, By::Wall))
}

fn nothing_to_show(profile: &Profile, by: By) -> String {
    let has_time = profile.rows.iter().any(|row| row.stats.total_ns > 0);
    let what = match by {
        _ if !has_time => {
            let mut message = "no task time recorded: ".to_owned();
            match profile.quality.notes.as_slice() {
                [] => message.push_str(NO_TASK),
                notes => message.push_str(&notes.join("; ")),
            }
            return message;
        }
        By::Wall => "no task time recorded: all of it is the runtime's own; try --show-runtime",
        By::Wait => "no waiting recorded: no task was ever suspended; try --by wall",
        By::Io => "no I/O wait recorded: no task waited for a socket, file or process; try --by wait",
        By::Sched => "no scheduling delay recorded; try --by wall",
        By::Running => "no running time recorded; try --by wall",
        By::Cpu => "no task was found on the CPU by samples (see record --freq); try --by running",
        By::Blocked => {
            "no task was found blocking its thread by samples (see record --freq); try --by running"
        }
        By::Wake => "no wait recorded of which is known who ended it; try --by wait",
        By::Delay => "no scheduling delay of 0.1 ms or more recorded; try --by sched",
    };
    what.to_owned()
}

fn subtitle(profile: &Profile, analysis: &Analysis<'_>, show_runtime: bool) -> String {
    let groups = profile
        .groups
        .iter()
        .filter(|group| show_runtime || group.kind != TaskKind::Worker);
    let tasks: u64 = groups.map(|group| group.tasks).sum();
    let task_ns: u64 = analysis
        .rows(show_runtime)
        .map(|(row, _)| row.stats.total_ns)
        .sum();
    let mut parts = vec![
        units::head(&profile.meta.command.join(" "), 70),
        format!("recorded {}", units::duration(profile.meta.duration_ns)),
        units::counted(tasks, "task"),
        format!("{} of task time", units::duration(task_ns)),
    ];
    if profile.processes.len() > 1 {
        parts
            .push(units::counted(profile.processes.len() as u64, "process").replace("processs", "processes"));
    }
    parts.retain(|part| !part.is_empty());
    parts.join("  ·  ")
}

/// How much waiting a picture by wake leaves out, because nobody was seen to end it.
fn unseen_wakes_ns(analysis: &Analysis<'_>, options: &FlamegraphOptions) -> u64 {
    let waits = |by: By| {
        let rows = analysis.rows(options.show_runtime);
        let selected = rows.filter(move |&(row, activity)| by.selects(row, activity));
        selected.fold(0_u64, |sum, (row, _)| sum.saturating_add(row.stats.total_ns))
    };
    match options.by {
        By::Wake => waits(By::Wait) - waits(By::Wake),
        _ => 0,
    }
}

fn meaning(
    options: &FlamegraphOptions,
    tree: &CallTree,
    layout: &Layout,
    unseen_wakes_ns: u64,
) -> Vec<String> {
    let what = match options.by {
        By::Wall => "width = task time: wall-clock, waits included, all tasks added up",
        By::Wait => "width = time suspended at an await, all tasks added up",
        By::Io => "width = time suspended waiting for I/O, all tasks added up",
        By::Sched => "width = time ready to run but without a worker, all tasks added up",
        By::Running => "width = time being polled, all tasks added up",
        By::Cpu => "width = time on the CPU in polls, as samples found it, all tasks added up",
        By::Blocked => "width = time off the CPU in polls, as samples found it, all tasks added up",
        By::Wake => "width = time waited until the wake, all tasks added up",
        By::Delay => "width = delays of 0.1 ms or more until a worker came",
    };
    let order = match (options.by, options.inverted) {
        (By::Wake, true) => "top: who woke; below: the await that it ended, and who awaits",
        (By::Wake, false) => "top: task and await; below: who woke it, innermost first",
        (By::Delay, true) => "top: what ran meanwhile; below: the task that was ready",
        (By::Delay, false) => "top: task and the await before; below: what its worker ran",
        (_, true) => "top: the state; below: who awaits",
        (_, false) => match options.group_by {
            GroupBy::Task => "top: the task; below: what it awaits",
            GroupBy::Spawn => "top: where the task was spawned; below: its awaits",
            GroupBy::Tree => "top: a task; below: its awaits and the tasks it spawned",
            GroupBy::Process => "top: the process; below: its tasks",
            GroupBy::None => "top: a function of any task; below: what it awaits",
        },
    };
    let mut lines = vec![format!("{what} · {order}{}", layout.too_narrow())];
    if tree.nodes.iter().any(|node| node.is_continued) {
        lines.push(
            "below a wait for a task: what the awaited tasks did, in the proportions of all tasks of that name and place"
                .to_owned(),
        );
    }
    if unseen_wakes_ns > 0 {
        lines.push(format!(
            "left out: {} of waiting that had not ended, or whose end was not seen",
            units::duration(unseen_wakes_ns)
        ));
    }
    lines
}

fn legend(tree: &CallTree) -> Vec<LegendEntry> {
    let total = tree.root().stats.total_ns;
    let mut present: Vec<(Activity, u64)> = tree.root().shares.present().collect();
    present.sort_by_key(|&(_, ns)| std::cmp::Reverse(ns));
    let entry = |(activity, ns): (Activity, u64)| LegendEntry {
        color: palette::of_activity(activity),
        text: format!(
            "{} {} ({})",
            explained(activity),
            units::duration(ns),
            units::percent(ns, total)
        ),
        hatched: false,
    };
    present.into_iter().map(entry).collect()
}

/// A legend entry's name, with what it means.
fn explained(activity: Activity) -> String {
    let meaning = match activity {
        Activity::OnCpu => "is on the CPU",
        Activity::Blocked => "blocks its thread",
        Activity::Running => "runs",
        Activity::Scheduled => "waits for a worker",
        Activity::Lost => "not recorded",
        Activity::Waiting(Kind::Io) => "waits for I/O",
        Activity::Waiting(Kind::Timer) => "sleeps",
        Activity::Waiting(Kind::Lock) => "waits for a lock",
        Activity::Waiting(Kind::Channel) => "waits at a channel",
        Activity::Waiting(Kind::Join) => "waits for another task",
        Activity::Waiting(Kind::Blocking) => "waits for a blocking task",
        Activity::Waiting(Kind::Notify) => "waits to be notified",
        Activity::Waiting(Kind::Yield) => "gave way",
        Activity::Waiting(Kind::Other) => "waits",
    };
    format!("[{}] {meaning}", activity.name())
}

/// How many waits the frame is a part of.
fn waits_continued(tree: &CallTree, node: &Node) -> u64 {
    let mut above = node;
    while above.is_continued {
        above = tree.node(above.parent);
    }
    above.stats.episodes
}

fn frame_text(analysis: &Analysis<'_>, tree: &CallTree, node: &Node) -> FrameText {
    let stats = &node.stats;
    let (name, fill) = (tree.name(node), palette::of_shares(&node.shares));
    let mut details = vec![
        name.to_owned(),
        units::duration(stats.total_ns),
        units::percent(stats.total_ns, tree.root().stats.total_ns),
    ];
    let waits = node.is_continued.then(|| waits_continued(tree, node));
    if let Some(waits) = waits {
        let each = units::duration(stats.total_ns.checked_div(waits).unwrap_or(0));
        details.push(format!(
            "{each} of each wait, in the proportions of all such tasks"
        ));
    } else if matches!(node.kind, FrameKind::State(Activity::OnCpu | Activity::Blocked)) {
        details.push(units::counted(stats.episodes, "sample"));
    } else {
        details.push(units::counted(stats.episodes, "episode"));
        details.push(format!("mean {}", units::duration(stats.mean_ns())));
        details.push(format!("p99 {}", units::duration(stats.quantile_ns(0.99))));
    }
    if let Some(&(place, _)) = node.places.first() {
        let others = node.places.len() - 1;
        let more = if others > 0 {
            format!(" and {}", units::counted(others as u64, "other line"))
        } else {
            String::new()
        };
        details.push(format!("{}{more}", analysis.place_text(place)));
    }
    let mixed: Vec<String> = node
        .shares
        .present()
        .map(|(activity, ns)| format!("{} {}", activity.name(), units::percent(ns, stats.total_ns)))
        .collect();
    if mixed.len() > 1 {
        details.push(format!("of it {}", mixed.join(" · ")));
    }
    let mut label = labels::label(name, node.kind);
    if label == name || node.kind == FrameKind::Root {
        details.remove(0);
    }
    let (fill, strong) = match node.kind {
        FrameKind::State(activity @ (Activity::OnCpu | Activity::Blocked)) if waits.is_none() => {
            // Its episodes are samples: their length says nothing.
            label = format!("{name} {}", units::duration(stats.total_ns));
            (palette::of_activity(activity), true)
        }
        FrameKind::State(activity) => {
            let episodes = waits.unwrap_or(stats.episodes);
            let mean = units::duration(stats.total_ns.checked_div(episodes).unwrap_or(0));
            let count = units::count(episodes);
            label = format!("{name} {mean} × {count}");
            let share = stats.total_ns as f64 / tree.root().stats.total_ns as f64;
            if !svg::fits(&label, share) {
                // Of what is cut off, the colour tells the state, but nothing the time.
                label = format!("{mean} {name} × {count}");
            }
            (palette::of_activity(activity), true)
        }
        FrameKind::WokenBy(activity) => {
            label = format!("{name} {}", activity.name());
            (palette::of_activity(activity), true)
        }
        FrameKind::Behind => (palette::of_activity(Activity::Scheduled), true),
        FrameKind::Source(_) | FrameKind::NoTask => (fill, true),
        FrameKind::Group(_) | FrameKind::Process => {
            if node.tasks > 1 {
                let mean = units::duration(node.own_ns / node.tasks);
                label.push_str(&format!(" · {} tasks, {mean} each", units::count(node.tasks)));
            }
            (fill, true)
        }
        FrameKind::Root | FrameKind::Function(_) | FrameKind::Others(_) => (fill, false),
    };
    FrameText {
        label,
        details: details.join(", "),
        fill,
        strong,
        hatched: false,
        outlined: false,
    }
}
