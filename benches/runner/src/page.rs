//! The page of results.

use std::fmt::Write as _;
use std::process::Command;

use anyhow::{Context, Result};

use crate::contestant::Contestant;
use crate::measure::{Load, Measured};
use crate::stats::Spread;

/// The table of one load.
pub fn section(load: &Load, contestants: &[&Contestant], runs: &[Vec<Measured>]) -> String {
    let Load {
        name,
        about,
        unit,
        is_saturated,
        ..
    } = load;
    let measure = if *is_saturated {
        "throughput".to_owned()
    } else {
        format!("CPU per {unit}")
    };
    let mut text = format!(
        "## {name}\n\n{about}.\n\n\
         | profiler | {measure}, ratio to none in the same round | to its own flags | CPU per {unit}, program | \
         with the profiler's process, start and end | p50 | p99 | p99, ratio | memory, program | profiler's process | \
         its CPU | recorded | written |\n\
         |---|---|---|---|---|---|---|---|---|---|---|---|---|\n"
    );
    let baseline = |is_unstable: bool| {
        let is_it = |contestant: &&Contestant| {
            contestant.is_baseline() && contestant.build.is_unstable == is_unstable
        };
        contestants.iter().position(is_it).map(|at| &runs[at])
    };
    for (contestant, own) in contestants.iter().zip(runs) {
        let ratio = |of: &dyn Fn(&Measured) -> f64, to: Option<&Vec<Measured>>| {
            to.map(|to| Spread::of(own.iter().zip(to).map(|(own, to)| of(own) / of(to))))
        };
        let speed = |run: &Measured| match load.is_saturated {
            true => run.figures.operations as f64 / run.figures.wall_ns as f64,
            false => run.figures.cpu_ns as f64 / run.figures.operations as f64,
        };
        let each = |of: &dyn Fn(&Measured) -> f64| Spread::of(own.iter().map(of));
        let per_operation = |ns: u64, run: &Measured| ns as f64 / run.figures.operations as f64 / 1000.0;
        let p99 = |run: &Measured| run.figures.latencies.p99_ns as f64;
        let has_latencies = own.iter().all(|run| run.figures.latencies.p99_ns > 0);
        let micros = |of: &dyn Fn(&Measured) -> f64| match has_latencies {
            true => format!("{:.0} µs", each(of).median / 1000.0),
            false => "–".into(),
        };
        let cells = [
            contestant.name.to_owned(),
            spread(ratio(&speed, baseline(false))),
            spread(ratio(&speed, baseline(contestant.build.is_unstable))),
            format!(
                "{:.2} µs",
                each(&|run| per_operation(run.figures.cpu_ns, run)).median
            ),
            format!("{:.2} µs", each(&|run| per_operation(run.cpu_ns, run)).median),
            micros(&|run| run.figures.latencies.p50_ns as f64),
            micros(&p99),
            match has_latencies {
                true => spread(ratio(&p99, baseline(false))),
                false => "–".into(),
            },
            mib(each(&|run| run.figures.peak_kib as f64).median),
            mib(each(&|run| run.profiler.peak_kib as f64).median),
            match contestant.is_apart() {
                true => format!("{:.2} s", each(&|run| run.profiler.cpu_ns as f64 / 1e9).median),
                false => "–".into(),
            },
            format!("{:.0}", each(&|run| run.recorded as f64).median),
            mib(each(&|run| run.bytes_written as f64 / 1024.0).median),
        ];
        let _ = writeln!(text, "| {} |", cells.join(" | "));
    }
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
pub fn page(sections: &[String], rounds: usize) -> Result<String> {
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
    let perf = output("perf", &["--version"]).unwrap_or_else(|_| "perf is not here".into());
    Ok(format!(
        "# What profilers cost\n\n\
         Written by `just bench{arguments}`, never by hand. {date}, {cores} cores of {processor}, {rust}, {perf}, asyncprof at \
         {commit}, tokio 1.54.1; medians of {rounds} interleaved rounds, in parentheses the quarters around them. These \
         machines are shared: only ratios within a round mean something.\n\n\
         asyncprof records every await stack and samples polls (199 Hz), from outside, with the program as it is. dial9 \
         records polls, spawns and wakes without stacks, console-subscriber writes its recording to a file, tokio-metrics \
         instruments every task; they are linked in, the first two with `--cfg tokio_unstable`. \"Recorded\" is what each \
         says itself: events, samples, lines of a recording, polls. console-subscriber gets a twentieth of the work where \
         the load is as fast as it can be.\n\n{}",
        sections.join("\n")
    ))
}

fn output(program: &str, arguments: &[&str]) -> Result<String> {
    let output = Command::new(program)
        .args(arguments)
        .output()
        .with_context(|| format!("{program} cannot be started"))?;
    Ok(String::from_utf8_lossy(&output.stdout).trim().to_owned())
}
