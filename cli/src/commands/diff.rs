//! `asyncprof diff`: two recordings, or two sets of them, compared.

use std::io::{IsTerminal, Write, stdout};
use std::path::{Path, PathBuf};

use anyhow::{Result, bail};
use asyncprof_core::diff::{
    Answer, Diff, DiffOptions, Exposure, Folded, Question, compare, compare_folded, objections,
};
use asyncprof_core::profile::Profile;
use asyncprof_core::view::By;
use clap::{Args, ValueEnum};

use super::diff_folded::load_folded;
use super::load::load;
use super::rules::RulesArg;
use super::symbols::SymbolsArg;
use crate::record::write_picture;
use crate::render::{
    DiffInput, DiffReport, FoldedReport, Sort, Width, diff_json, diff_picture, diff_text, folded_text,
};

/// Compare two recordings: what got slower, what faster, what did not change, and what cannot be told
///
/// Each place in the program has a rate (task time per second of recording) on both sides, with the error that the
/// episodes and the time windows allow. docs/statistics.md explains what the verdicts mean.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  asyncprof diff before.data after.data
  asyncprof diff a1.data a2.data a3.data --vs b1.data b2.data b3.data
  asyncprof diff -o diff.svg before.data after.data  draw it, too
  asyncprof diff --by io before.data after.data      only the waits for input and output
  asyncprof diff --per share before.data after.data  whatever the load was
  asyncprof diff --fail-on slower main.data pr.data  for CI: fails if anything got slower
  asyncprof diff before.folded after.folded          folded stacks of any profiler: shares only
  asyncprof diff --json a.data b.data | jq '.findings[] | [.verdict, .frame]'

Exit codes:
  0  compared (with --fail-on: it did not happen)
  1  with --fail-on: it happened
  2  wrong usage, unreadable input, or runs that cannot be compared
  3  with --fail-on: the data cannot tell")]
