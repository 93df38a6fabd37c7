//! A wait for another task goes on in what that task did: below the wait's state stand the name of the awaited tasks,
//! their stacks and their states, in the proportions of their whole group, to the wait's exact length.
//!
//! It is an attribution. Which task of the group ended which wait, and what it did during just that wait, is not
//! recorded.

use std::collections::{BTreeMap, HashMap};
use std::rc::Rc;

use super::activity::Activity;
use super::builder::Builder;
use super::family::GroupBy;
use super::kind::Kind;
use super::row_paths::{RowPaths, is_busy};
use super::tree::{By, FrameKind, NodeId};
use crate::profile::{GroupId, Row, StackId, TaskKind, Waker};

/// Waits of awaited tasks for tasks, and so on: no further.
const MAX_DEPTH: usize = 8;

/// What takes less than this part of the whole is not followed: it could not be seen.
const MIN_PART: u64 = 1 << 14;

/// Waits to be continued: (state frame of the wait, who waits, for whom).
pub(super) type AwaitedTasks = BTreeMap<(NodeId, GroupId, GroupId), u64>;

/// What a group's tasks did, each with its time.
type Deeds = Rc<Vec<(Deed, u64)>>;

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Deed {
    stack: StackId,
    activity: Activity,
    awaited: Option<GroupId>,
}

impl RowPaths<'_, '_> {
    /// The group of tasks whose end the row's waits were for, if the picture is to show what those did.
    pub(super) fn awaited(&self, row: &Row, activity: Activity) -> Option<GroupId> {
        let options = &self.options;
        let Waker::Task { group, .. } = self.analysis.profile.wakers[row.waker.index()] else {
            return None;
        };
        let is_blocking = self.analysis.profile.group(group).kind == TaskKind::Blocking;
        let goes_on = match activity {
            // Files and name resolution are I/O in blocking tasks.
            Activity::Waiting(Kind::Blocking | Kind::Io) => is_blocking,
            // Elsewhere the awaited task has a place of its own in the picture, and that is enough.
            Activity::Waiting(Kind::Join) => options.group_by == GroupBy::Tree,
            _ => false,
        };
        (goes_on && !options.inverted && options.by != By::Wake).then_some(group)
    }
}

impl Builder<'_, '_> {
    /// Draws out the waits; to be called when all rows are in their places.
    pub(super) fn continue_waits(&mut self, waits: AwaitedTasks) {
        if waits.is_empty() {
            return;
        }
        let rows = self.rows.analysis.rows(self.rows.options.show_runtime);
        let whole_ns = rows.fold(0_u64, |sum, (row, _)| sum.saturating_add(row.stats.total_ns));
        let min_ns = whole_ns / MIN_PART;
        let deeds = self.deeds();
        let mut following = Following {
            min_ns,
            deeds,
            line: Vec::new(),
        };
        for ((wait, waiting, awaited), ns) in waits {
            following.line = vec![waiting];
            self.follow(&mut following, wait, awaited, ns);
        }
    }

    /// By group, what each of them did.
    fn deeds(&self) -> HashMap<GroupId, Deeds> {
        let mut sums: HashMap<GroupId, BTreeMap<Deed, u64>> = HashMap::new();
        for (row, activity) in self.rows.analysis.rows(self.rows.options.show_runtime) {
            let deed = Deed {
                stack: row.stack,
                activity,
                awaited: self.rows.awaited(row, activity),
            };
            let sum = sums.entry(row.group).or_default().entry(deed).or_default();
            *sum = sum.saturating_add(row.stats.total_ns);
        }
        let listed = |(group, deeds): (_, BTreeMap<Deed, u64>)| (group, Rc::new(deeds.into_iter().collect()));
        sums.into_iter().map(listed).collect()
    }

    fn follow(&mut self, following: &mut Following, wait: NodeId, awaited: GroupId, ns: u64) {
        let name = self.rows.analysis.group_label(awaited);
        let kind = FrameKind::Group(self.rows.analysis.profile.group(awaited).kind.into());
        if following.line.contains(&awaited) {
            let again = self.rows.step(&format!("{name} (again)"), kind);
            self.add_continued(wait, &[again], None, ns);
            return;
        }
        let Some(deeds) = following.deeds.get(&awaited).cloned() else {
            return;
        };
        following.line.push(awaited);
        for (deed, ns) in split(ns, &deeds) {
            let mut path = vec![self.rows.group_step(awaited)];
            if ns >= following.min_ns {
                self.rows
                    .push_stack(&mut path, deed.stack, is_busy(deed.activity));
            }
            path.push(self.rows.state_step(deed.activity));
            let state = self.add_continued(wait, &path, Some(deed.activity), ns);
            if let Some(next) = deed.awaited
                && ns >= following.min_ns
                && following.line.len() < MAX_DEPTH
            {
                self.follow(following, state, next, ns);
            }
        }
        following.line.pop();
    }
}

struct Following {
    min_ns: u64,
    deeds: HashMap<GroupId, Deeds>,
    /// Who waits for whom, outermost first.
    line: Vec<GroupId>,
}

/// Splits `ns` by the times of the deeds, without a remainder. Those that get nothing are left out.
fn split(ns: u64, deeds: &[(Deed, u64)]) -> Vec<(Deed, u64)> {
    let whole: u128 = deeds.iter().map(|deed| u128::from(deed.1)).sum();
    let mut before = 0;
    let mut edge_ns = 0;
    let shares = deeds.iter().map(|&(deed, part)| {
        before += u128::from(part);
        let next_ns = (u128::from(ns) * before).checked_div(whole).unwrap_or(0) as u64;
        let share_ns = next_ns - edge_ns;
        edge_ns = next_ns;
        (deed, share_ns)
    });
    shares.filter(|share| share.1 > 0).collect()
}
