//! What a process tells about itself when the agent starts in it: once, as a message in the region.

use std::ops::Range;

use crate::python::StackLayout;
use serde::{Deserialize, Serialize};

/// Everything the recording side must know to make sense of a process's events.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProcessInfo {
    pub pid: u32,
    pub parent_pid: u32,
    pub executable: String,
    /// Ticks since the recording's start.
    pub started_ticks: u64,
    pub tap: Tap,
    pub modules: Vec<ModuleInfo>,
    /// Run-time addresses of the agent's own code: frames in it are nobody's.
    pub own_code: Range<u64>,
}

/// What came of the attempt to tap the process's runtime.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Tap {
    /// No runtime that we know is in this program.
    #[default]
    NoRuntime,
    Tokio {
        version: String,
        /// In the order of their indices in events.
        task_tables: Vec<TaskTable>,
        waker_tables: u32,
    },
    /// The program itself tells, through the library.
    Library,
    /// CPython that has imported asyncio. Its tables name themselves by events.
    Asyncio { python: String, layout: StackLayout },
    /// CPython that has not imported asyncio. One that does tells of itself again.
    Python { python: String },
    /// There may be a runtime, but we stayed out; why and what to do about it.
    Refused { reason: String },
    /// Of a process that is tapped, and has said so, something is not seen; what.
    Partial { lacks: String },
}

impl Tap {
    /// Whether events are to be expected.
    pub fn is_tapped(&self) -> bool {
        matches!(self, Tap::Tokio { .. } | Tap::Asyncio { .. } | Tap::Library)
    }
}

/// One task vtable, that is one (future type, scheduler).
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct TaskTable {
    /// Run-time address of the original poll function, which names the future where its mangling does.
    pub poll_address: u64,
}

/// One mapped object file.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ModuleInfo {
    pub path: String,
    /// Run-time address range of its code.
    pub start: u64,
    pub end: u64,
    /// Run-time address minus the file's virtual address.
    pub bias: u64,
}
