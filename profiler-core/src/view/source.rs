//! Who ended a wait: another task, or a part of the runtime or a thread that polls no task, told from the stack of
//! the wake by a table of rules.

use super::category::{Category, is_under};
use super::functions::{Call, Functions};
use crate::profile::{GroupId, Profile, StackId, Waker};

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum WakeSource {
    /// A task, a blocking task too.
    Task(GroupId),
    /// A future under `block_on`: which one is not known.
    Root,
    IoDriver,
    Timer,
    SignalDriver,
    /// The scheduler, which wakes what has yielded.
    Scheduler,
    /// A thread of the blocking pool, outside of any closure that is known as a task.
    BlockingPool,
    /// A thread outside of the runtime.
    Thread,
}

impl WakeSource {
    /// For programs.
    pub fn id(self) -> &'static str {
        match self {
            WakeSource::Task(_) => "task",
            WakeSource::Root => "root",
            WakeSource::IoDriver => "io_driver",
            WakeSource::Timer => "timer",
            WakeSource::SignalDriver => "signal_driver",
            WakeSource::Scheduler => "scheduler",
            WakeSource::BlockingPool => "blocking_pool",
            WakeSource::Thread => "thread",
        }
    }

    /// For people; of a task its group's name says more.
    pub fn name(self) -> &'static str {
        match self {
            WakeSource::Task(_) => "[task]",
            WakeSource::Root => "[root task]",
            WakeSource::IoDriver => "[I/O driver]",
            WakeSource::Timer => "[timer]",
            WakeSource::SignalDriver => "[signal driver]",
            WakeSource::Scheduler => "[scheduler]",
            WakeSource::BlockingPool => "[blocking pool]",
            WakeSource::Thread => "[thread]",
        }
    }
}

/// What the functions on the stack of a wake tell, where no task was being polled: the innermost one that is named
/// here decides, because drivers call each other (time polls I/O) and may call a waker of the app's own.
const RULES: &[(&str, WakeSource)] = &[
    ("tokio::runtime::io", WakeSource::IoDriver),
    ("tokio::io::driver", WakeSource::IoDriver),
    ("async_io::reactor", WakeSource::IoDriver),
    ("asyncio.selector_events", WakeSource::IoDriver),
    ("asyncio.unix_events", WakeSource::IoDriver),
    ("asyncio.streams", WakeSource::IoDriver),
    ("asyncio.sslproto", WakeSource::IoDriver),
    ("asyncio.futures._set_result_unless_cancelled", WakeSource::Timer),
    ("asyncio.timeouts", WakeSource::Timer),
    ("asyncio.futures._chain_future", WakeSource::BlockingPool),
    ("anyio._backends._asyncio.WorkerThread", WakeSource::BlockingPool),
    ("tokio::runtime::time", WakeSource::Timer),
    ("tokio::runtime::time_alt", WakeSource::Timer),
    ("tokio::time::driver", WakeSource::Timer),
    ("tokio::runtime::signal", WakeSource::SignalDriver),
    ("tokio::signal::unix::driver", WakeSource::SignalDriver),
    ("tokio::runtime::context::defer", WakeSource::Scheduler),
    ("tokio::runtime::scheduler::defer", WakeSource::Scheduler),
    ("tokio::runtime::blocking::pool", WakeSource::BlockingPool),
    ("tokio::runtime::blocking::task", WakeSource::BlockingPool),
    ("tokio::runtime::runtime::Runtime::block_on", WakeSource::Root),
    ("tokio::runtime::handle::Handle::block_on", WakeSource::Root),
    ("tokio::runtime::park", WakeSource::Root),
    ("tokio::runtime::scheduler::current_thread", WakeSource::Root),
];

/// None if the wake was not seen.
pub(super) fn source_of(profile: &Profile, functions: &Functions, waker: Waker) -> Option<WakeSource> {
    match waker {
        Waker::Unknown => None,
        Waker::Task { group, .. } => Some(WakeSource::Task(group)),
        Waker::Thread { stack } => Some(source_of_thread(profile, functions, stack)),
    }
}

fn source_of_thread(profile: &Profile, functions: &Functions, stack: StackId) -> WakeSource {
    let mut calls: Vec<Call> = functions.stack(profile, stack).collect();
    calls.reverse();
    let told = calls
        .iter()
        .filter(|call| call.category != Category::App)
        .find_map(|call| {
            let name = functions.names.text(call.name);
            RULES.iter().find(|(path, _)| is_under(name, path))
        });
    told.map_or(WakeSource::Thread, |&(_, source)| source)
}

#[cfg(test)]
mod tests {
    use super::super::kind::Rules;
    use super::super::testing::ProfileBuilder;
    use super::*;

    fn source(stack: &[&str]) -> WakeSource {
        let mut builder = ProfileBuilder::new();
        let stack = builder.stack(stack);
        let profile = builder.build();
        let functions = Functions::of(&profile, &Rules::default());
        source_of(&profile, &functions, Waker::Thread { stack }).expect("a wake that was seen")
    }

    #[test]
    fn drivers_threads_and_roots() {
        const WORKER: [&str; 2] = [
            "clone3",
            "tokio::runtime::scheduler::multi_thread::worker::Context::park_internal",
        ];
        const PARK: &str = "tokio::runtime::time::Driver::park_internal";
        const SEND: &str = "tokio::sync::oneshot::Sender<T>::send";
        let on_worker = |stack: &[&str]| source(&[&WORKER[..], stack].concat());
        assert_eq!(
            on_worker(&[
                PARK,
                "tokio::runtime::io::driver::Driver::turn",
                "core::task::wake::Waker::wake"
            ]),
            WakeSource::IoDriver,
            "the time driver polls that of I/O"
        );
        assert_eq!(
            on_worker(&[PARK, "<app::Relay as alloc::task::Wake>::wake"]),
            WakeSource::Timer
        );
        assert_eq!(
            on_worker(&["tokio::runtime::scheduler::defer::Defer::wake"]),
            WakeSource::Scheduler
        );
        assert_eq!(
            source(&["clone3", "app::producer::run", SEND]),
            WakeSource::Thread
        );
        let root = [
            "main",
            "tokio::runtime::runtime::Runtime::block_on",
            "app::main::{{closure}}",
            SEND,
        ];
        assert_eq!(source(&root), WakeSource::Root);
        assert_eq!(source(&[]), WakeSource::Thread);
    }
}
