//! Futures that are recorded as tasks on any executor.

use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use asyncprof_agent::api::Polling;

use crate::linked::agent;
use crate::task::Task;

/// Records futures as tasks of their own, on any executor.
///
/// ```
/// use asyncprof::Profile;
///
/// // Given to the executor, whichever it is.
/// let task = std::thread::spawn(|| futures_executor::block_on(async { "done" }.profiled("job")));
/// assert_eq!(task.join().unwrap(), "done");
/// ```
pub trait Profile: Future + Sized {
    /// The same future, recorded as a task with this name: when it is polled, where it waits, what wakes it.
    ///
    /// To be called where the future is spawned, which counts as the spawn. Futures that are recorded anyway, because
    /// they are part of a task that is (of tokio's own, or of a `profiled` one), are not recorded a second time: there
    /// the wrapper does nothing, and the name is not used.
    ///
    /// ```
    /// use asyncprof::Profile;
    ///
    /// let answer = futures_executor::block_on(async { 42 }.profiled("answer"));
    /// assert_eq!(answer, 42);
    /// ```
    #[inline]
    fn profiled(self, name: &str) -> Profiled<Self> {
        Profiled::new(self, Some(name))
    }
}

impl<F: Future> Profile for F {}

/// A future that is recorded as a task; see [`Profile::profiled`].
///
/// ```
/// use asyncprof::{Profile, Profiled};
///
/// /// It can stand wherever a future can.
/// struct Connection<F>(std::pin::Pin<Box<Profiled<F>>>);
///
/// # let connection =
/// Connection(Box::pin(async {}.profiled("connection")));
/// # futures_executor::block_on(connection.0);
/// ```
#[must_use = "futures do nothing unless polled"]
pub struct Profiled<F> {
    future: F,
    state: State,
}

enum State {
    /// Not polled yet.
    Spawned(Arc<Task>),
    Recorded(Arc<Task>),
    /// Done, not recorded, or recorded as part of another task.
    Plain,
}

impl<F: Future> Profiled<F> {
    #[inline]
    pub(crate) fn new(future: F, name: Option<&str>) -> Profiled<F> {
        let state = match agent() {
            Some(agent) => State::Spawned(Task::spawned(agent, name)),
            None => State::Plain,
        };
        Profiled { future, state }
    }
}

impl<F: Future> Future for Profiled<F> {
    type Output = F::Output;

    #[inline]
    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<F::Output> {
        // SAFETY: the future is not moved out of here, nor is it dropped other than in its place; the rest may move.
        let (future, state) = unsafe {
            let this = self.get_unchecked_mut();
            (Pin::new_unchecked(&mut this.future), &mut this.state)
        };
        if let State::Spawned(task) = state {
            *state = if task.is_seen(cx.waker()) {
                State::Plain
            } else {
                State::Recorded(Arc::clone(task))
            };
        }
        match state {
            State::Recorded(task) => {
                let polled = poll_task(task, future, cx);
                if !matches!(polled, Ok(Poll::Pending)) {
                    *state = State::Plain;
                }
                polled.unwrap_or_else(|panic| resume_unwind(panic))
            }
            _ => future.poll(cx),
        }
    }
}

type Panic = Box<dyn Any + Send>;

/// Polls the future as the task. A panic is caught on its way through the agent.
#[inline(never)]
fn poll_task<F: Future>(
    task: &Arc<Task>,
    mut future: Pin<&mut F>,
    cx: &Context<'_>,
) -> Result<Poll<F::Output>, Panic> {
    task.set_outer(cx.waker());
    let waker = task.waker();
    let mut polled = Ok(Poll::Pending);
    task.poll(false, || {
        polled = catch_unwind(AssertUnwindSafe(|| {
            future.as_mut().poll(&mut Context::from_waker(&waker))
        }));
        match polled {
            Ok(Poll::Pending) => Polling::Pending,
            Ok(Poll::Ready(_)) => Polling::Ready,
            Err(_) => Polling::Panicked,
        }
    });
    polled
}

impl<F> Drop for Profiled<F> {
    fn drop(&mut self) {
        if let State::Spawned(task) | State::Recorded(task) = &self.state {
            task.cancelled();
        }
    }
}

impl<F> std::fmt::Debug for Profiled<F> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Profiled").finish_non_exhaustive()
    }
}
