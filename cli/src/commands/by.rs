//! `--by TIME`: which part of the tasks' time.

use asyncprof_core::view::By;
use clap::ValueEnum;
use clap::builder::{PossibleValuesParser, TypedValueParser};

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(super) enum ByArg {
    /// All of it: waiting, scheduled and running
    Wall,
    /// Waiting at an await
    Wait,
    /// Waiting for input and output
    Io,
    /// Ready to run, without a worker
    Sched,
    /// Being polled
    Running,
    /// Being polled, on the CPU
    Cpu,
    /// Being polled, the thread off the CPU: in a blocking call, a page fault, or preempted
    Blocked,
    /// Waiting at an await, and the stack of whoever ended the wait upside down below it
    Wake,
    /// Ready to run, without a worker, and what that worker ran meanwhile
    Delay,
}

/// Without those that continue stacks in other tasks.
pub(super) fn a_state() -> impl TypedValueParser<Value = ByArg> {
    let states = ByArg::value_variants()
        .iter()
        .filter(|by| !matches!(by, ByArg::Wake | ByArg::Delay));
    let names = states.filter_map(ValueEnum::to_possible_value);
    PossibleValuesParser::new(names)
        .map(|name| ByArg::from_str(&name, false).expect("the name of one of these"))
}

impl From<ByArg> for By {
    fn from(by: ByArg) -> By {
        match by {
            ByArg::Wall => By::Wall,
            ByArg::Wait => By::Wait,
            ByArg::Io => By::Io,
            ByArg::Sched => By::Sched,
            ByArg::Running => By::Running,
            ByArg::Cpu => By::Cpu,
            ByArg::Blocked => By::Blocked,
            ByArg::Wake => By::Wake,
            ByArg::Delay => By::Delay,
        }
    }
}
