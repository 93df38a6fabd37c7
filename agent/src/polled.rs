//! What a thread is polling.

/// A task that a thread is polling.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(C)]
pub(crate) struct Polled {
    /// Address of the task; 0 for none.
    pub(crate) task: u64,
    /// Upper end of its stack: where the poll tap was entered.
    pub(crate) stack_top: u64,
    /// Of Python: the state of the interpreter's thread; else 0. The recorder reads this word and the next.
    pub(crate) thread_state: u64,
    /// And the frame that the poll was called from.
    pub(crate) outer_frame: u64,
    /// The task's state word when it was first seen complete; 0 until then. Not 0 for a task that has none.
    pub(crate) end_state: u64,
    /// Other tasks have been polled within this poll: it is a scheduler's loop, and its own time nobody's.
    pub(crate) is_host: bool,
    /// It waited shortly before, so it likely will again: see [`pauses`](crate::pauses).
    pub(crate) is_short: bool,
}

/// In the place of the address of a task of which nothing is written.
const LEFT_OUT: u64 = 1;

impl Polled {
    pub(crate) const NONE: Polled = Polled {
        task: 0,
        stack_top: 0,
        thread_state: 0,
        outer_frame: 0,
        end_state: 0,
        is_host: false,
        is_short: false,
    };

    pub(crate) fn new(task: u64, stack_top: u64) -> Polled {
        Polled {
            task,
            stack_top,
            ..Polled::NONE
        }
    }

    /// A task of which nothing is written, and so nobody asks for its stack or reads its state.
    pub(crate) fn left_out(stack_top: u64) -> Polled {
        Polled::of_library(LEFT_OUT, stack_top)
    }

    pub(crate) fn is_left_out(&self) -> bool {
        self.task == LEFT_OUT
    }

    /// Where the recorder finds what it needs to read the poll's stack: its upper end, or Python's own words. 0 if it
    /// is not to.
    pub(crate) fn top(&self) -> u64 {
        match self.thread_state {
            0 if self.is_left_out() => 0,
            0 => self.stack_top,
            _ => &raw const self.thread_state as u64,
        }
    }

    /// Whether a task is polled, and not within it others, whose loop then runs here.
    pub(crate) fn is_own(&self) -> bool {
        self.task != 0 && !self.is_host
    }

    /// A task of the library's: how it ends is told, there is no state word to read.
    pub(crate) fn of_library(task: u64, stack_top: u64) -> Polled {
        Polled {
            end_state: u64::MAX,
            ..Polled::new(task, stack_top)
        }
    }
}

/// Work that a thread of a pool of Python's has taken, polled from then on until it asks for more.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Work {
    /// Address of the future that stands for it, which we hold; 0 for none.
    pub(crate) future: u64,
    /// The frame of Python that took it.
    pub(crate) frame: u64,
    /// What was polled before.
    pub(crate) outer: Polled,
}

impl Work {
    pub(crate) const NONE: Work = Work {
        future: 0,
        frame: 0,
        outer: Polled::NONE,
    };
}
