//! What the machine needs for the few things that no tap can do without.

use std::hint::black_box;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

const TIMES: u32 = 1_000_000;
const REPEATS: usize = 20;

/// Of one reading of the time-stamp counter (elsewhere: of the clock), in ns.
pub fn clock_ns() -> f64 {
    shortest_ns(|| {
        #[cfg(target_arch = "x86_64")]
        // SAFETY: every x86-64 processor has the instruction; it reads a counter and touches no memory.
        black_box(unsafe { core::arch::x86_64::_rdtsc() });
        #[cfg(not(target_arch = "x86_64"))]
        black_box(Instant::now());
    })
}

/// Of one atomic addition to a word that no other processor uses, in ns.
pub fn atomic_ns() -> f64 {
    let word = AtomicU64::new(0);
    shortest_ns(|| _ = black_box(&word).fetch_add(1, Ordering::AcqRel))
}

/// Of one, in the repeat that was disturbed least.
fn shortest_ns(mut one: impl FnMut()) -> f64 {
    let repeats = (0..REPEATS).map(|_| {
        let started = Instant::now();
        (0..TIMES).for_each(|_| one());
        started.elapsed().as_secs_f64() * 1e9 / f64::from(TIMES)
    });
    repeats.fold(f64::INFINITY, f64::min)
}
