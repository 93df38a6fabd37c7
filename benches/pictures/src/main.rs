//! How long a picture of many stacks takes, and a comparison of two, beside inferno's own programs on the same input:
//! `just bench-pictures`.

mod input;

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Instant;

use anyhow::{Context, Result, ensure};
use clap::Parser;

use input::{DEPTH, Stacks};

#[derive(Debug, Parser)]
struct Options {
    /// The command to measure
    #[arg(long, default_value = "asyncprof")]
    asyncprof: PathBuf,
    /// Only write the input into this folder
    #[arg(long)]
    input: Option<PathBuf>,
    /// The folder with inferno-flamegraph and inferno-diff-folded, to measure beside it
    #[arg(long)]
    inferno: Option<PathBuf>,
    /// Different stacks
    #[arg(long, default_value_t = 400_000)]
    stacks: usize,
    /// Runs of each
    #[arg(long, default_value_t = 5)]
    rounds: usize,
}

struct Contestant {
    name: &'static str,
    program: PathBuf,
    arguments: Vec<PathBuf>,
}

#[derive(Clone, Copy)]
struct Cost {
    seconds: f64,
    peak_mib: f64,
    written_mib: f64,
}

fn main() -> Result<()> {
    let options = Options::parse();
    if let Some(folder) = &options.input {
        return write_input(folder, options.stacks);
    }
    let folder = tempfile::tempdir()?;
    let path = |name: &str| folder.path().join(name);
    // In a process of its own: the memory that it takes would count for those that are started here.
    let mut writer = Command::new(std::env::current_exe()?);
    writer.arg("--input").arg(folder.path());
    writer.args(["--stacks", &options.stacks.to_string()]);
    ensure!(writer.status()?.success(), "no input was written");
    let contestants = contestants(&options, &path);
    let mut costs: Vec<Vec<Cost>> = vec![Vec::new(); contestants.len()];
    for round in 0..options.rounds {
        let mut order: Vec<usize> = (0..contestants.len()).collect();
        // Every other round backwards, so that what drifts hits all alike.
        if round % 2 == 1 {
            order.reverse();
        }
        for at in order {
            costs[at].push(run(&contestants[at], &path("out"))?);
        }
    }
    println!(
        "{} stacks of {DEPTH} frames, medians of {} rounds:\n",
        options.stacks, options.rounds
    );
    println!("| | time | peak memory | written |\n|---|---|---|---|");
    for (contestant, costs) in contestants.iter().zip(costs) {
        let median = |of: fn(&Cost) -> f64| {
            let mut figures: Vec<f64> = costs.iter().map(of).collect();
            figures.sort_by(f64::total_cmp);
            figures[figures.len() / 2]
        };
        println!(
            "| {} | {:.2} s | {:.0} MiB | {:.2} MiB |",
            contestant.name,
            median(|cost| cost.seconds),
            median(|cost| cost.peak_mib),
            median(|cost| cost.written_mib),
        );
    }
    Ok(())
}

fn write_input(folder: &Path, stacks: usize) -> Result<()> {
    for (name, is_slower) in [("base", false), ("new", true)] {
        let stacks = Stacks::new(stacks, is_slower);
        stacks.write_folded(&folder.join(format!("{name}.folded")))?;
        stacks.write_recording(&folder.join(format!("{name}.data")))?;
    }
    Ok(())
}

fn contestants(options: &Options, path: &impl Fn(&str) -> PathBuf) -> Vec<Contestant> {
    let ours = |name, arguments: &[&str]| Contestant {
        name,
        program: options.asyncprof.clone(),
        arguments: arguments
            .iter()
            .map(|&argument| match Path::new(argument).extension() {
                Some(_) => path(argument),
                None => PathBuf::from(argument),
            })
            .collect(),
    };
    let mut contestants = vec![
        ours(
            "asyncprof flamegraph, of a recording",
            &["flamegraph", "-o", "-", "base.data"],
        ),
        ours(
            "asyncprof flamegraph, of folded stacks",
            &["flamegraph", "-o", "-", "base.folded"],
        ),
        ours(
            "asyncprof diff, of recordings",
            &["diff", "-o", "-", "base.data", "new.data"],
        ),
        ours(
            "asyncprof diff, of folded stacks",
            &["diff", "-o", "-", "base.folded", "new.folded"],
        ),
    ];
    if let Some(inferno) = &options.inferno {
        contestants.push(Contestant {
            name: "inferno-flamegraph",
            program: inferno.join("inferno-flamegraph"),
            arguments: vec![path("base.folded")],
        });
        contestants.push(Contestant {
            name: "inferno-diff-folded",
            program: inferno.join("inferno-diff-folded"),
            arguments: vec![path("base.folded"), path("new.folded")],
        });
    }
    contestants
}

fn run(contestant: &Contestant, output: &Path) -> Result<Cost> {
    let started = Instant::now();
    let child = Command::new(&contestant.program)
        .args(&contestant.arguments)
        .stdin(Stdio::null())
        .stdout(std::fs::File::create(output)?)
        .spawn()
        .with_context(|| format!("{} cannot be started", contestant.program.display()))?;
    // SAFETY: zeros are a valid structure, which the system fills; the child is ours and waited for only here.
    let (status, usage) = unsafe {
        let mut usage = std::mem::zeroed::<libc::rusage>();
        let mut status = 0;
        libc::wait4(child.id() as libc::pid_t, &mut status, 0, &mut usage);
        (status, usage)
    };
    ensure!(status == 0, "{}: status {status}", contestant.name);
    Ok(Cost {
        seconds: started.elapsed().as_secs_f64(),
        peak_mib: usage.ru_maxrss as f64 / 1024.0,
        written_mib: std::fs::metadata(output)?.len() as f64 / f64::from(1 << 20),
    })
}
