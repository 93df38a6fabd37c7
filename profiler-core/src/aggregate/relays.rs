//! Branches of tasks that are polled with a waker of their own, a *relay*, as `FuturesUnordered` polls its children.
//!
//! A task's own registration then stands at the set; the places where the children wait are known by their relays.
//! A wake-up of the task that comes within a relay's ended the wait of that child. Of nested relays the first one
//! used is the innermost branch.

use super::HashMap;
use std::collections::hash_map::Entry;

use super::registrations::{Registration, Registrations};

/// (process, address).
type Key = (u32, u64);

/// A task or root task: its address, and the runtime's id (0 if it has none).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct Owner {
    pub(super) key: Key,
    pub(super) id: u64,
}

/// The places where a branch waits: one for each waker that it has left and that was not dropped since.
#[derive(Clone, Debug)]
struct Relay {
    owner: Owner,
    /// When the last of them was left.
    at_ns: u64,
    registrations: Registrations,
}

/// A relay that is being used: the branch's places, and the tag that names one of them.
#[derive(Clone, Debug)]
pub(super) struct Used {
    owner: Owner,
    registrations: Registrations,
    tag: u16,
}

/// Those in use on one thread, outermost call first; None where nothing is known of one.
#[derive(Clone, Debug, Default)]
pub(super) struct Chain(Vec<Option<Used>>);

/// All relays of which wakers are left.
#[derive(Clone, Debug, Default)]
pub(super) struct Relays {
    by_address: HashMap<Key, Relay>,
    /// How many there may be before those without an owner are looked for.
    sweep_at: usize,
}

/// Beyond this number all are forgotten.
const MAX_RELAYS: usize = 1 << 18;
const MIN_SWEPT: usize = 1 << 10;

impl Relays {
    /// A branch of `owner` has left a waker.
    pub(super) fn registered(
        &mut self,
        relay: Key,
        owner: Owner,
        at_ns: u64,
        registration: Registration,
        is_alive: impl Fn(&Owner) -> bool,
    ) {
        if self.by_address.len() >= self.sweep_at.max(MIN_SWEPT) {
            self.by_address.retain(|_, relay| is_alive(&relay.owner));
            if self.by_address.len() >= MAX_RELAYS {
                self.by_address.clear();
            }
            self.sweep_at = (self.by_address.len() * 2).min(MAX_RELAYS);
        }
        let fresh = || Relay {
            owner,
            at_ns,
            registrations: Registrations::default(),
        };
        let known = self.by_address.entry(relay).or_insert_with(fresh);
        if known.owner != owner {
            *known = fresh();
        }
        known.at_ns = at_ns;
        known.registrations.push(registration);
    }

    /// A branch is woken.
    pub(super) fn used(&self, relay: Key, tag: u16) -> Option<Used> {
        let relay = self.by_address.get(&relay)?;
        Some(Used {
            owner: relay.owner,
            registrations: relay.registrations.clone(),
            tag,
        })
    }

    /// A waker that a branch had left is gone: it waits there no more.
    pub(super) fn dropped(&mut self, relay: Key, tag: u16) {
        if let Entry::Occupied(mut known) = self.by_address.entry(relay) {
            known.get_mut().registrations.remove(tag);
            if known.get().registrations.as_slice().is_empty() {
                known.remove();
            }
        }
    }

    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        self.by_address.len()
    }

    /// Some of this process's events were lost: addresses may stand for others by now.
    pub(super) fn forget(&mut self, process: u32) {
        self.by_address.retain(|key, _| key.0 != process);
    }

    /// The places where the branches of each task of a process that has ended wait, the latest first.
    pub(super) fn left(&mut self, process: u32) -> HashMap<Owner, Registrations> {
        let mut all: Vec<(Key, Relay)> = self.by_address.extract_if(|key, _| key.0 == process).collect();
        all.sort_by_key(|(key, relay)| (std::cmp::Reverse(relay.at_ns), *key));
        let mut left = HashMap::<Owner, Registrations>::default();
        for (_, relay) in all {
            let registrations = left.entry(relay.owner).or_default();
            relay
                .registrations
                .as_slice()
                .iter()
                .for_each(|&r| registrations.push(r));
        }
        left
    }
}

impl Chain {
    /// A relay is used within `outer` others.
    pub(super) fn push(&mut self, outer: usize, used: Option<Used>) {
        self.0.resize_with(outer, || None);
        self.0.push(used);
    }

    pub(super) fn clear(&mut self) {
        self.0.clear();
    }

    /// The innermost branch of `owner` that is being woken, where that is within `relays` relays' wake-ups: its
    /// registrations, and the tag that names one of them.
    pub(super) fn branch_of(&self, owner: Owner, relays: usize) -> Option<(&Registrations, u16)> {
        let used = self
            .0
            .iter()
            .take(relays)
            .flatten()
            .find(|used| used.owner == owner)?;
        Some((&used.registrations, used.tag))
    }
}
