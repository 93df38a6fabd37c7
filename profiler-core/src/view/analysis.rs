//! A profile together with what can be derived from it once: functions, kinds of waits, names of groups.

use super::activity::Activity;
use super::category::Category;
use super::functions::{Call, Functions, NameId, Names, Place};
use super::kind::{Kind, Rules, decide};
use super::path::{kind_of_await, kind_of_user, kind_of_wake, visible, visible_busy};
use super::source::{WakeSource, source_of};
use crate::profile::{GroupId, Profile, Row, StackId, State, TaskKind, Waker, WakerId};

/// What every picture and table starts from.
pub struct Analysis<'a> {
    pub profile: &'a Profile,
    pub(super) functions: Functions,
    /// Parallel to `profile.rows`.
    activities: Vec<Activity>,
    /// Parallel to `profile.wakers`.
    sources: Vec<Option<WakeSource>>,
}

impl<'a> Analysis<'a> {
    pub fn new(profile: &'a Profile, rules: &Rules) -> Analysis<'a> {
        let functions = Functions::of(profile, rules);
        let activities = activities(profile, &functions, rules);
        let wakers = profile.wakers.iter();
        let sources = wakers
            .map(|&waker| source_of(profile, &functions, waker))
            .collect();
        Analysis {
            profile,
            functions,
            activities,
            sources,
        }
    }

    /// All rows with what the task did in them, without the runtime's worker loops unless asked for.
    pub fn rows(&self, show_runtime: bool) -> impl Iterator<Item = (&'a Row, Activity)> + '_ {
        self.numbered_rows(show_runtime)
            .map(|(_, row, activity)| (row, activity))
    }

    /// The same with their positions in the profile.
    pub(super) fn numbered_rows(
        &self,
        show_runtime: bool,
    ) -> impl Iterator<Item = (usize, &'a Row, Activity)> + '_ {
        let rows = self.profile.rows.iter().enumerate();
        let all = rows
            .zip(&self.activities)
            .map(|((at, row), &activity)| (at, row, activity));
        all.filter(move |(_, row, _)| show_runtime || self.profile.group(row.group).kind != TaskKind::Worker)
    }

    /// The group's name with a word for what is not an ordinary task.
    pub fn group_label(&self, group: GroupId) -> String {
        let group = self.profile.group(group);
        let name = match self.profile.string(group.name) {
            "" => "(unnamed)",
            name => name,
        };
        match group.kind {
            TaskKind::Task => name.to_owned(),
            TaskKind::Root => format!("[root task] {name}"),
            TaskKind::Blocking => format!("[blocking task] {name}"),
            TaskKind::Worker => format!("[worker] {name}"),
        }
    }

    /// Who ended the waits of this waker; none if that was not seen.
    pub fn wake_source(&self, waker: WakerId) -> Option<WakeSource> {
        self.sources[waker.index()]
    }

    /// The app's innermost function on the stack of the wake.
    pub fn wake_site(&self, waker: WakerId) -> Option<NameId> {
        let stack = self.profile.wakers[waker.index()].stack();
        let calls = self.calls(stack);
        let own = calls.iter().rfind(|call| call.category == Category::App);
        own.map(|call| call.name)
    }

    pub fn name(&self, id: NameId) -> &str {
        self.functions.names.text(id)
    }

    pub(super) fn names(&self) -> &Names {
        &self.functions.names
    }

    pub(super) fn calls(&self, stack: StackId) -> Vec<Call> {
        self.functions.stack(self.profile, stack).collect()
    }

    /// The functions of an await stack that are shown, root first, each with its line where known.
    pub fn await_stack(&self, stack: StackId) -> Vec<(NameId, Option<Place>)> {
        let shown = visible(&self.functions, &self.calls(stack), false);
        shown.iter().map(|frame| (frame.name, frame.place)).collect()
    }

    /// Where the stack's await is: the app's innermost function and what it calls; between a library's first
    /// and last function where none is the app's.
    pub fn await_site(&self, stack: StackId) -> Option<AwaitSite> {
        let calls = self.calls(stack);
        let is_library = |call: &&Call| call.category == Category::Library;
        let (site, awaited) = match calls.iter().rposition(|call| call.category == Category::App) {
            Some(at) => (&calls[at], calls[at + 1..].iter().find(is_library)),
            None => (calls.iter().find(is_library)?, calls.iter().rfind(is_library)),
        };
        let awaited = awaited.map(|call| call.name).filter(|&name| name != site.name);
        Some(AwaitSite {
            function: site.name,
            place: site.place,
            awaited,
        })
    }

    /// What a thread was found to do in a poll: the app's innermost function, and what it calls.
    pub fn busy_site(&self, stack: StackId) -> Option<AwaitSite> {
        let calls = self.calls(stack);
        let Some(own) = calls.iter().rposition(|call| call.category == Category::App) else {
            return self.await_site(stack);
        };
        let site = &calls[own];
        let shown = visible_busy(&self.functions, &calls, false, false);
        let called = shown
            .iter()
            .rev()
            .take_while(|frame| frame.category != Category::App)
            .last();
        Some(AwaitSite {
            function: site.name,
            place: site.place,
            awaited: called.map(|frame| frame.name),
        })
    }

    /// `main.rs:18`-like text with the last directories of the path.
    pub fn place_text(&self, place: Place) -> String {
        let file = self.profile.string(place.file);
        let short = match file.rmatch_indices('/').nth(1) {
            Some((at, _)) => &file[at + 1..],
            None => file,
        };
        match place.line {
            0 => short.to_owned(),
            line => format!("{short}:{line}"),
        }
    }
}

/// The line of the app's own code that waits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct AwaitSite {
    pub function: NameId,
    pub place: Option<Place>,
    /// The library function awaited there.
    pub awaited: Option<NameId>,
}

fn activities(profile: &Profile, functions: &Functions, rules: &Rules) -> Vec<Activity> {
    // Per stack: what the user's rules say, and what the stack tells.
    let mut told: Vec<Option<[Option<Kind>; 2]>> = vec![None; profile.stacks.len()];
    let woken: Vec<(Option<Kind>, bool)> = profile
        .wakers
        .iter()
        .map(|waker| match *waker {
            Waker::Unknown => (None, false),
            Waker::Thread { stack } => (kind_of_wake(profile, functions, rules, stack), false),
            Waker::Task { group, stack } => {
                let blocking = profile.group(group).kind == TaskKind::Blocking;
                (kind_of_wake(profile, functions, rules, stack), blocking)
            }
        })
        .collect();
    let of_row = |row: &Row| match row.state {
        State::Running => Activity::Running,
        State::OnCpu => Activity::OnCpu,
        State::Blocked => Activity::Blocked,
        State::Scheduled => Activity::Scheduled,
        State::Lost => Activity::Lost,
        State::Waiting => {
            let [user, awaited] = *told[row.stack.index()].get_or_insert_with(|| {
                [kind_of_user, kind_of_await].map(|tell| tell(profile, functions, rules, row.stack))
            });
            let (woken, by_blocking_task) = woken[row.waker.index()];
            Activity::Waiting(user.unwrap_or_else(|| decide(awaited, woken, by_blocking_task)))
        }
    };
    profile.rows.iter().map(of_row).collect()
}
