//! The relays of simulated tasks: which places each stands for.

use std::collections::BTreeMap;

/// (tag, stack).
type Places = Vec<(u16, u32)>;

#[derive(Debug, Default)]
pub(super) struct SimRelays {
    by_address: BTreeMap<u64, (usize, Places)>,
}

impl SimRelays {
    /// Few, so that they are used again by others.
    pub(super) fn address(which: u16) -> u64 {
        0x10_0000 + 16 * u64::from(which % 5)
    }

    /// Any relay, though rather one of this task's.
    pub(super) fn some_of(&self, task: usize, which: u16) -> u64 {
        let owned = self.by_address.iter().filter(|(_, (owner, _))| *owner == task);
        let owned: Vec<u64> = owned.map(|(address, _)| *address).collect();
        let chosen = owned.get(usize::from(which) % (owned.len() + 1));
        chosen.copied().unwrap_or_else(|| SimRelays::address(which))
    }

    pub(super) fn register(&mut self, relay: u64, task: usize, place: (u16, u32)) {
        let known = self.by_address.entry(relay).or_insert((task, Vec::new()));
        if known.0 != task {
            *known = (task, Vec::new());
        }
        known.1.push(place);
    }

    pub(super) fn places_of(&self, relay: u64, task: usize) -> Option<Places> {
        let (owner, places) = self.by_address.get(&relay)?;
        (*owner == task).then(|| places.clone())
    }

    pub(super) fn drop_one(&mut self, relay: u64, tag: u16) {
        let Some((_, places)) = self.by_address.get_mut(&relay) else {
            return;
        };
        if let Some(at) = places.iter().position(|place| place.0 == tag) {
            places.remove(at);
        }
        if places.is_empty() {
            self.by_address.remove(&relay);
        }
    }

    /// What a task still waits at.
    pub(super) fn left_by(&self, task: usize) -> Places {
        let owned = self.by_address.values().filter(|(owner, _)| *owner == task);
        owned.flat_map(|(_, places)| places.clone()).collect()
    }
}
