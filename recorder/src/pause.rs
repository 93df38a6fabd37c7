//! How our threads wait: a channel spins for a while before it waits, and gives way several times, at each turn. That costs
//! more than most turns, and on busy CPUs each time takes the program from one.

use std::thread;
use std::time::{Duration, Instant};

/// Waits until `at`, or until `awaited` gives something: it is asked anew whenever this thread is unparked.
pub(crate) fn pause_until<T>(at: Instant, mut awaited: impl FnMut() -> Option<T>) -> Option<T> {
    loop {
        if let Some(found) = awaited() {
            return Some(found);
        }
        let pause = at.saturating_duration_since(Instant::now());
        if pause == Duration::ZERO {
            return None;
        }
        thread::park_timeout(pause);
    }
}
