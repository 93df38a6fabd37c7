//! Runs every load under every profiler, in interleaved rounds, and writes `RESULTS.md`: `just bench`.

mod build;
mod contestant;
mod machine;
mod measure;
mod page;
mod stats;

use std::path::PathBuf;

use anyhow::Result;
use clap::Parser;

use build::Programs;
use contestant::{CONTESTANTS, Contestant, Language};
use measure::{LOADS, Load, measure};
use page::{Runs, Section};

#[derive(Debug, Parser)]
struct Options {
    /// Rounds of each load
    #[arg(long, default_value_t = 10)]
    rounds: usize,
    /// Only loads whose name contains this
    #[arg(long, default_value = "")]
    load: String,
    /// Only profilers whose name contains this, and the runs without one
    #[arg(long, default_value = "")]
    profiler: String,
    /// Divides the size of every load, for a try
    #[arg(long, default_value_t = 1)]
    shrink: u64,
    /// The page to write; none for a partial run
    #[arg(short, long)]
    output: Option<PathBuf>,
}

fn main() -> Result<()> {
    let options = Options::parse();
    let is_chosen = |contestant: &&Contestant| contestant.name.contains(&options.profiler);
    let with_unstable = CONTESTANTS
        .iter()
        .filter(is_chosen)
        .any(|chosen| chosen.build.is_unstable);
    let is_measure = |contestant: &&Contestant| {
        contestant.is_baseline() && (with_unstable || !contestant.build.is_unstable)
    };
    let contestants: Vec<_> = CONTESTANTS
        .iter()
        .filter(|contestant| is_measure(contestant) || is_chosen(contestant))
        .collect();
    let loads: Vec<_> = LOADS
        .iter()
        .filter(|load| load.name.contains(&options.load))
        .collect();
    let is_in = |language| loads.iter().any(|load| load.language == language);
    let contestants: Vec<_> = contestants
        .into_iter()
        .filter(|contestant| is_in(contestant.language))
        .collect();
    let programs = Programs::build(&contestants, is_in(Language::Python))?;
    let mut sections = Vec::new();
    for load in loads {
        let contestants = contestants.iter().copied();
        let chosen = contestants.filter(|contestant| contestant.language == load.language);
        let section = Section::new(load, rounds(&programs, load, chosen.collect(), &options)?);
        println!("{}", section.text);
        sections.push(section);
    }
    if let Some(path) = options.output {
        std::fs::write(path, page::page(&sections, options.rounds)?)?;
    }
    Ok(())
}

/// The runs of a load in interleaved rounds. A contestant of which one fails is out, and that is told; without a baseline
/// nothing is measured.
fn rounds(
    programs: &Programs,
    load: &Load,
    contestants: Vec<&'static Contestant>,
    options: &Options,
) -> Result<Vec<Runs>> {
    let begun = |contestant| Runs {
        contestant,
        runs: Ok(Vec::new()),
    };
    let mut all: Vec<Runs> = contestants.into_iter().map(begun).collect();
    for round in 0..options.rounds {
        let mut order: Vec<&mut Runs> = all.iter_mut().collect();
        // Every other round backwards, so that what drifts hits all alike.
        if round % 2 == 1 {
            order.reverse();
        }
        for Runs { contestant, runs } in order {
            let Ok(measured) = runs else { continue };
            eprintln!(
                "{}: round {} of {}: {}",
                load.name,
                round + 1,
                options.rounds,
                contestant.name
            );
            match measure(programs, load, contestant, options.shrink) {
                Ok(run) => measured.push(run),
                Err(error) if contestant.is_baseline() => return Err(error),
                Err(error) => {
                    eprintln!("{}: {error:#}", contestant.name);
                    *runs = Err(format!("{error:#}"));
                }
            }
        }
    }
    Ok(all)
}
