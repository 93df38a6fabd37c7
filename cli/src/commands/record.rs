//! `asyncprof record`.

use std::ffi::OsString;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::Result;
use clap::Args;

use super::duration::parse_duration;
use super::rules::RulesArg;
use crate::record::{Request, record};

/// Not a round number, so as not to keep step with what programs do at round ones.
pub(crate) const DEFAULT_FREQ_HZ: u32 = 997;

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
  asyncprof record -- cargo run --release      programs that it starts are recorded, too")]
pub(crate) struct RecordCommand {
    /// Write just this file: a flame graph if it ends in .svg, else a profile
    #[arg(short, long, value_name = "FILE")]
    output: Option<PathBuf>,
    /// End after this time (500ms, 30s, 5m, 1h): the program gets SIGTERM, and SIGKILL 5 s later
    #[arg(short, long, value_name = "TIME", value_parser = parse_duration)]
    duration: Option<Duration>,
    /// Look this often per second at polling threads, to tell what burns or blocks in them; 0: not at all
    #[arg(short = 'F', long, value_name = "HZ", default_value_t = DEFAULT_FREQ_HZ, value_parser = clap::value_parser!(u32).range(..=10_000))]
    freq: u32,
    /// After --duration leave the program running, unrecorded
    #[arg(long, requires = "duration")]
    keep_running: bool,
    #[command(flatten)]
    rules: RulesArg,
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
    #[arg(required = true, trailing_var_arg = true, value_name = "COMMAND")]
    command: Vec<OsString>,
}

impl RecordCommand {
    pub(crate) fn run(self) -> Result<u8> {
        record(&Request {
            command: self.command,
            shown_command: None,
            output: self.output,
            duration: self.duration,
            freq_hz: self.freq,
            keep_running: self.keep_running,
            allow_unknown_tokio: self.allow_unknown_tokio,
            rules: self.rules.load()?,
            quiet: self.quiet,
            verbose: self.verbose,
        })
    }
}
