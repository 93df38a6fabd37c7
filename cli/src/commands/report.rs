//! `asyncprof report`: the numbers of a recorded profile.

use std::io::{IsTerminal, stdout};
use std::path::PathBuf;

use anyhow::Result;
use clap::Args;

use super::labels::LabelArg;
use super::load::load;
use super::rules::RulesArg;
use super::symbols::SymbolsArg;
use crate::record::DEFAULT_PROFILE;
use crate::render::{DEFAULT_LIMIT, ReportOptions, report, report_json, report_stuck};

/// Print where the time of the tasks went
///
/// Totals by state, the tasks and awaits with most time, who ended the waits, what kept tasks from a worker, the
/// longest polls, warnings of what is wrong (each with a place in the source and what to do), and what the
/// recording missed.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  asyncprof report                             of asyncprof.data
  asyncprof report --limit 50 slow.data        longer lists
  asyncprof report --stuck                     what never came back
  asyncprof report --json | jq '.waits[0]'     the await with most time
  asyncprof report --json | jq '.warnings'     what is wrong, for programs")]
pub(crate) struct ReportCommand {
    /// The profile to read
    #[arg(value_name = "PROFILE", default_value = DEFAULT_PROFILE)]
    profile: PathBuf,
    /// Only the tasks that were still waiting when the recording ended: where, how many, for how long
    #[arg(long)]
    stuck: bool,
    #[command(flatten)]
    label: LabelArg,
    #[command(flatten)]
    rules: RulesArg,
    #[command(flatten)]
    symbols: SymbolsArg,
    /// Write JSON, all times in nanoseconds; it holds everything, --stuck too
    #[arg(long)]
    json: bool,
    /// How many lines each list has at most
    #[arg(long, value_name = "N", default_value_t = DEFAULT_LIMIT)]
    limit: usize,
}

impl ReportCommand {
    pub(crate) fn run(self) -> Result<u8> {
        let mut profile = self.symbols.name(load(&self.profile)?)?;
        self.label.apply(&mut profile)?;
        let color =
            stdout().is_terminal() && std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty());
        let options = ReportOptions {
            rules: self.rules.load()?,
            limit: self.limit,
            color,
        };
        match (self.json, self.stuck) {
            (true, _) => report_json(&profile, &options, stdout().lock())?,
            (false, true) => report_stuck(&profile, &options, stdout().lock())?,
            (false, false) => report(&profile, &options, stdout().lock())?,
        }
        Ok(0)
    }
}
