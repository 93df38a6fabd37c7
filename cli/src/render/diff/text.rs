//! The table of a comparison, and the sentences below it.

use std::io::Write;

use super::data::{DiffReport, NodeEntry, RunEntry};
use crate::render::table::{Cell, left, lines, right};
use crate::render::{labels, units};

const NAME_WIDTH: usize = 70;

/// Writes the report as text.
pub(crate) fn diff_text(report: &DiffReport, color: bool, mut out: impl Write) -> anyhow::Result<()> {
    let mut text = format!("base: {}\nnew:  {}\n", runs(&report.base), runs(&report.new));
    let total = &report.total;
    text.push_str(&format!(
        "task time per {}: {} → {}, {} ({})\n",
        match report.per {
            "second" => "second",
            _ => "second of task time",
        },
        rate(total.base.rate),
        rate(total.new.rate),
        change(total),
        total.verdict,
    ));
    for objection in &report.objections {
        text.push_str(&format!("Careful: {}.\n", units::printable(objection)));
    }
    text.push('\n');
    let entries = match report.places.is_empty() {
        true => &report.findings,
        false => &report.places,
    };
    if report.findings_total == 0 && report.places.is_empty() {
        text.push_str("Nothing is known to have changed.\n");
    } else {
        if !entries.is_empty() {
            text.push_str(&table(entries, color));
        }
        let more = report.findings_total - report.findings.len();
        if report.places.is_empty() && more > 0 {
            text.push_str(&format!("  … and {more} more (--limit)\n"));
        }
    }
    text.push_str(&format!("\n{}\n", closing(report)));
    out.write_all(text.as_bytes())?;
    out.flush()?;
    Ok(())
}

fn runs(runs: &[RunEntry]) -> String {
    let run = |run: &RunEntry| {
        let length = units::duration(run.duration_ns);
        format!("{} ({length})", units::printable(&run.file))
    };
    runs.iter().map(run).collect::<Vec<_>>().join(", ")
}

fn table(entries: &[NodeEntry], color: bool) -> String {
    let mut rows: Vec<Vec<Cell>> = vec![vec![
        left("verdict"),
        left("frame"),
        right("base /s"),
        right("new /s"),
        right("change"),
        left("95 % interval"),
        left("q"),
    ]];
    let mut below = Vec::new();
    for entry in entries {
        let (sign, hue) = sign(entry.verdict);
        let verdict = left(format!("{sign} {}", entry.verdict));
        rows.push(vec![
            if let Some(hue) = hue {
                verdict.colored(hue)
            } else {
                verdict
            },
            left(units::printable(&labels::at_most(&entry.frame, NAME_WIDTH))),
            right(rate(entry.base.rate)),
            right(rate(entry.new.rate)),
            right(if entry.q.is_some() {
                relative(entry)
            } else {
                String::new()
            }),
            left(if entry.q.is_some() {
                interval(entry)
            } else {
                String::new()
            }),
            left(entry.q.map(q).unwrap_or_default()),
        ]);
        below.push(details(entry));
    }
    let table = lines(&rows, color);
    let mut lines = table.lines();
    let mut text = format!("{}\n", lines.next().unwrap_or_default());
    for (line, below) in lines.zip(below) {
        text.push_str(&format!("{line}\n      {below}\n"));
    }
    text
}

/// A sign and a colour, told apart by colour-blind eyes, too.
fn sign(verdict: &str) -> (&'static str, Option<u8>) {
    match verdict {
        "slower" | "new" => ("▲", Some(208)),
        "faster" | "gone" => ("▼", Some(39)),
        "moved" => ("↔", Some(141)),
        "unchanged" => ("=", None),
        _ => ("?", None),
    }
}

