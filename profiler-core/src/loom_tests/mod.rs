//! Model checks of the lock-free parts: every interleaving, and every value that the memory model lets a load see.
//!
//! ```text
//! RUSTFLAGS="--cfg loom" cargo test -p asyncprof-core --release --lib loom
//! ```
//!
//! They fail if an ordering that they are about is weakened to `Relaxed`, with one exception: that the consumer has
//! read a record before it gives its space back (`Release` of `tail`, `Acquire` of it by the producer). loom never
//! lets a load see a store of the future, so it cannot show the fault; the C++ memory model allows it.

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
