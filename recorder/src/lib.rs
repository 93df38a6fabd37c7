//! From the events of a region to a profile: two threads that take them in while programs run ([`Recording`]), and
//! what gives the numbers names when they have ended ([`assemble`]).

mod assemble;
mod burden;
mod control;
mod culls;
mod delays;
mod live;
mod merge;
mod names;
mod overload;
mod parents;
mod pause;
mod processes;
mod python_names;
mod recording;
mod sampler;
mod stacks;
mod symbolize;
mod task_kinds;

pub use assemble::{Circumstances, assemble};
pub use live::{LiveTask, LiveTasks, NamedLive};
pub use names::add_names;
pub use recording::{DEFAULT_FREQ_HZ, Parts, Recording, Settings};
pub use sampler::{Progress, Recorded};
pub use symbolize::DebugFiles;
