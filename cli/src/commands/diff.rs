//! `asyncprof diff`: two recordings, or two sets of them, compared.

use std::io::{IsTerminal, Write, stdout};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use asyncprof_core::diff::{Answer, Diff, DiffOptions, Run, Runs, compare_folded, counts_work, objections};
use asyncprof_core::folded::Folded;
use asyncprof_core::profile::Profile;
use clap::Args;

use super::by::{ByArg, a_state};
use super::diff_args::{FailOnArg, MatchArg, PerArg, SortArg, WidthArg, parse_percent};
use super::diff_input::{Sides, load_sides};
use super::labels::LabelArg;
use super::rules::RulesArg;
use super::symbols::SymbolsArg;
use crate::record::write_picture;
use crate::render::{
    DiffInput, DiffReport, FoldedInput, FoldedReport, diff_json, diff_picture, diff_text, folded_text,
};

/// Compare two recordings: what got slower, what faster, what did not change, and what cannot be told
///
/// Each place in the program has a rate (task time per unit of work, or second of recording) on both sides, with the error that the
/// episodes and the time windows allow. docs/statistics.md explains what the verdicts mean.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  asyncprof diff before.data after.data
  asyncprof diff a1.data a2.data a3.data --vs b1.data b2.data b3.data
  asyncprof diff -o diff.svg before.data after.data  draw it, too
  asyncprof diff --by io before.data after.data      only the waits for input and output
  asyncprof diff --per load before.data after.data   one had more to do than the other
  asyncprof diff --label route=/cart old.data new.data  only what has this label
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
    #[arg(long, value_name = "TIME", default_value = "wall", value_parser = a_state())]
    by: ByArg,
    /// What times are divided by [default: work if all runs counted it, else second]
    #[arg(long, value_enum, value_name = "WHAT")]
    per: Option<PerArg>,
    /// Changes below this part of all compared time do not matter
    #[arg(long, value_name = "PERCENT", default_value = "1%", value_parser = parse_percent)]
    min_effect: f64,
    /// How functions of both sides are matched
    #[arg(long = "match", value_enum, value_name = "HOW", default_value_t = MatchArg::Names)]
    names: MatchArg,
    #[command(flatten)]
    label: LabelArg,
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
    /// Write JSON; rates are nanoseconds of task time
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
    /// With --fail-on: "no" takes data that would have shown a change of this part of all compared time
    #[arg(long, value_name = "PERCENT", default_value = "10%", value_parser = parse_percent)]
    detectable: f64,
    /// Compare runs that had better not be compared
    #[arg(long)]
    force: bool,
}

/// Wrong usage, unreadable input, or runs that cannot be compared.
const UNUSABLE: u8 = 2;

struct Compared {
    diff: Diff,
    report: Report,
}

enum Report {
    Recordings(Box<DiffReport>),
    Folded(Box<FoldedReport>),
}

impl DiffCommand {
    pub(crate) fn run(self) -> Result<u8> {
        let compared = match self.compared() {
            Ok(compared) => compared,
            Err(error) => {
                let _ = writeln!(std::io::stderr(), "asyncprof: {error:#}");
                return Ok(UNUSABLE);
            }
        };
        self.print(&compared)?;
        let answer = self.fail_on.map(|question| compared.diff.answer(question.into()));
        Ok(match answer {
            None | Some(Answer::No) => 0,
            Some(Answer::Yes) => 1,
            Some(Answer::CannotTell) => 3,
        })
    }

    fn compared(&self) -> Result<Compared> {
        if self.json && self.output.as_deref() == Some(Path::new("-")) {
            bail!("--json and -o - cannot both write to standard output");
        }
        let (base, new) = match (self.profiles.as_slice(), self.vs.as_slice()) {
            ([base, new], []) => (std::slice::from_ref(base), std::slice::from_ref(new)),
            (_, []) => bail!("expected two profiles, BASE and NEW, or several on each side of --vs"),
            sides => sides,
        };
        let options = DiffOptions {
            by: self.by.into(),
            exposure: self.per.map(Into::into),
            min_effect: self.min_effect,
            detectable: self.detectable,
            exact_names: matches!(self.names, MatchArg::Exact),
            rules: self.rules.load()?,
        };
        let mut runs = Runs::new(&options);
        let add = |path: &str, profile| Ok(runs.add(self.prepared(path, profile)?));
        match load_sides(base, new, add)? {
            Sides::Recordings(base, new) => self.recordings(runs, &base, &new),
            Sides::Folded(base, new) => self.folded(&base, &new, &options),
        }
    }