/// How often and how long, and where.
fn details(entry: &NodeEntry) -> String {
    let side = |side: &super::data::SideEntry| match side.episodes {
        0 => "none".to_owned(),
        episodes => format!(
            "{} × {} (p99 {})",
            units::count(episodes),
            units::duration(side.mean_ns),
            units::duration(side.p99_ns)
        ),
    };
    let mut parts = vec![format!("{} → {}", side(&entry.base), side(&entry.new))];
    if let Some(other) = &entry.moved {
        let word = if entry.change > 0.0 { "from" } else { "to" };
        parts.push(format!("{word} {}", labels::at_most(other, NAME_WIDTH)));
    }
    if !entry.inside.is_empty() {
        parts.push(format!("inside {}", entry.inside.join(" › ")));
    }
    units::printable(&parts.join("; "))
}

pub(super) fn rate(ns_per_second: f64) -> String {
    units::duration(ns_per_second.round().max(0.0) as u64)
}

fn signed(ns_per_second: f64) -> String {
    let sign = if ns_per_second < 0.0 { '−' } else { '+' };
    format!("{sign}{}", rate(ns_per_second.abs()))
}

pub(super) fn signed_percent(part: f64) -> String {
    let sign = if part < 0.0 { '−' } else { '+' };
    let percent = part.abs() * 100.0;
    match percent >= 1000.0 {
        true => format!("{sign}{percent:.0} %"),
        false => format!("{sign}{percent:.1} %"),
    }
}

fn relative(entry: &NodeEntry) -> String {
    match entry.base.rate > 0.0 {
        true => signed_percent(entry.change / entry.base.rate),
        false => signed(entry.change),
    }
}

/// Of the base rate, where there is one.
fn interval(entry: &NodeEntry) -> String {
    let (low, high) = entry.interval;
    match entry.base.rate > 0.0 {
        true => format!(
            "{} to {}",
            signed_percent(low / entry.base.rate),
            signed_percent(high / entry.base.rate)
        ),
        false => format!("{} to {}", signed(low), signed(high)),
    }
}

fn change(entry: &NodeEntry) -> String {
    format!("{}, 95 %: {}", relative(entry), interval(entry))
}

pub(super) fn q(q: f64) -> String {
    match q {
        q if q < 0.0001 => "<0.0001".to_owned(),
        q => format!("{q:.4}"),
    }
}

fn closing(report: &DiffReport) -> String {
    let counts = &report.counts;
    let mut text = format!(
        "{} slower, {} faster, {} new, {} gone, {} moved. Of {}, {} unchanged within ±{} of all, {} inconclusive, \
         {} too rare to tell.",
        counts.slower,
        counts.faster,
        counts.new,
        counts.gone,
        counts.moved,
        units::counted(counts.places as u64, "place"),
        counts.unchanged,
        percent_of(report.min_effect),
        counts.inconclusive,
        counts.rare,
    );
    if let Some(times) = &report.times_longer {
        let runs = report.base.iter().chain(&report.new);
        let shortest_ns = runs.map(|run| run.duration_ns).min().unwrap_or(0);
        let length = |times: f64| {
            let ns = (shortest_ns as f64 * times).min(u64::MAX as f64) as u64;
            format!("{times:.1} times as long ({} a run)", units::duration(ns))
        };
        text.push_str(&format!(
            "\nTo resolve the inconclusive ones, record {}",
            length(times.all)
        ));
        if times.half < times.all {
            text.push_str(&format!("; half of them: {}", length(times.half)));
        }
        text.push('.');
    }
    match &report.gate {
        None => text.push_str(
            "\nToo few time windows to tell whether anything at all changed: record 3 seconds or more on both sides.",
        ),
        Some(gate) => text.push_str(&format!(
            "\nDid anything get slower? {}. Faster? {}.",
            answer(gate.slower_p, gate.permuted),
            answer(gate.faster_p, gate.permuted)
        )),
    }
    text
}

fn answer(p: f64, permuted: &str) -> String {
    let word = if p <= 0.05 { "Yes" } else { "Not seen" };
    format!("{word} (p = {p:.3}, by permuted {permuted})")
}

pub(super) fn percent_of(part: f64) -> String {
    let text = format!("{:.3}", part * 100.0);
    format!("{} %", text.trim_end_matches('0').trim_end_matches('.'))
}
