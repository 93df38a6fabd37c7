//! What a tap writes down: one event, up to three words.
//!
//! | word | bits 63–48 | bits 47–0 |
//! |---|---|---|
//! | 0 | kind in bits 63–56 | ticks since the recording's start in bits 55–0 |
//! | 1 (most kinds) | [`Event::aux`] | [`Event::subject`]: an address that stands for a task or a waker |
//! | 2 (kinds that have it) | [`Event::value`] | |
//!
//! An [`Await`](Kind::Await) is one word without a time: its kind, its aux in bits 55–48, its value in bits 47–0.
//!
//! Every runtime's tap writes these and nothing else; `docs/architecture.md` says which calls they come from.

/// Bits of word 0 that hold the time.
const TICKS_BITS: u32 = 56;
const TICKS_MASK: u64 = (1 << TICKS_BITS) - 1;
const SUBJECT_BITS: u32 = 48;
const SUBJECT_MASK: u64 = (1 << SUBJECT_BITS) - 1;

/// The longest record in words.
pub const MAX_WORDS: usize = 3;

/// The kind of an event, with the meaning of its fields.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Kind {
    /// A thread took over this ring. Subject: its thread id; aux: its process slot.
    ThreadStart = 1,
    /// Events were dropped here because the ring was full. Value: how many.
    Gap = 2,
    /// Memory that looks like a new task's was allocated. Aux: the level of [thinning](crate::thinning) at which the task
    /// was chosen: it stands for 2^aux tasks all its life (0: for itself), and maybe [`BY_LEFT_OUT`]. Value: the spawn stack; its upper half: the number of the name
    /// among the [texts](crate::texts) that the program gave it, or 0.
    Spawn = 3,
    /// Aux: index of the task's table; value: [`poll_value`].
    PollStart = 4,
    /// Aux: an [`Outcome`], and maybe [`LINGERS`].
    PollEnd = 5,
    /// What is polled innermost on this thread gave out a waker. Aux: the registration's tag; value: the await stack.
    /// Nobody asks when.
    Await = 6,
    /// Aux: [`wake_aux`] of the tag of the waker used, 0 if it had none; value: the waking thread's stack.
    Wake = 7,
    /// The task was freed or shut down outside of a poll. Aux: an [`Outcome`].
    End = 8,
    /// The future under `block_on` gave out a waker. Subject: that waker's data; aux, value: as for `Await`.
    RootAwait = 9,
    /// As `Wake`, for the future under `block_on`.
    RootWake = 10,
    /// `block_on` let go of its waker.
    RootEnd = 11,
    /// A table was polled for the first time. Subject: none; aux: its index; value: the stack below the poll
    /// (who polls it), up to the enclosing poll if there is one.
    TableSeen = 12,
    /// What a polling thread was found to do. Aux: a [`Found`]; value: its stack, from the innermost function (its
    /// address plus one, as if it were a call) to the poll. Subject: the ticks that the sample stands for.
    Sample = 13,
    /// A relay, the waker with which a branch of the task (or root task) is polled, was given out. Subject: the relay;
    /// aux, value: as for `Await`.
    RelayAwait = 14,
    /// A relay was used; until that call returns, the wake-ups on this thread come through it. Aux: as for `Wake`.
    RelayWake = 15,
    /// A relay that was given out was dropped, or taken by its wake-up. Subject: the relay; aux: its tag.
    RelayDrop = 16,
    /// What is polled on this thread has done units of work. Subject: how many.
    Work = 17,
    /// From here on what is polled on this thread, else the thread itself, carries a label. Subject: the number of the
    /// key among the [texts](crate::texts); value: that of its value; aux: [`LABEL_REMOVED`] if it is taken away.
    Label = 18,
    /// The tasks of a table have a name of their own. Subject: none; aux: the table's index; value: a stack of the one
    /// frame that names them.
    TableNamed = 19,
    /// The innermost poll on this thread has ended, its task suspended: as a `PollEnd`, but shorter.
    PollPending = 20,
    /// What ends the wait of a task is another's end, which a callback has told: the wake-up that follows on this thread
    /// is by that one, whatever is polled here. Subject: the task that is woken; value: the address of the one that has
    /// ended, 0 for nobody.
    Passed = 21,
    /// A poll of the task begins, and from here on no more is told of it: a [cull](crate::thinning::Cull) left it out.
    LeftOut = 22,
}

/// In the aux of a [`Kind::Spawn`]: by a task that is left out, whatever else is polled here.
pub const BY_LEFT_OUT: u16 = 1 << 8;

/// In the aux of a [`Kind::PollEnd`]: callbacks are yet to tell others that the task has ended.
pub const LINGERS: u16 = 1 << 8;

/// The aux of a [`Kind::Label`] that takes the label of that key away.
pub const LABEL_REMOVED: u16 = 1;

/// Numbers of the tables that stand for the tasks, and the blocking closures, that the program tells of itself.
pub const LIBRARY_TASKS: u16 = u16::MAX;
pub const LIBRARY_BLOCKING: u16 = u16::MAX - 1;

/// The largest number that fits a subject.
pub const MAX_SUBJECT: u64 = SUBJECT_MASK;

/// The aux of a wake-up: the tag of the waker used, and how many relays' wake-ups it came within.
pub fn wake_aux(tag: u16, relays: u8) -> u16 {
    u16::from(relays) << 8 | tag & 0xff
}

/// Bits of a [`Kind::PollStart`]'s value that hold the task's id.
const ID_BITS: u32 = 56;
const ID_MASK: u64 = (1 << ID_BITS) - 1;

