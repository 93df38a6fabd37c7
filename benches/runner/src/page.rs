//! The page of results.

use std::fmt::Write as _;
use std::process::Command;

use anyhow::{Context, Result};

use crate::contestant::{Contestant, Language};
use crate::machine::{atomic_ns, clock_ns};
use crate::measure::{Load, Measured};
use crate::stats::Spread;

/// What a contestant has shown in each round, or why there is nothing to show.
pub struct Runs {
    pub contestant: &'static Contestant,
    pub runs: Result<Vec<Measured>, String>,
}

/// What there is to say of one load.
pub struct Section {
    pub load: &'static Load,
    pub text: String,
    /// By contestant: what the load is about, as a ratio to the run without a profiler, built as it is.
    pub ratios: Vec<(&'static str, Spread)>,
}

const COLUMNS: [&str; 11] = [
    "to its own flags",
    "CPU per UNIT, program",
    "with the profiler's process, start and end",
    "p50",
    "p99",
    "p99, ratio",
    "memory, program",
    "profiler's process",
    "its CPU",
    "recorded",
    "written",
];

impl Section {
    pub fn new(load: &'static Load, all: Vec<Runs>) -> Section {
        let unit = load.unit;
        let mut text = format!("## {}\n\n{}.\n\n", load.name, load.about);
        let columns = COLUMNS.join(" | ").replace("UNIT", unit);
        let _ = writeln!(
            text,
            "| profiler | {}, ratio to none in the same round | {columns} |\n|---{}|",
            load.measure(),
            "|--:".repeat(COLUMNS.len() + 1)
        );
        let baseline = |is_unstable: bool| {
            let is_it = |contestant: &Contestant| {
                contestant.is_baseline() && contestant.build.is_unstable == is_unstable
            };
            let runs = all.iter().find(|runs| is_it(runs.contestant));
            runs.and_then(|runs| runs.runs.as_deref().ok())
        };
        let mut ratios = Vec::new();
        let mut failures = Vec::new();
        for Runs { contestant, runs } in &all {
            let own_flags = baseline(contestant.build.is_unstable);
            match runs {
                Ok(runs) => {
                    text.push_str(&row(load, contestant, runs, baseline(false), own_flags));
                    ratios.extend(
                        ratio(runs, own_flags, &|run| load.figure(run)).map(|ratio| (contestant.name, ratio)),
                    );
                }
                Err(why) => failures.push(format!("\n{} was not measured: {why}.\n", contestant.name)),
            }
        }
        text.extend(failures);
        Section { load, text, ratios }
    }
}

type Figure<'a> = &'a dyn Fn(&Measured) -> f64;

/// Of each run to that of the baseline in the same round.
fn ratio(runs: &[Measured], baseline: Option<&[Measured]>, figure: Figure<'_>) -> Option<Spread> {
    let pairs = runs.iter().zip(baseline?);
    Some(Spread::of(pairs.map(|(own, plain)| figure(own) / figure(plain))))
}

fn row(
    load: &Load,
    contestant: &Contestant,
    runs: &[Measured],
    plain: Option<&[Measured]>,
    own_flags: Option<&[Measured]>,
) -> String {
    let median = |figure: Figure<'_>| Spread::of(runs.iter().map(figure)).median;
    let each = |ns: Figure<'_>| {
        let ns = median(&|run| ns(run) / run.figures.operations as f64);
        match ns < 1000.0 {
            true => format!("{ns:.0} ns"),
            false => format!("{:.2} µs", ns / 1000.0),
        }
    };
    let p99 = |run: &Measured| run.figures.latencies.p99_ns as f64;
    let has_latencies = runs.iter().all(|run| run.figures.latencies.p99_ns > 0);
    let or_none = |is_there: bool, cell: &dyn Fn() -> String| if is_there { cell() } else { "–".into() };
    let latency = |ns: Figure<'_>| or_none(has_latencies, &|| format!("{:.0} µs", median(ns) / 1000.0));
    let cells = [
        contestant.name.to_owned(),
        spread(ratio(runs, plain, &|run| load.figure(run))),
        spread(ratio(runs, own_flags, &|run| load.figure(run))),
        each(&|run| run.figures.cpu_ns as f64),
        each(&|run| run.cpu_ns as f64),
        latency(&|run| run.figures.latencies.p50_ns as f64),
        latency(&p99),
        or_none(has_latencies, &|| spread(ratio(runs, plain, &p99))),
        mib(median(&|run| run.figures.peak_kib as f64)),
        mib(median(&|run| run.profiler.peak_kib as f64)),
        or_none(contestant.is_apart(), &|| {
            format!("{:.2} s", median(&|run| run.profiler.cpu_ns as f64 / 1e9))
        }),
        format!("{:.0}", median(&|run| run.recorded as f64)),
        mib(median(&|run| run.bytes_written as f64 / 1024.0)),
    ];
    format!("| {} |\n", cells.join(" | "))
}

