//! The path of each row in a picture: what its group stands on, its stack, its state.

use super::activity::Activity;
use super::analysis::Analysis;
use super::category::Category;
use super::counted::{Blocker, Counted, Then, counted};
use super::functions::Names;
use super::path::{Shown, visible, visible_busy};
use super::source::WakeSource;
use super::steps::{Step, Steps};
use super::tree::{By, FrameKind, TreeOptions};
use crate::profile::{GroupId, StackId, Waker, WakerId};

use std::collections::HashMap;

/// Makes paths of what is counted.
pub(crate) struct RowPaths<'a, 'p> {
    pub(super) analysis: &'a Analysis<'p>,
    pub(super) options: TreeOptions,
    pub(super) several_processes: bool,
    pub(super) names: Names,
    pub(super) root_paths: HashMap<GroupId, Vec<Step>>,
    pub(super) steps: Steps,
}

impl<'a, 'p> RowPaths<'a, 'p> {
    pub(crate) fn new(analysis: &'a Analysis<'p>, options: &TreeOptions) -> RowPaths<'a, 'p> {
        let mut processes =
            counted(analysis, options).map(|counted| analysis.profile.group(counted.group).process);
        let first = processes.next();
        RowPaths {
            analysis,
            options: *options,
            several_processes: processes.any(|other| Some(other) != first),
            names: analysis.names().clone(),
            root_paths: HashMap::new(),
            steps: Steps::default(),
        }
    }

    /// As numbers of steps.
    pub(crate) fn path(&mut self, counted: &Counted<'_>) -> impl Iterator<Item = u32> {
        let mut path = self.steps_of(counted);
        if self.options.inverted {
            path.reverse();
        }
        path.into_iter().map(|step| self.steps.number(&step))
    }

    /// The names and kinds of the steps in the paths made so far, by number.
    #[cfg(feature = "diff")]
    pub(crate) fn steps(&self) -> impl Iterator<Item = (&str, FrameKind)> {
        let all = self.steps.all().iter();
        all.map(|step| (self.names.text(step.name), step.kind))
    }

    fn steps_of(&mut self, counted: &Counted<'_>) -> Vec<Step> {
        let activity = counted.activity;
        let mut path = self.root_path(counted.group);
        self.push_stack(&mut path, counted.stack, is_busy(activity));
        match counted.then {
            Then::State(_) => path.push(self.state_step(activity)),
            Then::WokenBy(waker) => {
                path.push(self.step("-- woken by --", FrameKind::WokenBy(activity)));
                path.extend(self.wake_path(waker));
            }
            Then::Behind(blocker) => {
                path.push(self.step("-- kept waiting by --", FrameKind::Behind));
                path.extend(self.blocker_path(blocker));
            }
        }
        path
    }

    fn blocker_path(&mut self, blocker: Option<Blocker>) -> Vec<Step> {
        let Some(blocker) = blocker else {
            return vec![self.step("[no task]", FrameKind::NoTask)];
        };
        let mut path = vec![self.group_step(blocker.group)];
        self.push_stack(&mut path, blocker.stack, blocker.is_busy);
        // Its tasks are counted where their own time is.
        path.iter_mut().for_each(|step| step.group = None);
        path
    }

    pub(super) fn step(&mut self, name: &str, kind: FrameKind) -> Step {
        Step::new(&mut self.names, name, kind)
    }

    pub(super) fn state_step(&mut self, activity: Activity) -> Step {
        self.step(&format!("[{}]", activity.name()), FrameKind::State(activity))
    }

    /// The frames of a stack below the task that it is of.
    pub(super) fn push_stack(&mut self, path: &mut Vec<Step>, stack: StackId, is_busy: bool) {
        let frames = self.frames(stack, is_busy);
        self.push_frames(path, &frames);
    }

    /// From the function that called wake outwards.
    fn wake_path(&mut self, waker: WakerId) -> Vec<Step> {
        let mut path = match (
            self.analysis.profile.wakers[waker.index()],
            self.analysis.wake_source(waker),
        ) {
            (Waker::Task { group, stack }, _) => {
                let mut path = vec![self.group_step(group)];
                self.push_stack(&mut path, stack, false);
                // Its tasks are counted where their own time is.
                path.iter_mut().for_each(|step| step.group = None);
                path
            }
            (waker, source) => {
                let source = source.unwrap_or(WakeSource::Thread);
                let mut path = vec![self.step(source.name(), FrameKind::Source(source))];
                path.extend(self.frames(waker.stack(), false).iter().map(Step::of));
                path
            }
        };
        let show_runtime = self.options.show_runtime;
        path.retain(|step| match step.kind {
            // That a driver wakes by its own functions is what its name says.
            FrameKind::Function(Category::Runtime | Category::Plumbing) => show_runtime,
            _ => true,
        });
        path.reverse();
        path
    }

    fn frames(&self, stack: StackId, is_busy: bool) -> Vec<Shown> {
        let (functions, calls) = (&self.analysis.functions, self.analysis.calls(stack));
        if is_busy {
            let in_full = matches!(self.options.by, By::Running | By::Cpu | By::Blocked);
            visible_busy(functions, &calls, self.options.show_runtime, in_full)
        } else {
            visible(functions, &calls, self.options.show_runtime)
        }
    }
}

/// Whether the stack of such a row is that of a thread in a poll.
pub(super) fn is_busy(activity: Activity) -> bool {
    matches!(activity, Activity::OnCpu | Activity::Blocked)
}
