//! The recordings of a comparison, of which only one at a time is there with its stacks.

use super::align::Laid;
use super::compare::{Diff, DiffOptions, compare_laid};
use crate::profile::{Meta, Process, Profile, Quality, Row, Work};

/// What a comparison keeps of a recording: the stacks are paths among those of all runs by then.
#[derive(Clone, Debug)]
pub struct Run {
    /// How many were laid before.
    number: usize,
    pub meta: Meta,
    pub(super) quality: Quality,
    pub(super) processes: Vec<Process>,
    pub(super) rows: Vec<Row>,
    pub(super) work: Vec<Work>,
}

/// The recordings that are to be compared.
pub struct Runs<'o> {
    laid: Laid,
    count: usize,
    options: &'o DiffOptions,
}

impl<'o> Runs<'o> {
    pub fn new(options: &'o DiffOptions) -> Runs<'o> {
        Runs {
            laid: Laid::default(),
            count: 0,
            options,
        }
    }

    /// Lays the recording into the call tree of all; those of the base come first.
    pub fn add(&mut self, profile: Profile) -> Run {
        let number = self.count;
        self.count += 1;
        self.laid.add(number, &profile, self.options);
        let Profile {
            meta,
            quality,
            processes,
            rows,
            work,
            ..
        } = profile;
        Run {
            number,
            meta,
            quality,
            processes,
            rows,
            work,
        }
    }

    /// # Panics
    /// If these are not all that were added, in that order; each side has at least one.
    pub fn compare(self, base: &[&Run], new: &[&Run]) -> Diff {
        let numbers = base.iter().chain(new).map(|run| run.number);
        assert!(numbers.eq(0..self.count), "all runs, in the order of adding");
        compare_laid(self.laid, base, new, self.options)
    }
}
