//! Finds the agent that records this process: the preloaded one, or this crate's own.

use std::sync::atomic::{AtomicUsize, Ordering};

use asyncprof_agent::api::{API_NAME, Api};

/// What is known: the address of the agent's table, or one of these.
static KNOWN: AtomicUsize = AtomicUsize::new(UNASKED);
const UNASKED: usize = 0;
const NOBODY: usize = 1;

/// The agent that records this process, if one does.
#[inline]
pub(crate) fn agent() -> Option<&'static Api> {
    match KNOWN.load(Ordering::Relaxed) {
        NOBODY => None,
        UNASKED => ask(),
        // SAFETY: the address of a table that is never unloaded.
        known => Some(unsafe { &*(known as *const Api) }),
    }
}

#[cold]
fn ask() -> Option<&'static Api> {
    let agent = preloaded().filter(|agent| (agent.join)());
    let known = agent.map_or(NOBODY, |agent| &raw const *agent as usize);
    // The linked agent may have begun to record meanwhile.
    let _ = KNOWN.compare_exchange(UNASKED, known, Ordering::Relaxed, Ordering::Relaxed);
    agent
}

/// The table of the agent that `asyncprof record` preloads.
pub(crate) fn preloaded() -> Option<&'static Api> {
    // Nothing is preloaded into a static program, and its loader cannot be asked.
    if asyncprof_agent::is_static_program() {
        return None;
    }
    // SAFETY: a C string; the loader may be asked at any time.
    let table = unsafe { libc::dlsym(libc::RTLD_DEFAULT, API_NAME.as_ptr()) }.cast::<Api>();
    if table.is_null() {
        return None;
    }
    // SAFETY: a symbol of this name is such a table, which begins with its size, and is never unloaded.
    let is_whole = unsafe { (*table).size } >= size_of::<Api>();
    // SAFETY: as above, and all of it is there.
    is_whole.then(|| unsafe { &*table })
}

/// From now on the agent that is linked into the program records it.
pub(crate) fn use_own() {
    let own = &raw const asyncprof_agent::api::API as usize;
    KNOWN.store(own, Ordering::Relaxed);
}

/// From now on nobody records the program.
pub(crate) fn use_none() {
    KNOWN.store(NOBODY, Ordering::Relaxed);
}
