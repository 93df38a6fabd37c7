//! The table of a comparison, and the sentences below it.

use std::io::Write;

use super::data::{DiffReport, GateEntry, NodeEntry, RunEntry};
use super::lengths;
use super::unit::Unit;
use crate::render::table::{Cell, left, lines, right};
use crate::render::{labels, units};

const NAME_WIDTH: usize = 70;

/// Writes the report as text.
pub(crate) fn diff_text(report: &DiffReport, color: bool, mut out: impl Write) -> anyhow::Result<()> {
    let mut text = format!("base: {}\nnew:  {}\n", runs(&report.base), runs(&report.new));
    text.push_str(&format!("{}\n", total(report)));
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
            text.push_str(&table(entries, report.unit, color));
        }
        let more = report.findings_total - report.findings.len();
        if report.places.is_empty() && more > 0 {
            text.push_str(&format!("  … and {more} more (--limit)\n"));
        }
    }
    if report.lengths_total > 0 {
        text.push_str("\nWaits that are longer or shorter, however often they come:\n");
        text.push_str(&lengths::table(&report.lengths, color));
        let more = report.lengths_total - report.lengths.len();
        if more > 0 {
            text.push_str(&format!(
                "  … and those of {} more (--limit)\n",
                units::counted(more as u64, "place")
            ));
        }
    }
    text.push_str(&format!("\n{}\n", closing(report)));
    out.write_all(text.as_bytes())?;
    out.flush()?;
    Ok(())
}

/// What is compared, per what, and how all of it changed.
fn total(report: &DiffReport) -> String {
    let (total, unit) = (&report.total, report.unit);
    let [base, new] = report.exposed_per_second;
    let all = format!("{} → {}", unit.bare(total.base.rate), unit.bare(total.new.rate));
    let change = format!(
        "{}, 95 %: {} ({})",
        relative(total, unit),
        interval(total, unit),
        total.verdict
    );
    match report.per {
        "work" => format!("task time per unit of work: {all}, {change}; {base:.1} → {new:.1} units/s"),
        "load" => format!(
            "task time per second at equal load: {all}, {change}; the new side has {:.2} times the load of the base",
            new / base
        ),
        "share" => format!(
            "shares of all task time, of which there are {} → {} per second",
            units::duration((base * 1e9) as u64),
            units::duration((new * 1e9) as u64)
        ),
        _ => format!("task time per second: {all}, {change}"),
    }
}

fn runs(runs: &[RunEntry]) -> String {
    let run = |run: &RunEntry| {
        let length = units::duration(run.duration_ns);
        format!("{} ({length})", units::printable(&run.file))
    };
    runs.iter().map(run).collect::<Vec<_>>().join(", ")
}

fn table(entries: &[NodeEntry], unit: Unit, color: bool) -> String {
    let mut rows: Vec<Vec<Cell>> = vec![vec![
        left("verdict"),
        left("frame"),
        right(format!("base {}", unit.suffix()).trim_end()),
        right(format!("new {}", unit.suffix()).trim_end()),
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
            right(unit.bare(entry.base.rate)),
            right(unit.bare(entry.new.rate)),
            right(if entry.q.is_some() {
                relative(entry, unit)
            } else {
                String::new()
            }),
            left(if entry.q.is_some() {
                interval(entry, unit)
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
pub(super) fn sign(verdict: &str) -> (&'static str, Option<u8>) {
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

pub(super) fn signed_percent(part: f64) -> String {
    let sign = if part < 0.0 { '−' } else { '+' };
    let percent = part.abs() * 100.0;
    match percent >= 1000.0 {
        true => format!("{sign}{percent:.0} %"),
        false => format!("{sign}{percent:.1} %"),
    }
}

fn relative(entry: &NodeEntry, unit: Unit) -> String {
    match entry.base.rate > 0.0 {
        true => signed_percent(entry.change / entry.base.rate),
        false => unit.signed(entry.change),
    }
}

/// Of the base rate, where there is one.
fn interval(entry: &NodeEntry, unit: Unit) -> String {
    let (low, high) = entry.interval;
    match entry.base.rate > 0.0 {
        true => format!(
            "{} to {}",
            signed_percent(low / entry.base.rate),
            signed_percent(high / entry.base.rate)
        ),
        false => format!("{} to {}", unit.signed(low), unit.signed(high)),
    }
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
        Some(gate) => text.push_str(&format!("\n{}", answers(gate, report.slower, report.faster))),
    }
    text
}

/// Whether anything changed at all, and what would have been seen.
pub(super) fn answers(gate: &GateEntry, slower: &str, faster: &str) -> String {
    let answer = |answer: &str, p: f64| {
        let word = match answer {
            "yes" => "Yes",
            "no" => "No",
            _ => "Cannot tell",
        };
        format!("{word} (p = {p:.3})")
    };
    let mut text = format!(
        "Did anything get slower? {}. Faster? {}. ",
        answer(slower, gate.slower_p),
        answer(faster, gate.faster_p)
    );
    let how = match gate.permuted {
        "nothing" => String::new(),
        permuted => format!(", by permuted {permuted}"),
    };
    match gate.detectable {
        Some(part) => text.push_str(&format!(
            "A change of {} of all would have been seen in four of five cases{how}",
            rounded_up(part)
        )),
        None => text.push_str(&format!("There is too little to see any change{how}")),
    }
    if gate.detectable.is_none_or(|part| part > gate.detectable_limit) {
        text.push_str(&format!(
            "; no takes {} (--detectable)",
            percent_of(gate.detectable_limit)
        ));
    }
    text.push('.');
    text
}

/// To tenths of a per cent: of what would have been seen not less.
fn rounded_up(part: f64) -> String {
    format!("{:.1} %", (part * 1000.0).ceil() / 10.0)
}

pub(super) fn percent_of(part: f64) -> String {
    let text = format!("{:.3}", part * 100.0);
    format!("{} %", text.trim_end_matches('0').trim_end_matches('.'))
}
