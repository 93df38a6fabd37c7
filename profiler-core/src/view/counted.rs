//! What is added up in a tree: rows, or delays, each with what follows its stack.

use super::activity::Activity;
use super::analysis::Analysis;
use super::tree::{By, TreeOptions};
use crate::profile::{Delay, GroupId, Row, StackId, State, Stats, WakerId};

/// What is added at the end of one path.
pub(crate) struct Counted<'p> {
    /// Position in the profile's rows, or delays. Only comparisons ask for it.
    #[cfg_attr(not(feature = "diff"), allow(dead_code))]
    pub(crate) at: u32,
    pub(crate) group: GroupId,
    pub(crate) stack: StackId,
    pub(crate) activity: Activity,
    pub(crate) stats: &'p Stats,
    pub(crate) then: Then<'p>,
}

/// What follows the stack.
#[derive(Clone, Copy)]
pub(crate) enum Then<'p> {
    /// The state, and for a wait what the awaited task did.
    State(&'p Row),
    WokenBy(WakerId),
    /// What ran meanwhile, if a task did.
    Behind(Option<Blocker>),
}

#[derive(Clone, Copy)]
pub(crate) struct Blocker {
    pub(crate) group: GroupId,
    pub(crate) stack: StackId,
    /// The stack is that of a thread in a poll.
    pub(crate) is_busy: bool,
}

/// All that these options select.
pub(crate) fn counted<'a, 'p>(
    analysis: &'a Analysis<'p>,
    options: &TreeOptions,
) -> impl Iterator<Item = Counted<'p>> + use<'a, 'p> {
    let by = options.by;
    let rows = analysis
        .numbered_rows(options.show_runtime)
        .filter(move |&(_, row, activity)| by.selects(row, activity))
        .map(move |(at, row, activity)| Counted::row(at, row, activity, by));
    let delays = (by == By::Delay).then_some(&analysis.profile.delays);
    rows.chain(delays.into_iter().flatten().enumerate().map(Counted::delay))
}

impl<'p> Counted<'p> {
    fn row(at: usize, row: &'p Row, activity: Activity, by: By) -> Counted<'p> {
        Counted {
            at: at as u32,
            group: row.group,
            stack: row.stack,
            activity,
            stats: &row.stats,
            then: match by {
                By::Wake => Then::WokenBy(row.waker),
                _ => Then::State(row),
            },
        }
    }

    fn delay((at, delay): (usize, &'p Delay)) -> Counted<'p> {
        let blocker = delay.blocker.map(|group| Blocker {
            group,
            stack: delay.blocker_stack,
            is_busy: delay.blocker_state != State::Running,
        });
        Counted {
            at: at as u32,
            group: delay.victim,
            stack: delay.victim_stack,
            activity: Activity::Scheduled,
            stats: &delay.stats,
            then: Then::Behind(blocker),
        }
    }
}
