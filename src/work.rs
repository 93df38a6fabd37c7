//! Units of work.

use crate::linked::agent;

/// Counts units of work (requests, jobs, messages) as done by the task that is being polled on this thread.
///
/// Reports and comparisons then speak per unit of work instead of per second. Outside of all tasks, the work counts for
/// the program. The time since the task's last [`label`](crate::label()), or since its last work, is taken for how long
/// this piece of work took, and the report tells the percentiles.
///
/// ```
/// async fn serve(request: String) -> usize {
///     let answer = request.len();
///     asyncprof::work(1);
///     answer
/// }
/// # futures_executor::block_on(serve("GET /".into()));
/// ```
#[inline]
pub fn work(units: u64) {
    if let Some(agent) = agent() {
        (agent.work)(units);
    }
}
