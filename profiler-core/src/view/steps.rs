//! The steps that paths are made of, each distinct one a number.

use std::collections::HashMap;

use super::functions::{NameId, Names, Place};
use super::path::Shown;
use super::tree::FrameKind;
use crate::profile::GroupId;

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Step {
    pub(super) name: NameId,
    pub(super) kind: FrameKind,
    pub(super) place: Option<Place>,
    /// The group whose tasks are to be counted here.
    pub(super) group: Option<GroupId>,
}

impl Step {
    pub(super) fn new(names: &mut Names, name: &str, kind: FrameKind) -> Step {
        Step {
            name: names.id(name),
            kind,
            place: None,
            group: None,
        }
    }

    pub(super) fn of(frame: &Shown) -> Step {
        Step {
            name: frame.name,
            kind: FrameKind::Function(frame.category),
            place: frame.place,
            group: None,
        }
    }
}

#[derive(Clone, Debug, Default)]
pub(crate) struct Steps {
    /// With the numbers of their nodes' names and kinds.
    steps: Vec<(Step, u32)>,
    numbers: HashMap<Step, u32>,
    keys: HashMap<(NameId, FrameKind), u32>,
}

impl Steps {
    pub(super) fn number(&mut self, step: &Step) -> u32 {
        if let Some(&number) = self.numbers.get(step) {
            return number;
        }
        let next = self.keys.len() as u32;
        let key = *self.keys.entry((step.name, step.kind)).or_insert(next);
        let number = u32::try_from(self.steps.len()).expect("fewer than 2^32 steps");
        self.steps.push((*step, key));
        self.numbers.insert(*step, number);
        number
    }

    pub(super) fn all(&self) -> &[(Step, u32)] {
        &self.steps
    }

    pub(super) fn get(&self, number: u32) -> &Step {
        &self.steps[number as usize].0
    }

    /// Steps of one name and kind, wherever they lead, are one node: of the same key.
    pub(super) fn key(&self, number: u32) -> u32 {
        self.steps[number as usize].1
    }
}