pub(crate) struct DiffCommand {
    /// BASE and NEW; with --vs all runs of the base
    #[arg(value_name = "PROFILE", required = true)]
    profiles: Vec<PathBuf>,
    /// All runs of the new side
    #[arg(long, value_name = "PROFILE", num_args = 1..)]
    vs: Vec<PathBuf>,
    /// Which time to compare
    #[arg(long, value_enum, value_name = "TIME", default_value_t = ByArg::Wall)]
    by: ByArg,
    /// What times are divided by
    #[arg(long, value_enum, value_name = "WHAT", default_value_t = PerArg::Second)]
    per: PerArg,
    /// Changes below this part of all compared time do not matter
    #[arg(long, value_name = "PERCENT", default_value = "0.5%", value_parser = parse_percent)]
    min_effect: f64,
    /// How functions of both sides are matched
    #[arg(long = "match", value_enum, value_name = "HOW", default_value_t = MatchArg::Names)]
    names: MatchArg,
    #[command(flatten)]
    rules: RulesArg,
    #[command(flatten)]
    symbols: SymbolsArg,
    /// Draw the comparison, too, as a flame graph; - for standard output, instead of the table
    #[arg(short, long, value_name = "FILE.svg")]
    output: Option<PathBuf>,
    /// How wide the picture draws each stack
    #[arg(long, value_enum, value_name = "SIDE", default_value_t = WidthArg::Union)]
    width: WidthArg,
    /// Write JSON; rates are nanoseconds of task time per second
    #[arg(long)]
    json: bool,
    /// How many changes are listed at most
    #[arg(long, value_name = "N", default_value_t = 20)]
    limit: usize,
    /// The order of the list
    #[arg(long, value_enum, value_name = "ORDER", default_value_t = SortArg::Change)]
    sort: SortArg,
    /// List every place, changed or not
    #[arg(long)]
    all: bool,
    /// End with 1 if this happened, and with 3 if the data cannot tell
    #[arg(long, value_enum, value_name = "WHAT")]
    fail_on: Option<FailOnArg>,
    /// Compare runs that had better not be compared
    #[arg(long)]
    force: bool,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum ByArg {
    /// All of it: waiting, scheduled and running
    Wall,
    /// Waiting at an await
    Wait,
    /// Waiting for input and output
    Io,
    /// Ready to run, without a worker
    Sched,
    /// Being polled
    Running,
    /// Being polled, on the CPU
    Cpu,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum PerArg {
    /// Seconds of recording
    Second,
    /// All compared time: only shares count
    Share,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum WidthArg {
    /// As on the side that has more of it: what vanished stays visible
    Union,
    /// As in the base
    Base,
    /// As in the new runs
    New,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum MatchArg {
    /// By name, without hashes, closure numbers and crate disambiguators
    Names,
    /// By the whole name
    Exact,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum SortArg {
    /// Largest change first
    Change,
    /// Largest change in relation to the place's own time first
    Relative,
    /// Surest first
    Q,
    /// By name
    Name,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum FailOnArg {
    /// Anything got slower
    Slower,
    /// Anything got faster
    Faster,
    /// Either
    Change,
    /// The data cannot tell
    Inconclusive,
}

impl From<ByArg> for By {
    fn from(by: ByArg) -> By {
        match by {
            ByArg::Wall => By::Wall,
            ByArg::Wait => By::Wait,
            ByArg::Io => By::Io,
            ByArg::Sched => By::Sched,
            ByArg::Running => By::Running,
            ByArg::Cpu => By::Cpu,
        }
    }
}

impl From<SortArg> for Sort {
    fn from(sort: SortArg) -> Sort {
        match sort {
            SortArg::Change => Sort::Change,
            SortArg::Relative => Sort::Relative,
            SortArg::Q => Sort::Q,
            SortArg::Name => Sort::Name,
        }
    }
}

impl From<WidthArg> for Width {
    fn from(width: WidthArg) -> Width {
        match width {
            WidthArg::Union => Width::Union,
            WidthArg::Base => Width::Base,
            WidthArg::New => Width::New,
        }
    }
}

impl From<FailOnArg> for Question {
    fn from(fail_on: FailOnArg) -> Question {
        match fail_on {
            FailOnArg::Slower => Question::Slower,
            FailOnArg::Faster => Question::Faster,
            FailOnArg::Change => Question::Change,
            FailOnArg::Inconclusive => Question::Inconclusive,
        }
    }
}

fn parse_percent(text: &str) -> Result<f64> {
    match text.strip_suffix('%').unwrap_or(text).trim().parse::<f64>() {
        Ok(percent) if (0.0..=100.0).contains(&percent) => Ok(percent / 100.0),
        _ => bail!("expected a percentage from 0 to 100, for example 0.5%"),
    }
}

/// Wrong usage, unreadable input, or runs that cannot be compared.
const UNUSABLE: u8 = 2;

impl DiffCommand {
    pub(crate) fn run(self) -> Result<u8> {
        let folded = self.sides().and_then(|(base, new)| load_folded(base, new));
        match folded.and_then(|sides| sides.map(|sides| self.compared_folded(&sides)).transpose()) {
            Ok(None) => {}
            Ok(Some((diff, is_counted))) => {
                self.print_folded(&diff, is_counted)?;
                return Ok(self.exit_code(&diff));
            }
            Err(error) => return Ok(refuse(&error)),
        }
        let compared = self.compared();
        let (runs, diff, objections) = match compared {
            Ok(compared) => compared,
            Err(error) => return Ok(refuse(&error)),
        };
        self.print(&runs, &diff, objections)?;
        Ok(self.exit_code(&diff))
    }

    fn exit_code(&self, diff: &Diff) -> u8 {
        let answer = self.fail_on.map(|question| diff.answer(question.into()));
        match answer {
            None | Some(Answer::No) => 0,
            Some(Answer::Yes) => 1,
            Some(Answer::CannotTell) => 3,
        }
    }

    /// And whether samples were counted.
    fn compared_folded(&self, sides: &[Vec<Folded>; 2]) -> Result<(Diff, bool)> {
        let is_plain = matches!((self.by, self.sort), (ByArg::Wall, SortArg::Change));
        if !is_plain || self.output.is_some() || self.all {
            bail!("--by, --sort, --all and -o are for recordings of asyncprof, and these are folded stacks");
        }
        let [base, new] = sides.each_ref().map(|side| side.iter().collect::<Vec<_>>());
        let options = DiffOptions {
            min_effect: self.min_effect,
            exact_names: matches!(self.names, MatchArg::Exact),
            ..DiffOptions::default()
        };
        let is_counted = base.iter().chain(&new).all(|folded| folded.is_counted);
        Ok((compare_folded(&base, &new, &options), is_counted))
    }

    fn print_folded(&self, diff: &Diff, is_counted: bool) -> Result<()> {
        let names = |paths: &[PathBuf]| paths.iter().map(|path| path.display().to_string()).collect();
        let (base, new) = self.sides()?;
        let report = FoldedReport::new(
            diff,
            [names(base), names(new)],
            is_counted,
            self.min_effect,
            self.limit,
        );
        match self.json {
            true => diff_json(&report, stdout().lock()),
            false => folded_text(&report, wants_color(), stdout().lock()),
        }
    }

    fn compared(&self) -> Result<(Runs, Diff, Vec<String>)> {
        if self.json && self.output.as_deref() == Some(Path::new("-")) {
            bail!("--json and -o - cannot both write to standard output");
        }
        let runs = self.load()?;
        let (base, new) = (references(&runs.base), references(&runs.new));
        let options = DiffOptions {
            by: self.by.into(),
            exposure: self.exposure(),
            min_effect: self.min_effect,
            exact_names: matches!(self.names, MatchArg::Exact),
            rules: self.rules.load()?,
        };
        let diff = compare(&base, &new, &options);
        let objections = objections(&base, &new, &diff);
        if !self.force && !objections.is_empty() {
            bail!("{}; --force compares them all the same", objections.join("; "));
        }
        Ok((runs, diff, objections))
    }

    fn sides(&self) -> Result<(&[PathBuf], &[PathBuf])> {
        match (self.profiles.as_slice(), self.vs.as_slice()) {
            ([base, new], []) => Ok((std::slice::from_ref(base), std::slice::from_ref(new))),
            (_, []) => bail!("expected two profiles, BASE and NEW, or several on each side of --vs"),
            sides => Ok(sides),
        }
    }

    fn load(&self) -> Result<Runs> {
        let (base, new) = self.sides()?;
        let debug_files = self.symbols.load()?;
        let side = |paths: &[PathBuf]| {
            paths
                .iter()
                .map(|path| Ok((path.display().to_string(), load(path, &debug_files)?)))
                .collect::<Result<Vec<_>>>()
        };
        Ok(Runs {
            base: side(base)?,
            new: side(new)?,
        })
    }

    fn exposure(&self) -> Exposure {
        match self.per {
            PerArg::Second => Exposure::Seconds,
            PerArg::Share => Exposure::Share,
        }
    }

    fn print(&self, runs: &Runs, diff: &Diff, objections: Vec<String>) -> Result<()> {
        let report = DiffReport::new(DiffInput {
            diff,
            base: &runs.base,
            new: &runs.new,
            exposure: self.exposure(),
            min_effect: self.min_effect,
            objections,
            limit: self.limit,
            sort: self.sort.into(),
            all: self.all,
        });
        if let Some(output) = &self.output {
            let svg = diff_picture(diff, &report, self.by.into(), self.width.into())?;
            if output == Path::new("-") {
                stdout().write_all(&svg)?;
                return Ok(());
            }
            write_picture(output, &svg)?;
            let _ = writeln!(std::io::stderr(), "flame graph: {}", output.display());
        }
        match self.json {
            true => diff_json(&report, stdout().lock()),
            false => diff_text(&report, wants_color(), stdout().lock()),
        }
    }
}

fn wants_color() -> bool {
    stdout().is_terminal() && std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty())
}

fn refuse(error: &anyhow::Error) -> u8 {
    let _ = writeln!(std::io::stderr(), "asyncprof: {error:#}");
    UNUSABLE
}

struct Runs {
    base: Vec<(String, Profile)>,
    new: Vec<(String, Profile)>,
}

fn references(runs: &[(String, Profile)]) -> Vec<&Profile> {
    runs.iter().map(|run| &run.1).collect()
}
