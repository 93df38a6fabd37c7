//! Recordings by dice: services whose waits come independently, with lengths as one likes.

use super::gate::Random;
use crate::profile::{Profile, State, Stats, TaskKind};
use crate::view::testing::ProfileBuilder;

const WINDOW_NS: u64 = 1_000_000_000;

/// One kind of wait of the service.
#[derive(Clone, Copy, Debug)]
pub(super) struct Wait {
    /// How many a second begin.
    pub(super) per_second: f64,
    /// Their lengths are exponentially distributed.
    pub(super) mean_ms: f64,
}

/// What was recorded in so many seconds. Waits are numbered in their stacks: `app::handle` → `app::wait_N`.
pub(super) fn recorded(waits: &[Wait], seconds: u64, seed: u64) -> Profile {
    thinned(waits, seconds, seed, 1)
}

/// The same with one in so many tasks recorded, each of which waits once.
pub(super) fn thinned(waits: &[Wait], seconds: u64, seed: u64, weight: u64) -> Profile {
    let mut random = Random(seed.wrapping_mul(0x2545_f491_4f6c_dd1d) ^ 0xa5a5);
    let mut builder = ProfileBuilder::new();
    let group = builder.group("app::handle", TaskKind::Task, 1);
    let end = seconds * WINDOW_NS;
    for (number, wait) in waits.iter().enumerate() {
        let name = format!("app::wait_{number}::{{{{closure}}}}");
        let stack = builder.stack(&[
            "app::handle::{{closure}}",
            &name,
            "<tokio::time::sleep::Sleep as core::future::future::Future>::poll",
        ]);
        let mut windows = vec![0; seconds as usize];
        let mut stats = Stats::default();
        let mut at = 0.0;
        loop {
            at += exponential(&mut random, 1e9 / wait.per_second);
            let length = exponential(&mut random, wait.mean_ms * 1e6);
            let (start, stop) = (at as u64, (at + length) as u64);
            if start >= end {
                break;
            }
            if weight > 1 && !random.next().is_multiple_of(weight) {
                continue;
            }
            let stop = stop.clamp(start, end);
            stats.add_weighted(stop - start, weight);
            for window in start / WINDOW_NS..=(stop / WINDOW_NS).min(seconds - 1) {
                let (from, to) = (window * WINDOW_NS, (window + 1) * WINDOW_NS);
                windows[window as usize] += weight * stop.min(to).saturating_sub(start.max(from));
            }
        }
        let row = builder.row(group, stack, State::Waiting, 0, 0);
        row.stats = stats;
        row.windows = (0..).zip(windows).filter(|window| window.1 > 0).collect();
    }
    let mut profile = builder.build();
    profile.meta.duration_ns = end;
    profile.meta.window_ns = WINDOW_NS;
    profile
}

fn exponential(random: &mut Random, mean: f64) -> f64 {
    let uniform = ((random.next() >> 11) as f64 + 0.5) / (1_u64 << 53) as f64;
    -mean * uniform.ln()
}
