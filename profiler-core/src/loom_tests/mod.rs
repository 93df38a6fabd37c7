//! Model checks of the lock-free parts: every interleaving, and every value that the memory model lets a load see.
//!
//! ```text
//! RUSTFLAGS="--cfg loom" cargo test -p asyncprof-core --release --lib loom
//! ```
//!
//! Each model fails if one of the orderings it is about is weakened to `Relaxed`; the test's name says which part.

mod ring;
mod slots;
mod stack_table;

use crate::sync::AtomicU64;

fn words(count: usize) -> Vec<AtomicU64> {
    (0..count).map(|_| AtomicU64::new(0)).collect()
}

/// Every interleaving with at most this many preemptions: enough for known kinds of bugs, and it ends in seconds.
fn check(preemptions: usize, model: impl Fn() + Sync + Send + 'static) {
    let mut builder = loom::model::Builder::new();
    builder.preemption_bound = Some(preemptions);
    builder.check(model);
}
