//! What each ring's thread is doing, as its own events tell.

use super::delays::{Deed, PastPoll, PastPolls};
use super::labels::RawLabelsId;
use super::raw::RawGroupId;
use super::relays::Chain;
use super::weight::Weight;

/// A poll that a thread has begun and not ended.
#[derive(Clone, Copy, Debug)]
pub(super) struct Polling {
    /// The task's address.
    pub(super) subject: u64,
    pub(super) group: RawGroupId,
    pub(super) weight: Weight,
    pub(super) start_ns: u64,
    /// Another poll ran within it.
    pub(super) is_host: bool,
    /// The task was freed before the end of its last poll was written: how it ended is yet to be told.
    pub(super) outlived: bool,
}

/// A ring's thread.
#[derive(Clone, Debug, Default)]
pub(super) struct Thread {
    pub(super) process: u32,
    /// When its last event was written.
    pub(super) last_ns: u64,
    /// Innermost last. More than one: a runtime's worker is a task itself.
    pub(super) polling: Vec<Polling>,
    pub(super) past: PastPolls,
    /// The root task that last gave out a waker here.
    pub(super) root: Option<u64>,
    /// The labels of what runs here outside of all polls: of its root task, and of what is spawned there.
    pub(super) labels: RawLabelsId,
    /// When it last began a piece of work outside of all polls.
    pub(super) begun_ns: Option<u64>,
    /// The relays that it is waking through.
    pub(super) waking: Chain,
    /// A task that is being woken, and the group of the task whose end that passes on.
    pub(super) passed: Option<(u64, Option<RawGroupId>)>,
}

impl Thread {
    pub(super) fn start_poll(&mut self, polling: Polling) {
        if let Some(host) = self.polling.last_mut() {
            host.is_host = true;
        }
        self.polling.push(polling);
    }

    /// The poll of this task ends. None if its start was not seen. Polls within it whose ends were not seen are
    /// given to `unended`.
    pub(super) fn end_poll(&mut self, subject: u64, unended: &mut Vec<Polling>) -> Option<Polling> {
        let at = self
            .polling
            .iter()
            .rposition(|polling| polling.subject == subject)?;
        unended.extend(self.polling.drain(at + 1..));
        self.polling.pop()
    }

    /// Remembers a poll that has ended.
    pub(super) fn remember(&mut self, polling: Polling, end_ns: u64, deed: Deed) {
        if !polling.is_host {
            self.past.push(PastPoll {
                start_ns: polling.start_ns,
                end_ns,
                group: polling.group,
                deed,
            });
        }
    }
}
