//! Whether a profile's tables fit together, so that no reader of one can panic on an index or an overflow.

use thiserror::Error;

use super::lists::Lists;
use super::model::{
    Delay, Function, Group, LONGEST_POLLS, OLDEST_WAITS, Profile, Row, StackId, StringId, Waker,
};

/// The first place where a profile contradicts itself.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("{0}")]
pub struct Inconsistent(String);

type Checked = Result<(), Inconsistent>;

impl Profile {
    /// A profile of nothing, with the entries that every profile has at index 0.
    pub fn empty() -> Profile {
        Profile {
            strings: vec![String::new()],
            stacks: Lists::from_iter([[]]),
            wakers: vec![Waker::Unknown],
            label_sets: vec![Vec::new()],
            ..Profile::default()
        }
    }

    /// Holds for every profile that was read from a file, and should for every one that is written to one:
    ///
    /// - each index is within its table, and index 0 is the empty string, the empty stack, the unknown waker;
    /// - counts of parts are not above the count of the whole, and no total over all rows overflows;
    /// - a group's parent comes before it;
    /// - windows ascend, and lie within the recording.
    pub fn check(&self) -> Result<(), Inconsistent> {
        ensure(self.strings.first().is_some_and(String::is_empty), || {
            "string 0 is not empty".into()
        })?;
        ensure(self.stacks.iter().next().is_some_and(<[_]>::is_empty), || {
            "stack 0 is not empty".into()
        })?;
        ensure(self.wakers.first() == Some(&Waker::Unknown), || {
            "waker 0 is not the unknown one".into()
        })?;
        ensure(
            self.quality.frames_unsymbolised <= self.quality.frames_total,
            || "more frames are unsymbolised than there are".into(),
        )?;
        ensure(self.label_sets.first().is_some_and(Vec::is_empty), || {
            "label set 0 is not empty".into()
        })?;
        self.check_frames()?;
        self.check_labels()?;
        self.groups
            .iter()
            .enumerate()
            .try_for_each(|(at, group)| self.check_group(at, group))?;
        self.check_wakers()?;
        self.rows
            .iter()
            .enumerate()
            .try_for_each(|(at, row)| self.check_row(at, row))?;
        self.check_totals()?;
        self.check_longest_polls()?;
        self.check_open_waits()?;
        self.check_delays()?;
        self.check_work()
    }

    fn check_frames(&self) -> Checked {
        for (at, frame) in self.frames.iter().enumerate() {
            let owner = || format!("frame {at}");
            if let Some(module) = frame.module {
                within(owner, "module", module.index(), self.modules.len())?;
            }
            for &Function { name, file, line: _ } in &frame.functions {
                self.check_string(owner, name)?;
                self.check_string(owner, file)?;
            }
        }
        for (at, stack) in self.stacks.iter().enumerate() {
            for frame in stack {
                within(
                    || format!("stack {at}"),
                    "frame",
                    frame.index(),
                    self.frames.len(),
                )?;
            }
        }
        Ok(())
    }

    fn check_group(&self, at: usize, group: &Group) -> Checked {
        let owner = || format!("group {at}");
        within(owner, "process", group.process.index(), self.processes.len())?;
        self.check_string(owner, group.name)?;
        self.check_stack(owner, group.spawn_stack)?;
        if let Some(parent) = group.parent {
            // So that whoever follows parents comes to an end.
            within(owner, "earlier group", parent.index(), at)?;
        }
        let ended = [group.cancelled, group.panicked]
            .iter()
            .try_fold(group.completed, |sum, n| sum.checked_add(*n));
        // A task may come to count for others when they have been counted already.
        let most = group.tasks.saturating_mul(self.quality.heaviest_task.max(1));
        ensure(ended.is_some_and(|ended| ended <= most), || {
            format!("group {at} has more ended tasks than tasks")
        })
    }

    fn check_wakers(&self) -> Checked {
        for (at, waker) in self.wakers.iter().enumerate() {
            let owner = || format!("waker {at}");
            match *waker {
                Waker::Unknown => {}
                Waker::Task { group, stack } => {
                    within(owner, "group", group.index(), self.groups.len())?;
                    self.check_stack(owner, stack)?;
                }
                Waker::Thread { stack } => self.check_stack(owner, stack)?,
            }
        }
        Ok(())
    }

    fn check_row(&self, at: usize, row: &Row) -> Checked {
        let owner = || format!("row {at}");
        within(owner, "group", row.group.index(), self.groups.len())?;
        self.check_stack(owner, row.stack)?;
        within(owner, "waker", row.waker.index(), self.wakers.len())?;
        within(owner, "label set", row.labels.index(), self.label_sets.len())?;
        ensure(row.open_episodes <= row.stats.episodes, || {
            format!("row {at} has more open episodes than episodes")
        })?;
        self.check_windows(owner, &row.windows)
    }

    fn check_windows(&self, owner: impl Fn() -> String, windows: &[(u32, u64)]) -> Checked {
        ensure(windows.is_sorted_by(|a, b| a.0 < b.0), || {
            format!("{} has windows out of order", owner())
        })?;
        if let Some(&(last, _)) = windows.last() {
            // What is open at the end may be closed just after it.
            let whole = self.meta.duration_ns.checked_div(self.meta.window_ns);
            ensure(
                whole.is_some_and(|whole| u64::from(last) <= whole.saturating_add(1)),
                || format!("{} has a window after the end of the recording", owner()),
            )?;
        }
        ensure(checked_sum(windows.iter().map(|window| window.1)), || {
            format!("{} has windows that add up to more than 64 bits", owner())
        })
    }