    /// With names, and only what is to be compared.
    fn prepared(&self, path: &str, profile: Profile) -> Result<Profile> {
        let mut profile = self.symbols.name(profile)?;
        self.label.apply(&mut profile).with_context(|| path.to_owned())?;
        Ok(profile)
    }

    fn recordings(&self, runs: Runs<'_>, base: &[(String, Run)], new: &[(String, Run)]) -> Result<Compared> {
        let idle = base.iter().chain(new).find(|run| !counts_work(&run.1));
        if let (Some(PerArg::Work), Some(idle)) = (self.per, idle) {
            bail!(
                "--per work needs runs that counted units of work, and {} has none",
                idle.0
            );
        }
        let references = |runs| <[(String, Run)]>::iter(runs).map(|run| &run.1).collect();
        let (base_runs, new_runs): (Vec<&Run>, Vec<&Run>) = (references(base), references(new));
        let diff = runs.compare(&base_runs, &new_runs);
        let objections = objections(&base_runs, &new_runs, &diff);
        if !self.force && !objections.is_empty() {
            bail!("{}; --force compares them all the same", objections.join("; "));
        }
        let described = |runs| {
            let described = <[(String, Run)]>::iter(runs).map(|(name, run)| (name.clone(), run.meta.clone()));
            described.collect::<Vec<_>>()
        };
        let report = DiffReport::new(DiffInput {
            diff: &diff,
            base: &described(base),
            new: &described(new),
            min_effect: self.min_effect,
            detectable: self.detectable,
            objections,
            limit: self.limit,
            sort: self.sort.into(),
            all: self.all,
        });
        Ok(Compared {
            report: Report::Recordings(Box::new(report)),
            diff,
        })
    }

    fn folded(
        &self,
        base: &[(String, Folded)],
        new: &[(String, Folded)],
        options: &DiffOptions,
    ) -> Result<Compared> {
        let is_for_shares = self.by == ByArg::Wall && matches!(self.per, None | Some(PerArg::Share));
        if !is_for_shares || self.rules.is_given() || self.label.is_given() {
            bail!(
                "--by, --per, --label and --rules are for recordings of asyncprof: folded stacks have only shares"
            );
        }
        let references = |files| <[(String, Folded)]>::iter(files).map(|file| &file.1).collect();
        let (base_files, new_files): (Vec<&Folded>, Vec<&Folded>) = (references(base), references(new));
        let diff = compare_folded(&base_files, &new_files, options);
        let names = |files: &[(String, Folded)]| files.iter().map(|file| file.0.clone()).collect();
        let report = FoldedReport::new(FoldedInput {
            diff: &diff,
            base: names(base),
            new: names(new),
            is_counted: base.iter().chain(new).all(|file| file.1.is_counted),
            min_effect: self.min_effect,
            detectable: self.detectable,
            limit: self.limit,
            sort: self.sort.into(),
            all: self.all,
        });
        Ok(Compared {
            report: Report::Folded(Box::new(report)),
            diff,
        })
    }

    fn print(&self, compared: &Compared) -> Result<()> {
        if let Some(output) = &self.output {
            let captions = match &compared.report {
                Report::Recordings(report) => report.captions(self.by.into()),
                Report::Folded(report) => report.captions(),
            };
            let svg = diff_picture(&compared.diff, &captions, self.width.into())?;
            if output == Path::new("-") {
                stdout().write_all(&svg)?;
                return Ok(());
            }
            write_picture(output, &svg)?;
            let _ = writeln!(std::io::stderr(), "flame graph: {}", output.display());
        }
        let out = stdout().lock();
        match (&compared.report, self.json) {
            (Report::Recordings(report), true) => diff_json(report.as_ref(), out),
            (Report::Recordings(report), false) => diff_text(report, wants_color(), out),
            (Report::Folded(report), true) => diff_json(report.as_ref(), out),
            (Report::Folded(report), false) => folded_text(report, wants_color(), out),
        }
    }
}

fn wants_color() -> bool {
    stdout().is_terminal() && std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty())
}
