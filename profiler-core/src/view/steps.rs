//! The steps that paths are made of, each distinct one a number.

use rustc_hash::FxHashMap;

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
    steps: Vec<Step>,
    /// Of each step: those of one name and kind are one node, wherever they lead.
    keys: Vec<u32>,
    numbers: FxHashMap<Step, u32>,
    nodes: FxHashMap<(NameId, FrameKind), u32>,
}

impl Steps {
    pub(super) fn number(&mut self, step: &Step) -> u32 {
        if let Some(&number) = self.numbers.get(step) {
            return number;
        }
        let next = self.nodes.len() as u32;
        let key = *self.nodes.entry((step.name, step.kind)).or_insert(next);
        let number = u32::try_from(self.steps.len()).expect("fewer than 2^32 steps");
        self.steps.push(*step);
        self.keys.push(key);
        self.numbers.insert(*step, number);
        number
    }

    #[cfg(feature = "diff")]
    pub(super) fn all(&self) -> &[Step] {
        &self.steps
    }

    pub(super) fn get(&self, number: u32) -> &Step {
        &self.steps[number as usize]
    }

    pub(super) fn keys(&self) -> &[u32] {
        &self.keys
    }
}
