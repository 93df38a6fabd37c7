//! Closures that are recorded as blocking tasks on any executor.

use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};

use asyncprof_agent::api::Polling;

use crate::linked::agent;
use crate::task::Task;

/// The same closure, recorded as a blocking task with this name: to be given to an executor's `spawn_blocking`,
/// `smol::unblock` or the like, or to a thread.
///
/// Where closures are recorded anyway, as by tokio's `spawn_blocking`, this does nothing.
///
/// ```
/// let sum = std::thread::spawn(asyncprof::blocking("sum", || (1..=100).sum::<u32>()));
/// assert_eq!(sum.join().unwrap(), 5050);
/// ```
pub fn blocking<T, F: FnOnce() -> T>(name: &str, closure: F) -> impl FnOnce() -> T + use<T, F> {
    let task = agent().map(|agent| Task::spawned(agent, Some(name)));
    move || match task.filter(|task| !task.is_seen(std::task::Waker::noop())) {
        Some(task) => {
            let (mut closure, mut result) = (Some(closure), None);
            task.poll(true, || {
                let called = closure
                    .take()
                    .map(|closure| catch_unwind(AssertUnwindSafe(closure)));
                let polling = match called {
                    Some(Err(_)) => Polling::Panicked,
                    _ => Polling::Ready,
                };
                result = called;
                polling
            });
            match result {
                Some(Ok(value)) => value,
                Some(Err(panic)) => resume_unwind(panic),
                None => unreachable!("a poll calls its closure"),
            }
        }
        None => closure(),
    }
}
