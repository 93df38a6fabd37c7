//! What the same things are called in the runtime that a task belongs to.

use asyncprof_core::profile::{GroupId, Process, Profile};

/// A runtime with words of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Runtime {
    Tokio,
    Asyncio,
}

impl Runtime {
    pub(super) fn of_group(profile: &Profile, group: GroupId) -> Runtime {
        let process = profile.group(group).process;
        Runtime::of(&profile.processes[process.index()])
    }

    /// Asyncio, if there is nothing else in the profile.
    pub(super) fn of_all(profile: &Profile) -> Runtime {
        let is_asyncio = |process: &Process| Runtime::of(process) == Runtime::Asyncio;
        match !profile.processes.is_empty() && profile.processes.iter().all(is_asyncio) {
            true => Runtime::Asyncio,
            false => Runtime::Tokio,
        }
    }

    fn of(process: &Process) -> Runtime {
        match process.runtime.starts_with("asyncio") {
            true => Runtime::Asyncio,
            false => Runtime::Tokio,
        }
    }

    /// What runs tasks.
    pub(super) fn worker(self) -> &'static str {
        self.either("worker", "event loop")
    }

    /// The first for tokio, the second for asyncio.
    pub(super) fn either(self, tokio: &'static str, asyncio: &'static str) -> &'static str {
        match self {
            Runtime::Tokio => tokio,
            Runtime::Asyncio => asyncio,
        }
    }
}
