//! The relays of simulated tasks: which places each stands for.

use std::collections::BTreeMap;

/// A task, and when the poll began that it is in.
type Poll = (usize, u64);
/// (tag, stack).
type Places = Vec<(u16, u32)>;

#[derive(Debug, Default)]
pub(super) struct SimRelays {
    by_address: BTreeMap<u64, (Poll, Places)>,
}

impl SimRelays {
    /// Few, so that they are used again by others.
    pub(super) fn address(which: u16) -> u64 {
        0x10_0000 + 16 * u64::from(which % 5)
    }

    /// Any relay, though rather one of this task's.
    pub(super) fn some_of(&self, task: usize, which: u16) -> u64 {
        let owned = self
            .by_address
            .iter()
            .filter(|(_, ((owner, _), _))| *owner == task);
        let owned: Vec<u64> = owned.map(|(address, _)| *address).collect();
        let chosen = owned.get(usize::from(which) % (owned.len() + 1));
        chosen.copied().unwrap_or_else(|| SimRelays::address(which))
    }

    pub(super) fn register(&mut self, relay: u64, poll: Poll, place: (u16, u32)) {
        let known = self.by_address.entry(relay).or_insert((poll, Vec::new()));
        if known.0 != poll {
            *known = (poll, Vec::new());
        }
        known.1.push(place);
    }

    pub(super) fn places_of(&self, relay: u64, task: usize) -> Option<Places> {
        let ((owner, _), places) = self.by_address.get(&relay)?;
        (*owner == task).then(|| places.clone())
    }

    pub(super) fn used(&mut self, relay: u64) {
        self.by_address.remove(&relay);
    }

    /// What a task still waits at.
    pub(super) fn left_by(&self, task: usize) -> Places {
        let owned = self.by_address.values().filter(|((owner, _), _)| *owner == task);
        owned.flat_map(|(_, places)| places.clone()).collect()
    }
}
