//! A profile by what the program called its tasks: only the time under one label, or a group for each label.

use std::collections::HashMap;

use crate::profile::{Group, GroupId, Label, LabelsId, Profile, StringId, TaskKind};

impl Profile {
    /// The value of this key among the labels of a set.
    pub fn label(&self, set: LabelsId, key: &str) -> Option<&str> {
        let labels = &self.label_sets[set.index()];
        let label = labels.iter().find(|label| self.string(label.key) == key)?;
        Some(self.string(label.value))
    }

    /// All labels of tasks that did anything, each once, in the order of the table.
    pub fn labels(&self) -> impl Iterator<Item = (&str, &str)> {
        let mut known = std::collections::HashSet::new();
        let labels = self.label_sets.iter().flatten();
        let text = |label: &Label| (self.string(label.key), self.string(label.value));
        labels.map(text).filter(move |label| known.insert(*label))
    }

    /// Leaves only the task time and the work under the label. Tasks and polls, which are counted without regard to
    /// labels, stay as they are; single polls, delays and open waits are left out. Returns whether anything is left.
    pub fn retain_label(&mut self, key: &str, value: &str) -> bool {
        let sets = 0..self.label_sets.len() as u32;
        let wanted: Vec<bool> = sets
            .map(|set| self.label(LabelsId(set), key) == Some(value))
            .collect();
        self.rows.retain(|row| wanted[row.labels.index()]);
        self.work.retain(|work| wanted[work.labels.index()]);
        self.longest_polls.clear();
        self.delays.clear();
        self.open_waits.clear();
        !self.rows.is_empty() || !self.work.is_empty()
    }

    /// Gives the time under each label of that key to a group with the label's name, and all other time to one that
    /// says so.
    pub fn group_by_label(&mut self, key: &str) {
        let mut groups = HashMap::new();
        for at in 0..self.rows.len() {
            let (of, labels) = (self.rows[at].group, self.rows[at].labels);
            if self.group(of).kind == TaskKind::Worker {
                continue;
            }
            let name = match self.label(labels, key) {
                Some(value) => format!("{key} = {value}"),
                None => format!("(no {key})"),
            };
            let process = self.group(of).process;
            let group = *groups.entry((process, name)).or_insert_with_key(|(_, name)| {
                self.strings.push(name.clone());
                self.groups.push(Group {
                    process,
                    name: StringId(self.strings.len() as u32 - 1),
                    ..Group::default()
                });
                GroupId(self.groups.len() as u32 - 1)
            });
            self.rows[at].group = group;
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::profile::arbitrary;

    proptest! {
        #[test]
        fn labels_part_the_time(profile in arbitrary::profile()) {
            let total = |profile: &Profile| profile.rows.iter().map(|row| u128::from(row.stats.total_ns)).sum::<u128>();
            let Some((key, _)) = profile.labels().next() else { return Ok(()) };
            let mut parts = 0;
            for (_, value) in profile.labels().filter(|label| label.0 == key) {
                let mut part = profile.clone();
                part.retain_label(key, value);
                prop_assert!(part.check().is_ok());
                parts += total(&part);
            }
            prop_assert!(parts <= total(&profile));
            let mut grouped = profile.clone();
            grouped.group_by_label(key);
            prop_assert!(grouped.check().is_ok());
            prop_assert_eq!(total(&grouped), total(&profile));
            let none = format!("(no {key})");
            let under_none: u128 = grouped.rows.iter().filter(|row| {
                grouped.string(grouped.group(row.group).name) == none
            }).map(|row| u128::from(row.stats.total_ns)).sum();
            let unlabelled: u128 = profile.rows.iter().filter(|row| {
                profile.label(row.labels, key).is_none() && profile.group(row.group).kind != TaskKind::Worker
            }).map(|row| u128::from(row.stats.total_ns)).sum();
            prop_assert_eq!(under_none, unlabelled);
        }
    }
}
