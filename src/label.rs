//! Labels.

use std::ptr;

use crate::linked::agent;

/// Labels the task that is being polled on this thread, from now on, and the tasks that it will spawn.
///
/// The label stays until one with the same key replaces it or [`unlabel`] takes it away: a task that serves one
/// request after the other is labelled anew for each, and what it does meanwhile is told apart in the profile. Outside
/// of all tasks, what is labelled is the thread: its root task (the future under `block_on`), and what is spawned there.
///
/// A label belongs to a whole task. Of several futures that one task polls at a time (`join!`), the last to say counts.
///
/// Texts are cut at 256 bytes. A recording tells some thousands of labels apart; the values of further ones are `…`.
/// So label with `/users/{id}`, not with `/users/42`.
///
/// ```
/// async fn handle(route: &str, user: u64) {
///     asyncprof::label("route", route);
///     asyncprof::label("tier", if user == 1 { "internal" } else { "customer" });
/// }
/// # futures_executor::block_on(handle("/users/{id}", 42));
/// ```
#[inline]
pub fn label(key: &str, value: &str) {
    if let Some(agent) = agent() {
        // SAFETY: two texts.
        unsafe { (agent.label)(key.as_ptr(), key.len(), value.as_ptr(), value.len()) }
    }
}

/// Takes the label with this key away from the task that is being polled on this thread.
///
/// What a server waits for between two requests belongs to neither:
///
/// ```
/// # async fn next_request() -> Option<String> { None }
/// # async fn answer(_: String) {}
/// async fn serve_connection() {
///     while let Some(request) = next_request().await {
///         asyncprof::label("route", &request);
///         answer(request).await;
///         asyncprof::work(1);
///         asyncprof::unlabel("route");
///     }
/// }
/// # futures_executor::block_on(serve_connection());
/// ```
#[inline]
pub fn unlabel(key: &str) {
    if let Some(agent) = agent() {
        // SAFETY: a text, and none.
        unsafe { (agent.label)(key.as_ptr(), key.len(), ptr::null(), 0) }
    }
}
