//! Whose child a group is, where the aggregator cannot know it.

use std::collections::HashMap;

use asyncprof_core::profile::{GroupId, ProcessId, Profile, StackId, TaskKind};

/// Gives groups that no task has spawned, but a future under `block_on`, to the root tasks: no poll of those is seen,
/// and at their first spawns they may not even have been heard of, but the stack of the spawn goes through `block_on`.
/// A worker's loop is nobody's parent. To be called when kinds and names are known.
pub(crate) fn complete_parents(profile: &mut Profile) {
    let mut roots: HashMap<ProcessId, GroupId> = HashMap::new();
    for (at, group) in profile.groups.iter().enumerate() {
        if group.kind == TaskKind::Root {
            // Of several, the one that was heard of first.
            roots.entry(group.process).or_insert(GroupId(at as u32));
        }
    }
    let parents: Vec<Option<GroupId>> = profile
        .groups
        .iter()
        .map(|group| match group.parent {
            Some(parent) if profile.group(parent).kind == TaskKind::Worker => None,
            Some(parent) => Some(parent),
            None if group.kind == TaskKind::Root => None,
            None => {
                let root = roots.get(&group.process).copied();
                root.filter(|_| is_in_block_on(profile, group.spawn_stack))
            }
        })
        .collect();
    for (group, parent) in profile.groups.iter_mut().zip(parents) {
        group.parent = parent;
    }
}

fn is_in_block_on(profile: &Profile, stack: StackId) -> bool {
    let frames = profile.stack(stack).iter();
    let mut functions = frames.flat_map(|frame| &profile.frame(*frame).functions);
    functions.any(|function| {
        let name = profile.string(function.name);
        name.contains("tokio::") && name.contains("block_on")
    })
}
