//! Old tasks that are left out: while a [`Cull`] runs, each recorded task throws a coin at its next poll.
//!
//! Whoever stays is given a copy of its table with all the words of the original, our functions among them: one of two,
//! by the cull's parity. By that it is known at its next polls that it has thrown.

use asyncprof_core::event::Kind;
use asyncprof_core::thinning::{Cull, Parity, Thinning};

use super::left_out::{WORDS, is_marked, words_of};
use super::tables::TaskTable;
use super::task_taps;
use crate::recorder::Thread;

/// The words of a table for tasks that have stayed in a cull.
#[derive(Debug)]
#[repr(C)]
pub(super) struct StayedTable {
    words: [u64; WORDS],
}

impl StayedTable {
    /// Of a table that is not patched yet, one for each parity.
    ///
    /// # Safety
    /// It lies at its address, and up to `end` there is memory to read.
    pub(super) unsafe fn of(table: &TaskTable, end: u64) -> [StayedTable; Parity::ALL.len()] {
        // SAFETY: the caller's promise.
        let mut words = unsafe { words_of(table, end) };
        for (slot, tap) in task_taps::taps() {
            words[slot as usize] = tap;
        }
        Parity::ALL.map(|_| StayedTable { words })
    }

    pub(super) fn address(&self) -> u64 {
        &raw const self.words as u64
    }
}

/// How a poll begins while something is left out.
pub(super) enum Begin {
    LeftOut,
    Recorded {
        is_short: bool,
        /// The cull in which the task stays with this poll; None if it does not throw.
        stays: Option<Cull>,
    },
}

/// A task of this table is about to be polled. If it was left out by a throw, that is told; it is up to the caller to
/// change the table.
pub(super) fn begin(thread: &mut Thread, thinning: u64, task: u64, table: &TaskTable) -> Begin {
    if is_marked(thinning, task) {
        return Begin::LeftOut;
    }
    let stays = match Thinning::decode(thinning).cull {
        Some(cull) if table.stayed_in != Some(cull.parity) => {
            let is_head = thread.coin.is_head(cull.step);
            // What cannot be told is not done: then the task throws anew at its next poll.
            if !is_head && thread.write(Kind::LeftOut, task, 0, 0) {
                return Begin::LeftOut;
            }
            is_head.then_some(cull)
        }
        _ => None,
    };
    let is_short = thread.pauses_shortly(thinning, task);
    Begin::Recorded { is_short, stays }
}
