//! What stands above a task's own frames: its name, and as asked its process, where it was spawned and by whom. All
//! that the call tree knows of the ways to group tasks is one path per group.

use super::path::Shown;
use super::row_paths::RowPaths;
use super::steps::Step;
use super::tree::FrameKind;
use crate::profile::{GroupId, Process};

/// What stacks stand on.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum GroupBy {
    /// The task's name.
    #[default]
    Task,
    /// The functions that spawned the task, then its name.
    Spawn,
    /// The task's parents with the functions that spawned their children, then its name.
    Tree,
    /// The process, then the task's name.
    Process,
    /// Nothing: equal stacks of all tasks are one.
    None,
}

/// Parents further up are not shown.
const MAX_GENERATIONS: usize = 64;

impl RowPaths<'_, '_> {
    /// From the picture's root to the group's own frame, if it has one.
    pub(super) fn root_path(&mut self, id: GroupId) -> Vec<Step> {
        if let Some(path) = self.root_paths.get(&id) {
            return path.clone();
        }
        let by = self.options.group_by;
        let mut path = Vec::new();
        if by == GroupBy::Process || (by != GroupBy::None && self.several_processes) {
            path.extend(self.process_step(id));
        }
        match by {
            GroupBy::None => {}
            GroupBy::Task | GroupBy::Process => path.push(self.group_step(id)),
            GroupBy::Spawn => self.push_generation(&mut path, id),
            GroupBy::Tree => {
                let profile = self.analysis.profile;
                let upwards = std::iter::successors(Some(id), |id| profile.group(*id).parent);
                let mut line: Vec<GroupId> = upwards.take(MAX_GENERATIONS).collect();
                line.reverse();
                line.into_iter()
                    .for_each(|id| self.push_generation(&mut path, id));
            }
        }
        self.root_paths.insert(id, path.clone());
        path
    }

    /// The functions that spawned the group's tasks, and their name.
    fn push_generation(&mut self, path: &mut Vec<Step>, id: GroupId) {
        let spawned_at = self.analysis.profile.group(id).spawn_stack;
        self.push_stack(path, spawned_at, false);
        path.push(self.group_step(id));
    }

    /// A task is often named after its outermost function: one frame says both.
    pub(super) fn push_frames(&mut self, path: &mut Vec<Step>, frames: &[Shown]) {
        let analysis = self.analysis;
        let mut frames = frames.iter().peekable();
        if let (Some(last), Some(first)) = (path.last_mut(), frames.peek())
            && let FrameKind::Group(_) = last.kind
            && let Some(group) = last.group
            && !self.options.show_runtime
            && analysis.profile.string(analysis.profile.group(group).name) == analysis.name(first.name)
        {
            last.place = first.place;
            frames.next();
        }
        let exact_names = self.options.exact_names;
        path.extend(frames.map(|frame| match analysis.profile.string(frame.raw) {
            raw if exact_names && !raw.is_empty() => Step {
                name: self.names.id(raw),
                ..Step::of(frame)
            },
            _ => Step::of(frame),
        }));
    }

    pub(super) fn group_step(&mut self, id: GroupId) -> Step {
        let label = self.analysis.group_label(id);
        let kind = self.analysis.profile.group(id).kind;
        Step {
            group: Some(id),
            ..self.step(&label, FrameKind::Group(kind.into()))
        }
    }

    fn process_step(&mut self, id: GroupId) -> Option<Step> {
        let profile = self.analysis.profile;
        let process = profile.processes.get(profile.group(id).process.index())?;
        Some(self.step(&process_label(process), FrameKind::Process))
    }
}

fn process_label(process: &Process) -> String {
    let program = process.executable.rsplit('/').next().unwrap_or_default();
    format!("{program} [process {}]", process.pid)
}
