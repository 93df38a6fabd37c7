//! `asyncprof record`.

use std::ffi::OsString;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Result, bail};
use asyncprof_recorder::DEFAULT_FREQ_HZ;
use clap::Args;

use super::diff_args::parse_percent;
use super::duration::parse_duration;
use super::rules::RulesArg;
use super::symbols::SymbolsArg;
use crate::record::{Request, Series, record, record_series};

/// Of each program of --ab. `diff` deals out whole runs: with three a side chance alone does as well as a real change in
/// one of 20 deals, with five in one of 252.
const DEFAULT_RUNS: u32 = 5;

/// Run a program and record where its tasks' time goes
///
/// Writes the profile (asyncprof.data) and its flame graph (flamegraph.svg), prints a short report, and ends with
/// the program's own exit code (128+N for signal N; 125, 126, 127: asyncprof failed, the program cannot be
/// executed, was not found).
///
/// Ctrl-C goes to the program; a second one stops the recording and saves it.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  asyncprof record -- ./app --port 8080        until the program ends
  asyncprof record -d 30s -- ./app             end it after 30 seconds
  asyncprof record -o slow.svg -- ./app        only the picture
  asyncprof record -o slow.data -- ./app       only the profile
  asyncprof record -- cargo run --release      programs that it starts are recorded, too
  asyncprof record --runs 6 --ab ./old ./new -- --port 8080
                                               both in turn, six times each, to compare with diff")]
pub(crate) struct RecordCommand {
    /// Write just this file: a flame graph if it ends in .svg, else a profile. Of several runs: what the names of
    /// their profiles begin with
    #[arg(short, long, value_name = "FILE")]
    output: Option<PathBuf>,
    /// End after this time (500ms, 30s, 5m, 1h): the program gets SIGTERM, and SIGKILL 5 s later
    #[arg(short, long, value_name = "TIME", value_parser = parse_duration)]
    duration: Option<Duration>,
    /// Record so many runs (with --ab: of each program; 5 if not given), each to a profile of its own; --duration is
    /// that of one run. Ends with 0 if all did, or were ended by --duration, else with the first other exit code
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=1000), conflicts_with = "keep_running")]
    runs: Option<u32>,
    /// Record two programs in turn (A B, B A, …), with the arguments after --
    #[arg(long, value_names = ["OLD", "NEW"], num_args = 1.., conflicts_with = "keep_running")]
    ab: Vec<OsString>,
    /// Look this often per second at polling threads, to tell what burns or blocks in them; 0: not at all
    #[arg(short = 'F', long, value_name = "HZ", default_value_t = DEFAULT_FREQ_HZ, value_parser = clap::value_parser!(u32).range(..=10_000))]
    freq: u32,
    /// Leave out what costs more than this part of the program's CPU time (estimated): first stacks of waits under 10 µs,
    /// then new tokio tasks, some of which then count for all
    #[arg(long, value_name = "PERCENT", value_parser = parse_percent)]
    max_overhead: Option<f64>,
    /// After --duration leave the program running, unrecorded
    #[arg(long, requires = "duration")]
    keep_running: bool,
    #[command(flatten)]
    rules: RulesArg,
    #[command(flatten)]
    symbols: SymbolsArg,
    /// Also tap a tokio of a version that this asyncprof does not know
    #[arg(long)]
    allow_unknown_tokio: bool,
    /// Say nothing but errors
    #[arg(short, long, conflicts_with = "verbose")]
    quiet: bool,
    /// Print a longer report
    #[arg(short, long)]
    verbose: bool,
    /// The program and its arguments
    #[arg(
        required_unless_present = "ab",
        trailing_var_arg = true,
        value_name = "COMMAND"
    )]
    command: Vec<OsString>,
}

impl RecordCommand {
    pub(crate) fn run(self) -> Result<u8> {
        let series = self.series()?;
        let request = Request {
            command: self.command,
            shown_command: None,
            output: self.output,
            duration: self.duration,
            freq_hz: self.freq,
            max_overhead: self.max_overhead,
            keep_running: self.keep_running,
            allow_unknown_tokio: self.allow_unknown_tokio,
            rules: self.rules.load()?,
            picture_by_label: None,
            symbols: self.symbols.folders().to_vec(),
            debug_files: self.symbols.load()?,
            quiet: self.quiet,
            verbose: self.verbose,
        };
        match series {
            None => record(&request),
            Some(series) => record_series(&series, &request),
        }
    }

    /// None for the one run of one command.
    fn series(&self) -> Result<Option<Series>> {
        Ok(match (self.ab.as_slice(), self.runs) {
            ([], None | Some(1)) => None,
            ([], Some(runs)) => Some(Series::of_one(runs)),
            ([old, new], runs) => Some(Series::of_two(
                [old.clone(), new.clone()],
                runs.unwrap_or(DEFAULT_RUNS),
            )),
            (programs, _) => bail!(
                "--ab takes two programs, OLD and NEW, and got {}; their arguments follow after --, as in --ab ./old ./new -- ARGS",
                programs.len()
            ),
        })
    }
}
