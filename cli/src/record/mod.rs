//! `asyncprof record`: runs a program with the agent in it and keeps what its tasks did.

mod agent_file;
mod assemble;
mod child;
mod delays;
mod merge;
mod notes;
mod outputs;
mod parents;
mod sampler;
mod series;
mod session;
mod stacks;
mod target;
mod task_kinds;

pub(crate) use outputs::{DEFAULT_PROFILE, write_picture};
pub(crate) use series::{Series, record_series};
pub(crate) use session::{Request, record};
pub(crate) use target::NotStartable;
