//! What the options of `asyncprof diff` can be.

use anyhow::{Result, bail};
use asyncprof_core::diff::{Exposure, Question};
use clap::ValueEnum;

use crate::render::{Sort, Width};

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(super) enum PerArg {
    /// Units of work that the program counted
    Work,
    /// Seconds of recording
    Second,
    /// Seconds at equal load: as many as there are more episodes in most places, seconds count for more
    Load,
    /// All compared time: only shares count
    Share,
}

impl From<PerArg> for Exposure {
    fn from(per: PerArg) -> Exposure {
        match per {
            PerArg::Work => Exposure::Work,
            PerArg::Second => Exposure::Seconds,
            PerArg::Load => Exposure::Load,
            PerArg::Share => Exposure::Share,
        }
    }
}

#[derive(Clone, Copy, Debug, ValueEnum)]
pub(super) enum WidthArg {
    /// As on the side that has more of it: what vanished stays visible
    Union,
    /// As in the base
    Base,
    /// As in the new runs
    New,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
pub(super) enum MatchArg {
    /// By name, without hashes, closure numbers and crate disambiguators
    Names,
    /// By the whole name
    Exact,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
pub(super) enum SortArg {
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
pub(super) enum FailOnArg {
    /// Anything got slower
    Slower,
    /// Anything got faster
    Faster,
    /// Either
    Change,
    /// The data cannot tell
    Inconclusive,
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

pub(super) fn parse_percent(text: &str) -> Result<f64> {
    match text.strip_suffix('%').unwrap_or(text).trim().parse::<f64>() {
        Ok(percent) if (0.0..=100.0).contains(&percent) => Ok(percent / 100.0),
        _ => bail!("expected a percentage from 0 to 100, for example 1%"),
    }
}
