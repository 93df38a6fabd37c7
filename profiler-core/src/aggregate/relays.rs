//! Branches of tasks that are polled with a waker of their own, a *relay*, as `FuturesUnordered` polls its children.
//!
//! A task's own registration then stands at the set; the places where the children wait are known by their relays.
//! A wake-up of the task that comes within a relay's ended the wait of that child. Of nested relays the first one
//! used is the innermost branch.

use std::collections::HashMap;

use super::registrations::{Registration, Registrations};

/// (process, address).
type Key = (u32, u64);

/// A task or root task: its address, and the runtime's id (0 if it has none).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct Owner {
    pub(super) key: Key,
    pub(super) id: u64,
}

/// The places where a branch waits.
#[derive(Debug)]
pub(super) struct Relay {
    owner: Owner,
    /// The poll of the owner in which these were registered, by its beginning.
    poll_ns: u64,
    registrations: Registrations,
}

/// A relay that was used, and which of its registrations that names.
#[derive(Debug)]
pub(super) struct Used {
    relay: Relay,
    tag: u16,
}

/// Those in use on one thread, outermost call first; None where nothing is known of one.
#[derive(Debug, Default)]
pub(super) struct Chain(Vec<Option<Used>>);

/// All relays that were given out and not used since.
#[derive(Debug, Default)]
pub(super) struct Relays {
    by_address: HashMap<Key, Relay>,
    /// How many there may be before those without an owner are looked for.
    sweep_at: usize,
}

/// Beyond this number all are forgotten: children that were dropped leave theirs behind.
const MAX_RELAYS: usize = 1 << 18;
const MIN_SWEPT: usize = 1 << 10;

impl Relays {
    /// A branch of `owner` has left a waker, in the poll that began at `poll_ns`.
    pub(super) fn registered(
        &mut self,
        relay: Key,
        owner: Owner,
        poll_ns: u64,
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
            poll_ns,
            registrations: Registrations::default(),
        };
        let known = self.by_address.entry(relay).or_insert_with(fresh);
        // As with tasks: the first registration of a poll replaces those of earlier ones.
        if known.owner != owner || known.poll_ns != poll_ns {
            *known = fresh();
        }
        known.registrations.push(registration);
    }

    /// A relay is used: its branch will be polled, and register anew if it is to wait on.
    pub(super) fn used(&mut self, relay: Key, tag: u16) -> Option<Used> {
        let relay = self.by_address.remove(&relay)?;
        Some(Used { relay, tag })
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
        all.sort_by_key(|(key, relay)| (std::cmp::Reverse(relay.poll_ns), *key));
        let mut left = HashMap::<Owner, Registrations>::new();
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
            .find(|used| used.relay.owner == owner)?;
        Some((&used.relay.registrations, used.tag))
    }
}
