//! The tasks that live at one moment, with names.

use std::collections::HashMap;

use asyncprof_core::aggregate::RawLiveTask;
use asyncprof_core::profile::{GroupId, Profile, StackId, State};
use asyncprof_core::region::Region;

use crate::assemble::{Circumstances, assemble_live};
use crate::sampler::Recorded;
use crate::symbolize::DebugFiles;

/// As the sampler gives them out, before names.
#[derive(Debug)]
pub struct LiveTasks {
    pub(crate) recorded: Recorded,
    pub(crate) tasks: Vec<RawLiveTask>,
    alive: usize,
}

/// A profile with an open episode for each task, and the tasks.
#[derive(Debug)]
pub struct NamedLive {
    pub profile: Profile,
    /// Longest in their state first.
    pub tasks: Vec<LiveTask>,
    /// How many there were, listed or not.
    pub alive: usize,
}

#[derive(Clone, Copy, Debug)]
pub struct LiveTask {
    pub group: GroupId,
    pub id: u64,
    pub state: State,
    pub stack: StackId,
    pub in_state_ns: u64,
}

impl LiveTasks {
    pub(crate) fn new(recorded: Recorded, tasks: Vec<RawLiveTask>, alive: usize) -> LiveTasks {
        LiveTasks {
            recorded,
            tasks,
            alive,
        }
    }

    /// Gives all of it names.
    pub fn named(self, region: &Region) -> NamedLive {
        let circumstances = Circumstances {
            command: Vec::new(),
            started_unix_ns: 0,
            sampling_hz: 0,
            notes: Vec::new(),
            debug_files: DebugFiles::default(),
        };
        let (profile, stacks): (Profile, HashMap<_, _>) =
            assemble_live(&self.recorded, region, circumstances);
        let named = |task: &RawLiveTask| LiveTask {
            group: GroupId(task.group.group),
            id: task.id,
            state: task.state,
            stack: stacks.get(&task.stack).copied().unwrap_or_default(),
            in_state_ns: task.in_state_ns,
        };
        NamedLive {
            tasks: self.tasks.iter().map(named).collect(),
            profile,
            alive: self.alive,
        }
    }
}