/// Of all loads in one language, what each is about.
fn overview(sections: &[Section], language: Language) -> String {
    let sections: Vec<&Section> = sections
        .iter()
        .filter(|section| section.load.language == language)
        .collect();
    let mut text = String::new();
    let Some(longest) = sections.iter().max_by_key(|section| section.ratios.len()) else {
        return text;
    };
    let names: Vec<&str> = longest.ratios.iter().map(|(name, _)| *name).collect();
    let _ = writeln!(
        text,
        "| load | as a ratio | {} |\n|---|---{}|",
        names.join(" | "),
        "|--:".repeat(names.len())
    );
    for section in sections {
        let ratio_of = |name: &&str| section.ratios.iter().find(|ratio| ratio.0 == *name);
        let cells = names.iter().map(|name| match ratio_of(name) {
            Some((_, ratio)) => format!("{:.2}", ratio.median),
            None => "–".into(),
        });
        let cells: Vec<String> = cells.collect();
        let load = section.load;
        let _ = writeln!(
            text,
            "| {} | {} | {} |",
            load.name,
            load.measure(),
            cells.join(" | ")
        );
    }
    text.push('\n');
    text
}

/// `0.94 (0.91–0.97)`: median and quarters.
fn spread(spread: Option<Spread>) -> String {
    spread.map_or("–".into(), |Spread { median, low, high }| {
        format!("{median:.2} ({low:.2}–{high:.2})")
    })
}

fn mib(kib: f64) -> String {
    if kib == 0.0 {
        "–".into()
    } else {
        format!("{:.1} MiB", kib / 1024.0)
    }
}

/// All of it, with where and when it was measured.
pub fn page(sections: &[Section], rounds: usize) -> Result<String> {
    let date = output("date", &["-u", "+%Y-%m-%d"])?;
    let processor = std::fs::read_to_string("/proc/cpuinfo")?
        .lines()
        .find_map(|line| line.strip_prefix("model name")?.split_once(": "))
        .map_or("an unknown processor".to_owned(), |(_, name)| name.to_owned());
    let cores = std::thread::available_parallelism()?;
    let commit = output("git", &["rev-parse", "--short", "HEAD"])?;
    let rust = output("rustc", &["--version"])?;
    let arguments: String = std::env::args()
        .skip(1)
        .map(|argument| format!(" {argument}"))
        .collect();
    let (clock, atomic) = (clock_ns(), atomic_ns());
    let perf = output("perf", &["--version"]).unwrap_or_else(|_| "perf is not here".into());
    let texts: Vec<&str> = sections.iter().map(|section| &*section.text).collect();
    Ok(format!(
        "# What profilers cost\n\n\
         Written by `just bench{arguments}`, never by hand. {date}, {cores} cores of {processor}, {rust}, {perf}, asyncprof at \
         {commit}, tokio 1.54.1; medians of {rounds} interleaved rounds, in parentheses the quarters around them. These \
         machines are shared: only ratios within a round mean something. A reading of the time-stamp counter takes {clock:.1} ns \
         here, an atomic addition {atomic:.1} ns.\n\n\
         asyncprof records every await stack and samples polls (199 Hz), from outside, with the program as it is. dial9 \
         records polls, spawns and wakes without stacks, console-subscriber writes its recording to a file, tokio-metrics \
         instruments every task that a load spawns itself (of web there are none: axum does); they are linked in, the first two with `--cfg tokio_unstable`. \"Recorded\" is what each \
         says itself: events, samples, lines of a recording, polls. console-subscriber gets a twentieth of the work where \
         the load is as fast as it can be.\n\n\
         At a glance, each to the run without a profiler that is built with its flags: throughput (more is better) where the \
         load does as much as it can, else the program's CPU (less is better).\n\n{}{}{}",
        overview(sections, Language::Rust),
        overview(sections, Language::Python),
        texts.join("\n")
    ))
}

fn output(program: &str, arguments: &[&str]) -> Result<String> {
    let output = Command::new(program)
        .args(arguments)
        .output()
        .with_context(|| format!("{program} cannot be started"))?;
    Ok(String::from_utf8_lossy(&output.stdout).trim().to_owned())
}
