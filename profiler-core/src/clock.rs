//! The recording's clock: the time-stamp counter where the processor keeps it steady, else `CLOCK_MONOTONIC`.
//!
//! Both processes read the same counter; only ours converts it to nanoseconds, with a rate that it measures.

use std::time::{Duration, Instant};

/// Where ticks come from. Chosen by the recording process, the same for all.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u64)]
pub enum ClockSource {
    Tsc = 1,
    Monotonic = 2,
}

impl ClockSource {
    /// The best source of this machine.
    pub fn detect() -> ClockSource {
        if tsc_is_invariant() {
            ClockSource::Tsc
        } else {
            ClockSource::Monotonic
        }
    }

    pub fn from_word(word: u64) -> Option<ClockSource> {
        [ClockSource::Tsc, ClockSource::Monotonic]
            .into_iter()
            .find(|source| *source as u64 == word)
    }

    pub fn name(self) -> &'static str {
        match self {
            ClockSource::Tsc => "tsc",
            ClockSource::Monotonic => "monotonic",
        }
    }

    /// Ticks in `time`, by the rate of the next fifth of a millisecond or more.
    pub fn ticks_in(self, time: Duration) -> u64 {
        const MEASURED: Duration = Duration::from_micros(200);
        let (start, first) = (Instant::now(), simultaneous_reading(self));
        while start.elapsed() < MEASURED {
            std::hint::spin_loop();
        }
        let last = simultaneous_reading(self);
        let (ticks, ns) = (last.0.saturating_sub(first.0), last.1.saturating_sub(first.1));
        (u128::from(ticks) * time.as_nanos() / u128::from(ns.max(1))) as u64
    }

    /// The counter now. No system call with either source (the monotonic clock is read through the vDSO).
    #[inline]
    pub fn ticks(self) -> u64 {
        match self {
            ClockSource::Tsc => read_tsc(),
            ClockSource::Monotonic => monotonic_ns(),
        }
    }
}

/// `CLOCK_MONOTONIC` in ns.
pub fn monotonic_ns() -> u64 {
    let mut now = libc::timespec {
        tv_sec: 0,
        tv_nsec: 0,
    };
    // SAFETY: `now` is a valid timespec to write to; this clock exists on every Linux.
    unsafe { libc::clock_gettime(libc::CLOCK_MONOTONIC, &mut now) };
    now.tv_sec as u64 * 1_000_000_000 + now.tv_nsec as u64
}

#[cfg(target_arch = "x86_64")]
#[inline]
fn read_tsc() -> u64 {
    // SAFETY: every x86-64 processor has the instruction; it reads a counter and touches no memory.
    unsafe { core::arch::x86_64::_rdtsc() }
}

#[cfg(not(target_arch = "x86_64"))]
fn read_tsc() -> u64 {
    monotonic_ns()
}

/// CPUID leaf 0x8000_0007, EDX bit 8: the counter runs at one rate in all power states.
#[cfg(target_arch = "x86_64")]
fn tsc_is_invariant() -> bool {
    use core::arch::x86_64::__cpuid;
    __cpuid(0x8000_0000).eax >= 0x8000_0007 && __cpuid(0x8000_0007).edx & 1 << 8 != 0
}

#[cfg(not(target_arch = "x86_64"))]
fn tsc_is_invariant() -> bool {
    false
}

/// Turns ticks since a base into nanoseconds.
#[derive(Clone, Copy, Debug)]
pub struct TickRate {
    /// ns per tick, as a fixed-point number with 32 fractional bits.
    ns_per_tick_q32: u64,
}

impl TickRate {
    /// One tick is one nanosecond.
    pub const NANOSECONDS: TickRate = TickRate {
        ns_per_tick_q32: 1 << 32,
    };

    /// From two readings of both clocks, (ticks, ns) each. None if they are too close to tell a rate.
    pub fn between(first: (u64, u64), second: (u64, u64)) -> Option<TickRate> {
        let ticks = second.0.checked_sub(first.0).filter(|&ticks| ticks > 1000)?;
        let ns = second.1.checked_sub(first.1).filter(|&ns| ns > 1000)?;
        let rate = (u128::from(ns) << 32) / u128::from(ticks);
        Some(TickRate {
            ns_per_tick_q32: u64::try_from(rate).ok()?,
        })
    }

    #[inline]
    pub fn ns(self, ticks: u64) -> u64 {
        ((u128::from(ticks) * u128::from(self.ns_per_tick_q32)) >> 32) as u64
    }
}

/// The source's ticks and `CLOCK_MONOTONIC` at one moment: of several tries the one with the least doubt.
pub fn simultaneous_reading(source: ClockSource) -> (u64, u64) {
    (0..16)
        .map(|_| {
            let before = source.ticks();
            let ns = monotonic_ns();
            let after = source.ticks();
            (
                after.saturating_sub(before),
                before + after.saturating_sub(before) / 2,
                ns,
            )
        })
        .min()
        .map(|(_, ticks, ns)| (ticks, ns))
        .expect("sixteen tries were made")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rate_converts_back_to_the_readings() {
        let rate = TickRate::between((1_000, 500), (3_000_001_000, 1_000_000_500)).unwrap();
        assert!(rate.ns(3_000_000_000).abs_diff(1_000_000_000) <= 1);
        assert_eq!(TickRate::NANOSECONDS.ns(u64::MAX >> 8), u64::MAX >> 8);
        assert!(TickRate::between((5, 5), (5, 6)).is_none());
    }

    #[test]
    fn ticks_in_a_moment_are_those_of_the_rate() {
        let ticks = ClockSource::Monotonic.ticks_in(Duration::from_millis(1));
        // How late a thread gets its turn does not matter.
        assert!(ticks.abs_diff(1_000_000) < 20_000, "{ticks}");
    }

    #[test]
    fn ticks_never_run_backwards_on_one_thread() {
        let source = ClockSource::detect();
        let readings: Vec<u64> = (0..1000).map(|_| source.ticks()).collect();
        assert!(readings.is_sorted());
    }
}
