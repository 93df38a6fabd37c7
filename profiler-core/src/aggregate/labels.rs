//! The labels that tasks carry: each set of them is known by a number.

use super::HashMap;

/// Number of a set of labels; 0 is the empty one.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct RawLabelsId(pub u32);

/// Key and value, as numbers of the region's [texts](crate::texts). A value of 0 reads as `…`.
pub type RawLabel = (u32, u32);

/// A task carries at most so many.
const MAX_LABELS: usize = 16;
/// Beyond so many sets, a new label's value is `…`.
const MAX_SETS: usize = 1 << 12;

#[derive(Clone, Debug)]
pub(super) struct LabelSets {
    /// Each sorted by key.
    sets: Vec<Vec<RawLabel>>,
    index: HashMap<Vec<RawLabel>, RawLabelsId>,
    /// Labels that found no room.
    lost: u64,
}

impl Default for LabelSets {
    fn default() -> LabelSets {
        LabelSets {
            sets: vec![Vec::new()],
            index: HashMap::from_iter([(Vec::new(), RawLabelsId::default())]),
            lost: 0,
        }
    }
}

impl LabelSets {
    /// The set with this key's label changed; None takes it away.
    pub(super) fn with(&mut self, set: RawLabelsId, key: u32, value: Option<u32>) -> RawLabelsId {
        let mut labels = self.sets[set.0 as usize].clone();
        match (labels.binary_search_by_key(&key, |label| label.0), value) {
            (Ok(at), Some(value)) => labels[at].1 = value,
            (Ok(at), None) => drop(labels.remove(at)),
            (Err(at), Some(value)) if labels.len() < MAX_LABELS => labels.insert(at, (key, value)),
            (Err(_), Some(_)) => self.lost += 1,
            (Err(_), None) => {}
        }
        if let Some(&known) = self.index.get(&labels) {
            return known;
        }
        if self.sets.len() >= 2 * MAX_SETS {
            self.lost += 1;
            return set;
        }
        if self.sets.len() >= MAX_SETS && value.is_some_and(|value| value != 0) {
            self.lost += 1;
            return self.with(set, key, Some(0));
        }
        let id = RawLabelsId(self.sets.len() as u32);
        self.sets.push(labels.clone());
        self.index.insert(labels, id);
        id
    }

    pub(super) fn finish(self) -> (Vec<Vec<RawLabel>>, u64) {
        (self.sets, self.lost)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_set_has_one_number_whatever_the_order() {
        let mut sets = LabelSets::default();
        let empty = RawLabelsId::default();
        let (a, b) = (sets.with(empty, 1, Some(5)), sets.with(empty, 2, Some(6)));
        let both = sets.with(a, 2, Some(6));
        assert_eq!(both, sets.with(b, 1, Some(5)));
        assert_eq!(sets.with(both, 2, None), a);
        assert_eq!(sets.with(a, 1, None), empty);
        assert_eq!(sets.with(a, 9, None), a);
        assert_eq!(sets.finish().0[both.0 as usize], [(1, 5), (2, 6)]);
    }

    #[test]
    fn a_million_values_are_bounded() {
        let mut sets = LabelSets::default();
        let mut at = RawLabelsId::default();
        for value in 1..=1_000_000 {
            at = sets.with(at, 1, Some(value));
        }
        for value in 1..=1_000 {
            at = sets.with(at, value, Some(1));
        }
        let (sets, lost) = sets.finish();
        assert!(sets.len() <= 2 * MAX_SETS && lost > 990_000);
        assert!(sets.iter().all(|set| set.len() <= MAX_LABELS));
        assert!(sets.contains(&vec![(1, 0)]));
    }
}