/// The value of a [`Kind::PollStart`]: the runtime's own task id (0 if it has none), and the step of the
/// [cull](crate::thinning::Cull) in which the task stays: from this poll on it stands for 2^step times as many. Else 0.
#[inline]
pub fn poll_value(id: u64, step: u32) -> u64 {
    u64::from(step) << ID_BITS | id & ID_MASK
}

impl Kind {
    pub const ALL: [Kind; 22] = [
        Kind::ThreadStart,
        Kind::Gap,
        Kind::Spawn,
        Kind::PollStart,
        Kind::PollEnd,
        Kind::Await,
        Kind::Wake,
        Kind::End,
        Kind::RootAwait,
        Kind::RootWake,
        Kind::RootEnd,
        Kind::TableSeen,
        Kind::Sample,
        Kind::RelayAwait,
        Kind::RelayWake,
        Kind::RelayDrop,
        Kind::Work,
        Kind::Label,
        Kind::TableNamed,
        Kind::PollPending,
        Kind::Passed,
        Kind::LeftOut,
    ];

    #[inline]
    fn from_byte(byte: u8) -> Option<Kind> {
        Kind::ALL.get(usize::from(byte).checked_sub(1)?).copied()
    }

    /// Length of a record of this kind in words.
    #[inline]
    pub const fn words(self) -> usize {
        match self {
            Kind::Await | Kind::PollPending => 1,
            Kind::ThreadStart
            | Kind::PollEnd
            | Kind::End
            | Kind::RootEnd
            | Kind::RelayWake
            | Kind::RelayDrop
            | Kind::Work
            | Kind::LeftOut => 2,
            _ => MAX_WORDS,
        }
    }

    /// Whether events of this kind tell when they were.
    #[inline]
    pub const fn has_time(self) -> bool {
        !matches!(self, Kind::Await)
    }
}

/// How a thread was found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u16)]
pub enum Found {
    /// It answered at once.
    OnCpu = 0,
    /// Its stack was read from outside while it stood still; or it was ready, but answered late.
    Blocked = 1,
}

/// How a poll, or a task, ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u16)]
pub enum Outcome {
    Pending = 0,
    Ready = 1,
    Panicked = 2,
    Cancelled = 3,
    /// The task's memory was freed; how it ended was told before, or it was never polled.
    Freed = 4,
}

impl Outcome {
    pub fn from_aux(aux: u16) -> Option<Outcome> {
        [
            Outcome::Pending,
            Outcome::Ready,
            Outcome::Panicked,
            Outcome::Cancelled,
            Outcome::Freed,
        ]
        .get(usize::from(aux))
        .copied()
    }
}

/// One event, decoded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Event {
    pub kind: Kind,
    /// Ticks of the recording's clock since its start; wraps after months. 0 for kinds without a time.
    pub ticks: u64,
    /// 48 bits. 0 for kinds that are about what is polled innermost on their thread.
    pub subject: u64,
    pub aux: u16,
    /// 0 for kinds without a value.
    pub value: u64,
}

impl Event {
    /// Of a wake-up: the tag of the waker used, and how many relays' wake-ups it came within. See [`wake_aux`].
    pub fn tag_and_relays(self) -> (u16, usize) {
        (self.aux & 0xff, usize::from(self.aux >> 8))
    }

    /// Of a poll's start: what [`poll_value`] was made of.
    pub fn id_and_step(self) -> (u64, u32) {
        (self.value & ID_MASK, (self.value >> ID_BITS) as u32)
    }

    /// The record's words; only the first [`Kind::words`] of them are to be written.
    #[inline]
    pub fn encode(self) -> [u64; MAX_WORDS] {
        if self.kind == Kind::Await {
            let aux = u64::from(self.aux & 0xff) << SUBJECT_BITS;
            return [
                (self.kind as u64) << TICKS_BITS | aux | self.value & SUBJECT_MASK,
                0,
                0,
            ];
        }
        [
            (self.kind as u64) << TICKS_BITS | self.ticks & TICKS_MASK,
            u64::from(self.aux) << SUBJECT_BITS | self.subject & SUBJECT_MASK,
            self.value,
        ]
    }

    /// The kind of the record that begins with this word; None if no record begins so.
    #[inline]
    pub fn kind_of(word: u64) -> Option<Kind> {
        Kind::from_byte((word >> TICKS_BITS) as u8)
    }

    /// Decodes a record of this kind; words that it does not have are 0.
    #[inline]
    pub fn decode(kind: Kind, words: [u64; MAX_WORDS]) -> Event {
        if kind == Kind::Await {
            return Event {
                kind,
                ticks: 0,
                subject: 0,
                aux: (words[0] >> SUBJECT_BITS) as u16 & 0xff,
                value: words[0] & SUBJECT_MASK,
            };
        }
        Event {
            kind,
            ticks: words[0] & TICKS_MASK,
            subject: words[1] & SUBJECT_MASK,
            aux: (words[1] >> SUBJECT_BITS) as u16,
            value: words[2],
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn decode_reverses_encode(kind in 1u8..=22, ticks in 0..=TICKS_MASK, subject in 0..=SUBJECT_MASK, aux: u16, value: u64) {
            let kind = Kind::from_byte(kind).unwrap();
            let event = match kind {
                Kind::Await => Event { kind, ticks: 0, subject: 0, aux: aux & 0xff, value: value & SUBJECT_MASK },
                _ => Event { kind, ticks, subject, aux, value },
            };
            let words = event.encode();
            prop_assert_eq!(Event::kind_of(words[0]), Some(kind));
            prop_assert_eq!(Event::decode(kind, words), event);
        }

        #[test]
        fn any_word_decodes_or_is_refused(word: u64) {
            let known = (1..=22).contains(&(word >> 56));
            prop_assert_eq!(Event::kind_of(word).is_some(), known);
        }
    }
}
