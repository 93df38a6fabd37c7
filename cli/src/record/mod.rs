//! `asyncprof record`: runs a program with the agent in it and keeps what its tasks did.

mod agent_file;
mod child;
mod notes;
mod outputs;
mod series;
mod session;
mod target;

pub(crate) use outputs::{DEFAULT_PROFILE, write_picture};
pub(crate) use series::{Series, record_series};
pub(crate) use session::{Request, record};
pub(crate) use target::NotStartable;
