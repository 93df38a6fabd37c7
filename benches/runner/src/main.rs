//! Runs every load under every profiler, in interleaved rounds, and writes `RESULTS.md`: `just bench`.

mod build;
mod contestant;
mod measure;
mod page;
mod stats;

use std::path::PathBuf;

use anyhow::Result;
use clap::Parser;

use build::Programs;
use contestant::{CONTESTANTS, Contestant, Language};
use measure::{LOADS, Measured, measure};

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
    let mut results = Vec::new();
    for load in loads {
        let contestants: Vec<_> = contestants
            .iter()
            .copied()
            .filter(|contestant| contestant.language == load.language)
            .collect();
        let mut runs: Vec<Vec<Measured>> = vec![Vec::new(); contestants.len()];
        for round in 0..options.rounds {
            let mut order: Vec<usize> = (0..contestants.len()).collect();
            // Every other round backwards, so that what drifts hits all alike.
            if round % 2 == 1 {
                order.reverse();
            }
            for at in order {
                eprintln!(
                    "{}: round {} of {}: {}",
                    load.name,
                    round + 1,
                    options.rounds,
                    contestants[at].name
                );
                runs[at].push(measure(&programs, load, contestants[at], options.shrink)?);
            }
        }
        let section = page::section(load, &contestants, &runs);
        println!("{section}");
        results.push(section);
    }
    if let Some(path) = options.output {
        std::fs::write(path, page::page(&results, options.rounds)?)?;
    }
    Ok(())
}
