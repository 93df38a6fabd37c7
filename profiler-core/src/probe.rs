//! How a thread's stack is asked for while it polls: a few words per thread slot, written by the thread and by the
//! recorder that asks.

use crate::sync::{AtomicU64, Ordering};

/// A thread's words, on cache lines of their own.
#[derive(Debug)]
#[cfg_attr(test, derive(Default))]
#[repr(C, align(128))]
pub struct ThreadProbe {
    /// The thread's id; 0 while nobody has the slot.
    tid: AtomicU64,
    /// Bit 0: in a poll whose time is to be split. The other bits count the changes, so that two equal readings
    /// mean one poll.
    polling: AtomicU64,
    /// The upper end of that poll's stack.
    top: AtomicU64,
    /// When the thread was asked for its stack, in ticks plus one; 0 once it has answered.
    asked: AtomicU64,
    /// The ticks that the answer will stand for.
    weight: AtomicU64,
}

/// A question that was put to a thread.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Question {
    pub asked_ticks: u64,
    /// The ticks that the answer stands for.
    pub weight_ticks: u64,
}

/// What a thread was doing when it was looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Polling(u64);

impl Polling {
    pub fn is_polling(self) -> bool {
        self.0 & 1 != 0
    }
}

impl ThreadProbe {
    /// A thread takes the slot.
    pub fn begin(&self, tid: u64) {
        self.set_polling(0);
        self.asked.store(0, Ordering::Relaxed);
        self.tid.store(tid, Ordering::Release);
    }

    /// The thread has given the slot back.
    pub fn end(&self) {
        self.tid.store(0, Ordering::Relaxed);
        self.set_polling(0);
    }

    /// The id of the thread that has the slot; 0 if none.
    pub fn tid(&self) -> u64 {
        self.tid.load(Ordering::Acquire)
    }

    /// By the thread itself, at the start and the end of each poll: the upper end of the stack of the poll that it is
    /// in now; 0 if in none whose time is to be split.
    #[inline]
    pub fn set_polling(&self, top: u64) {
        self.top.store(top, Ordering::Relaxed);
        let changes = self.polling.load(Ordering::Relaxed) | 1;
        // An odd number plus one is even: the count goes on, and bit 0 is free.
        self.polling
            .store(changes.wrapping_add(1) | u64::from(top != 0), Ordering::Release);
    }

    pub fn polling(&self) -> Polling {
        Polling(self.polling.load(Ordering::Acquire))
    }

    /// The upper end of the stack of the poll that it is in.
    pub fn top(&self) -> u64 {
        self.top.load(Ordering::Relaxed)
    }

    /// Notes that the thread is being asked; false if an earlier question is still open.
    pub fn ask(&self, question: Question) -> bool {
        if self.asked.load(Ordering::Acquire) != 0 {
            return false;
        }
        self.weight.store(question.weight_ticks, Ordering::Relaxed);
        self.asked.store(question.asked_ticks + 1, Ordering::Release);
        true
    }

    /// By the thread itself: the open question. It counts as answered.
    pub fn answer(&self) -> Option<Question> {
        let asked_ticks = self.asked.load(Ordering::Acquire).checked_sub(1)?;
        let weight_ticks = self.weight.load(Ordering::Relaxed);
        self.asked.store(0, Ordering::Release);
        Some(Question {
            asked_ticks,
            weight_ticks,
        })
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    #[test]
    fn every_poll_reads_differently() {
        let probe = ThreadProbe::default();
        let mut seen = std::collections::HashSet::new();
        assert!(!probe.polling().is_polling());
        for turn in 0..10 {
            probe.set_polling(if turn % 3 != 2 { 4096 } else { 0 });
            assert_eq!(probe.polling().is_polling(), turn % 3 != 2);
            assert!(
                seen.insert(probe.polling().0),
                "a poll within another is one of its own"
            );
        }
    }

    #[test]
    fn one_question_at_a_time() {
        let probe = ThreadProbe::default();
        let question = |asked_ticks| Question {
            asked_ticks,
            weight_ticks: 9,
        };
        assert_eq!(probe.answer(), None);
        assert!(probe.ask(question(0)));
        assert!(!probe.ask(question(5)));
        assert_eq!(probe.answer(), Some(question(0)));
        assert!(probe.ask(question(7)));
        probe.begin(3);
        assert_eq!(
            (probe.answer(), probe.tid()),
            (None, 3),
            "a new thread was not asked"
        );
    }
}
