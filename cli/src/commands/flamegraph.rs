//! `asyncprof flamegraph`: draws a recorded profile.

use std::io::Write;
use std::path::{Path, PathBuf};

use anyhow::{Result, bail};
use asyncprof_core::folded::Folded;
use asyncprof_core::profile::Profile;
use asyncprof_core::view::GroupBy;
use clap::{Args, ValueEnum};

use super::by::ByArg;
use super::input::{Content, read};
use super::labels::{LabelArg, check_key};
use super::rules::RulesArg;
use super::symbols::SymbolsArg;
use crate::record::{DEFAULT_PROFILE, write_picture};
use crate::render::{FlamegraphOptions, FoldedOptions, flamegraph, folded_flamegraph};

/// Draw a profile as a flame graph
///
/// The width of a frame is time in the life of tasks; the last frame of each stack says what that time was:
/// running, scheduled (ready, without a worker), or what the task waited for.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  asyncprof flamegraph                         draw asyncprof.data to flamegraph.svg
  asyncprof flamegraph --by io -o io.svg       only the waits for input and output
  asyncprof flamegraph --by wake               who kept whom waiting
  asyncprof flamegraph --by delay              what kept tasks from a worker
  asyncprof flamegraph --group-by tree         tasks on the tasks that spawned them
  asyncprof flamegraph --inverted slow.data    which waits take most, whoever waits
  asyncprof flamegraph -o - | firefox /dev/stdin")]
pub(crate) struct FlamegraphCommand {
    /// The profile to draw; folded stacks of other profilers are drawn, too
    #[arg(value_name = "PROFILE", default_value = DEFAULT_PROFILE)]
    profile: PathBuf,
    /// The picture to write; - for standard output
    #[arg(short, long, value_name = "FILE", default_value = "flamegraph.svg")]
    output: PathBuf,
    /// Which time to show
    #[arg(long, value_enum, value_name = "TIME", default_value_t = ByArg::Wall)]
    by: ByArg,
    /// What the stacks stand on
    #[arg(long, value_enum, value_name = "WHAT", default_value_t = GroupByArg::Task)]
    group_by: GroupByArg,
    /// Stand the stacks on the labels of this key that the program gave its tasks, such as route
    #[arg(long, value_name = "KEY", conflicts_with = "group_by")]
    group_by_label: Option<String>,
    #[command(flatten)]
    label: LabelArg,
    #[command(flatten)]
    rules: RulesArg,
    #[command(flatten)]
    symbols: SymbolsArg,
    /// Show the frames of the runtime, the plumbing under awaits, and the runtime's own worker loops
    #[arg(long)]
    show_runtime: bool,
    /// Put the state on top and the awaits that lead to it below
    #[arg(long)]
    inverted: bool,
    /// Leave out frames narrower than this, in pixels of 1200
    #[arg(long, value_name = "PX", value_parser = parse_pixels)]
    min_width: Option<f64>,
    /// Title of the picture
    #[arg(long, value_name = "TEXT")]
    title: Option<String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum GroupByArg {
    /// The task
    Task,
    /// The functions that spawned the task
    Spawn,
    /// The tasks that spawned the task, and where they did
    Tree,
    /// The process, then the task
    Process,
    /// Nothing: equal stacks of all tasks are one
    None,
}

impl From<GroupByArg> for GroupBy {
    fn from(by: GroupByArg) -> GroupBy {
        match by {
            GroupByArg::Task => GroupBy::Task,
            GroupByArg::Spawn => GroupBy::Spawn,
            GroupByArg::Tree => GroupBy::Tree,
            GroupByArg::Process => GroupBy::Process,
            GroupByArg::None => GroupBy::None,
        }
    }
}

fn parse_pixels(text: &str) -> Result<f64> {
    match text.strip_suffix("px").unwrap_or(text).parse() {
        Ok(pixels) if (0.0..=1200.0).contains(&pixels) => Ok(pixels),
        _ => bail!("expected a number from 0 to 1200"),
    }
}

impl FlamegraphCommand {
    pub(crate) fn run(self) -> Result<u8> {
        let svg = match read(&self.profile)? {
            Content::Recording(profile) => self.of_recording(*profile)?,
            Content::Folded(stacks) => self.of_folded(&stacks)?,
        };
        if self.output == Path::new("-") {
            std::io::stdout().write_all(&svg)?;
        } else {
            write_picture(&self.output, &svg)?;
            // Nobody listening is no reason to fail.
            let _ = writeln!(std::io::stderr(), "flame graph: {}", self.output.display());
        }
        Ok(0)
    }

    fn of_recording(&self, profile: Profile) -> Result<Vec<u8>> {
        let mut profile = self.symbols.name(profile)?;
        self.label.apply(&mut profile)?;
        if let Some(key) = &self.group_by_label {
            check_key(&profile, key)?;
            profile.group_by_label(key);
        }
        let options = FlamegraphOptions {
            rules: self.rules.load()?,
            by: self.by.into(),
            group_by: self.group_by.into(),
            show_runtime: self.show_runtime,
            inverted: self.inverted,
            min_width_px: self.min_width,
            title: self.title.clone(),
        };
        let mut svg = Vec::new();
        flamegraph(&profile, &options, &mut svg)?;
        Ok(svg)
    }

    fn of_folded(&self, stacks: &Folded) -> Result<Vec<u8>> {
        let is_plain = self.by == ByArg::Wall && self.group_by == GroupByArg::Task && !self.show_runtime;
        let has_labels = self.group_by_label.is_some() || self.label.is_given();
        if !is_plain || has_labels || self.rules.is_given() {
            bail!(
                "--by, --group-by, --group-by-label, --label, --rules and --show-runtime are for recordings of asyncprof: \
                 folded stacks have only frames and numbers"
            );
        }
        let options = FoldedOptions {
            name: self.profile.display().to_string(),
            inverted: self.inverted,
            min_width_px: self.min_width,
            title: self.title.clone(),
        };
        folded_flamegraph(stacks, &options)
    }
}