    fn check_labels(&self) -> Checked {
        for (at, set) in self.label_sets.iter().enumerate() {
            for label in set {
                self.check_string(|| format!("label set {at}"), label.key)?;
                self.check_string(|| format!("label set {at}"), label.value)?;
            }
        }
        Ok(())
    }

    fn check_work(&self) -> Checked {
        for (at, work) in self.work.iter().enumerate() {
            let owner = || format!("work {at}");
            within(owner, "process", work.process.index(), self.processes.len())?;
            if let Some(group) = work.group {
                within(owner, "group", group.index(), self.groups.len())?;
            }
            within(owner, "label set", work.labels.index(), self.label_sets.len())?;
            self.check_windows(owner, &work.windows)?;
        }
        let work = || self.work.iter();
        let sound = checked_sum(work().map(|work| work.units))
            && checked_sum(work().flat_map(|work| work.windows.iter().map(|window| window.1)))
            && checked_sum(work().map(|work| work.pieces.episodes))
            && checked_sum(work().map(|work| work.pieces.total_ns))
            && work()
                .try_fold(0u128, |sum, work| sum.checked_add(work.pieces.sum_sq_ns2))
                .is_some();
        ensure(sound, || "its work does not fit into 64 bits".into())
    }

    fn check_totals(&self) -> Checked {
        let rows = || self.rows.iter();
        let sound = checked_sum(rows().map(|row| row.stats.episodes))
            && checked_sum(rows().map(|row| row.stats.total_ns))
            && checked_sum(rows().flat_map(|row| row.windows.iter().map(|window| window.1)))
            && checked_sum(self.groups.iter().map(|group| group.tasks))
            && checked_sum(self.groups.iter().map(|group| group.polls.episodes))
            && checked_sum(self.groups.iter().map(|group| group.polls.total_ns))
            && rows()
                .try_fold(0u128, |sum, row| sum.checked_add(row.stats.sum_sq_ns2))
                .is_some();
        ensure(sound, || "its totals do not fit into 64 bits".into())
    }

    fn check_longest_polls(&self) -> Checked {
        ensure(self.longest_polls.len() <= LONGEST_POLLS, || {
            format!("it lists more than {LONGEST_POLLS} longest polls")
        })?;
        for (at, poll) in self.longest_polls.iter().enumerate() {
            let owner = || format!("longest poll {at}");
            within(owner, "group", poll.group.index(), self.groups.len())?;
            self.check_stack(owner, poll.stack)?;
            self.check_stack(owner, poll.busy_stack)?;
            ensure(poll.started_ns.checked_add(poll.duration_ns).is_some(), || {
                format!("longest poll {at} ends after the end of time")
            })?;
        }
        Ok(())
    }

    fn check_open_waits(&self) -> Checked {
        let waits = || self.open_waits.iter();
        ensure(checked_sum(waits().map(|wait| wait.tasks)), || {
            "its open waits do not fit into 64 bits".into()
        })?;
        ensure(
            waits().map(|wait| wait.oldest_ns.len()).sum::<usize>() <= OLDEST_WAITS,
            || format!("it lists more than {OLDEST_WAITS} oldest waits"),
        )?;
        for (at, wait) in waits().enumerate() {
            let owner = || format!("open wait {at}");
            within(owner, "group", wait.group.index(), self.groups.len())?;
            self.check_stack(owner, wait.stack)?;
            ensure(wait.tasks > 0, || format!("open wait {at} is nobody's"))?;
            ensure(wait.oldest_ns.len() as u64 <= wait.tasks, || {
                format!("open wait {at} has more ages than tasks")
            })?;
            ensure(wait.oldest_ns.is_sorted_by(|a, b| a >= b), || {
                format!("open wait {at} has ages out of order")
            })?;
        }
        Ok(())
    }

    fn check_delays(&self) -> Checked {
        for (at, delay) in self.delays.iter().enumerate() {
            let owner = || format!("delay {at}");
            let Delay {
                victim,
                victim_stack,
                blocker,
                blocker_state: _,
                blocker_stack,
                stats: _,
            } = *delay;
            for group in [Some(victim), blocker].into_iter().flatten() {
                within(owner, "group", group.index(), self.groups.len())?;
            }
            self.check_stack(owner, victim_stack)?;
            self.check_stack(owner, blocker_stack)?;
        }
        let stats = || self.delays.iter().map(|delay| &delay.stats);
        let sound = checked_sum(stats().map(|stats| stats.episodes))
            && checked_sum(stats().map(|stats| stats.total_ns))
            && stats()
                .try_fold(0u128, |sum, stats| sum.checked_add(stats.sum_sq_ns2))
                .is_some();
        ensure(sound, || "its delays do not fit into 64 bits".into())
    }

    fn check_string(&self, owner: impl Fn() -> String, id: StringId) -> Checked {
        within(owner, "string", id.index(), self.strings.len())
    }

    fn check_stack(&self, owner: impl Fn() -> String, id: StackId) -> Checked {
        within(owner, "stack", id.index(), self.stacks.len())
    }
}

fn ensure(holds: bool, otherwise: impl FnOnce() -> String) -> Checked {
    if holds {
        Ok(())
    } else {
        Err(Inconsistent(otherwise()))
    }
}

fn within(owner: impl Fn() -> String, table: &str, index: usize, len: usize) -> Checked {
    ensure(index < len, || {
        format!("{} refers to {table} {index} of {len}", owner())
    })
}

fn checked_sum(mut values: impl Iterator<Item = u64>) -> bool {
    values
        .try_fold(0u64, |sum, value| sum.checked_add(value))
        .is_some()
}
