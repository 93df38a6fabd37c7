//! What recording costs the programs, estimated from what their taps have written.

use std::collections::HashMap;
use std::fs;
use std::time::Duration;

use asyncprof_core::event::Kind;

/// Between two looks at the programs' CPU time, which the kernel tells to a hundredth of a second.
const BETWEEN_LOOKS: Duration = Duration::from_millis(250);
/// Over so long what it costs is put in relation.
const SPAN: Duration = Duration::from_secs(1);
/// `USER_HZ` is 100 on x86-64, whatever the kernel was built with.
const TICK_NS: u64 = 10_000_000;

/// What an event costs its thread, its stack included, with caches that the program uses, too. `benches/taps` counts the
/// instructions, `benches/runner` the CPU time: ping-pong pays 75 ns for a poll, a suspension and a wake-up (852
/// instructions), a storm of tasks 260 ns for each. What an interruption for a sample makes the processor forget
/// is not in it.
const fn cost_ns(kind: Kind) -> u64 {
    match kind {
        Kind::Spawn => 200,
        Kind::Await | Kind::RootAwait | Kind::RelayAwait => 25,
        Kind::PollEnd | Kind::PollPending | Kind::End | Kind::RelayDrop | Kind::Passed => 10,
        Kind::Sample => 3000,
        _ => 20,
    }
}

/// In all recorded processes, up to one instant.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Burden {
    /// Estimated.
    pub(crate) overhead_ns: u64,
    pub(crate) cpu_ns: u64,
}

impl Burden {
    pub(crate) fn since(self, before: Burden) -> Burden {
        Burden {
            overhead_ns: self.overhead_ns.saturating_sub(before.overhead_ns),
            cpu_ns: self.cpu_ns.saturating_sub(before.cpu_ns),
        }
    }

    /// Overhead : CPU time.
    fn share(self) -> f64 {
        self.overhead_ns as f64 / self.cpu_ns.max(TICK_NS) as f64
    }
}

#[derive(Clone, Debug, Default)]
pub(crate) struct Meter {
    written_ns: u64,
    /// CPU time by pid, when it was last looked at.
    seen: HashMap<u32, u64>,
    looked_at: Option<Duration>,
    burden: Burden,
    /// At the start of the span.
    span: (Duration, Burden),
}

impl Meter {
    pub(crate) fn wrote(&mut self, kind: Kind, count: u64) {
        self.written_ns += cost_ns(kind) * count;
    }

    /// As of the last look.
    pub(crate) fn burden(&self) -> Burden {
        self.burden
    }

    /// To be called often: looks at the processes now and then. At the end of a span, its share.
    pub(crate) fn look(&mut self, at: Duration, pids: impl Iterator<Item = u32>) -> Option<f64> {
        if self.looked_at.is_some_and(|last| at < last + BETWEEN_LOOKS) {
            return None;
        }
        self.looked_at = Some(at);
        let mut seen = HashMap::new();
        for (pid, now_ns) in pids.filter_map(|pid| Some((pid, cpu_ns(pid)?))) {
            // A program that records itself has run before.
            let new_ns = if pid == std::process::id() { now_ns } else { 0 };
            let before_ns = self.seen.get(&pid).copied().unwrap_or(new_ns);
            self.burden.cpu_ns += now_ns.saturating_sub(before_ns);
            // What is written after a last look has no CPU time to stand beside.
            self.burden.overhead_ns = self.written_ns;
            seen.insert(pid, now_ns);
        }
        self.seen = seen;
        let (from, before) = self.span;
        if at < from + SPAN {
            return None;
        }
        self.span = (at, self.burden);
        Some(self.burden.since(before).share())
    }
}

/// That a process has used so far; None if it is gone.
fn cpu_ns(pid: u32) -> Option<u64> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // The name, in parentheses, may contain any of its own. What follows begins with the third field.
    let mut fields = stat.rsplit(')').next()?.split_whitespace().skip(11);
    let mut ticks = || fields.next()?.parse::<u64>().ok();
    Some((ticks()? + ticks()?) * TICK_NS)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_share_is_that_of_the_last_second() {
        let own = std::process::id();
        let mut meter = Meter::default();
        assert_eq!(meter.look(Duration::ZERO, [own].into_iter()), None);
        // Two ticks at least: less is taken for one.
        let before = cpu_ns(own).unwrap();
        while cpu_ns(own).unwrap() < before + 2 * TICK_NS {
            std::hint::black_box(0);
        }
        meter.wrote(Kind::Spawn, 1000);
        assert_eq!(meter.look(Duration::from_millis(100), [own].into_iter()), None);
        let share = meter.look(Duration::from_secs(1), [own].into_iter()).unwrap();
        let burden = meter.burden();
        assert_eq!(burden.overhead_ns, 200_000);
        assert!(burden.cpu_ns >= 2 * TICK_NS, "{burden:?}");
        assert_eq!(share, 200_000.0 / burden.cpu_ns as f64);
        let next = meter.look(Duration::from_secs(2), [own].into_iter()).unwrap();
        assert_eq!(next, 0.0, "nothing was written since");
    }

    #[test]
    fn a_process_that_is_gone_has_no_time() {
        assert_eq!(cpu_ns(u32::MAX), None);
    }
}
