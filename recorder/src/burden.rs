//! What recording costs the programs, estimated from what their taps have written.

use std::collections::HashMap;
use std::time::Duration;

use asyncprof_core::event::Kind;

/// Between two looks at the programs' CPU time.
const BETWEEN_LOOKS: Duration = Duration::from_millis(50);

/// What an event costs its thread, its stack included. A poll, a suspension and a wake-up are 68 ns in `benches/loads`'
/// ping-pong on two processors, 44 ns where one thread does nothing else; a task's spawn and only poll 57 ns there. Other
/// programs use the caches, too. What an interruption for a sample makes the processor forget is not in it.
const fn cost_ns(kind: Kind) -> u64 {
    match kind {
        Kind::Spawn => 40,
        Kind::Await | Kind::RootAwait | Kind::RelayAwait => 25,
        Kind::PollEnd | Kind::PollPending | Kind::End | Kind::RelayDrop | Kind::Passed => 10,
        Kind::Sample => 3000,
        _ => 20,
    }
}

/// What taps of a task that is left out cost, though they write nothing, in place of such an event: 36 ns a spawn and first
/// poll, 14 ns a poll, suspension and wake-up.
const fn unwritten_ns(kind: Kind) -> u64 {
    match kind {
        Kind::Spawn => 20,
        Kind::PollStart => 15,
        Kind::Sample => cost_ns(Kind::Sample),
        _ => 0,
    }
}

/// One of those above: nobody knows which.
const LOST_NS: u64 = 20;

/// In all recorded processes, up to one instant.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Burden {
    /// Estimated.
    pub(crate) overhead_ns: u64,
    /// What of it there would not have been, had the tasks been left out: by their spawns, and by all that they did then.
    pub(crate) of_spawns_ns: u64,
    pub(crate) of_tasks_ns: u64,
    pub(crate) cpu_ns: u64,
}

impl Burden {
    pub(crate) fn since(self, before: Burden) -> Burden {
        Burden {
            overhead_ns: self.overhead_ns.saturating_sub(before.overhead_ns),
            of_spawns_ns: self.of_spawns_ns.saturating_sub(before.of_spawns_ns),
            of_tasks_ns: self.of_tasks_ns.saturating_sub(before.of_tasks_ns),
            cpu_ns: self.cpu_ns.saturating_sub(before.cpu_ns),
        }
    }
}

#[derive(Clone, Debug, Default)]
pub(crate) struct Meter {
    /// Up to now, but for the CPU time.
    so_far: Burden,
    /// CPU time by pid, when it was last looked at.
    seen: HashMap<u32, u64>,
    looked_at: Option<Duration>,
    burden: Burden,
}

impl Meter {
    pub(crate) fn wrote(&mut self, kind: Kind, count: u64) {
        self.so_far.overhead_ns += cost_ns(kind) * count;
        let saved_ns = cost_ns(kind).saturating_sub(unwritten_ns(kind)) * count;
        match kind {
            Kind::Spawn => self.so_far.of_spawns_ns += saved_ns,
            _ => self.so_far.of_tasks_ns += saved_ns,
        }
    }

    /// So many events found no room, which is known only after what it took to have them.
    pub(crate) fn lost(&mut self, events: u64) {
        self.so_far.overhead_ns += events * LOST_NS;
    }

    /// So many tasks were left out, and polls of such.
    pub(crate) fn left_out(&mut self, tasks: u64, polls: u64) {
        self.so_far.overhead_ns += tasks * unwritten_ns(Kind::Spawn) + polls * unwritten_ns(Kind::PollStart);
    }

    /// As of the last look.
    pub(crate) fn burden(&self) -> Burden {
        self.burden
    }

    /// The next call of [`Meter::look`] does.
    pub(crate) fn look_soon(&mut self) {
        self.looked_at = None;
    }

    /// To be called often: looks at the processes, each with its CPU time, now and then, and returns what it found.
    pub(crate) fn look(
        &mut self,
        at: Duration,
        processes: impl Iterator<Item = (u32, u64)>,
    ) -> Option<Burden> {
        if self.looked_at.is_some_and(|last| at < last + BETWEEN_LOOKS) {
            return None;
        }
        self.looked_at = Some(at);
        let mut seen = HashMap::new();
        for (pid, now_ns) in processes {
            // A program that records itself has run before.
            let new_ns = if pid == std::process::id() { now_ns } else { 0 };
            let before_ns = self.seen.get(&pid).copied().unwrap_or(new_ns);
            // What is written after a last look has no CPU time to stand beside.
            self.burden = Burden {
                cpu_ns: self.burden.cpu_ns + now_ns.saturating_sub(before_ns),
                ..self.so_far
            };
            seen.insert(pid, now_ns);
        }
        self.seen = seen;
        Some(self.burden)
    }
}

/// That a process has used so far; of our own, but for this thread. None if it is gone.
pub(crate) fn cpu_ns(pid: u32) -> Option<u64> {
    let mut clock = 0;
    // SAFETY: writes an int.
    let refused = unsafe { libc::clock_getcpuclockid(pid.try_into().ok()?, &mut clock) };
    let all_ns = (refused == 0).then(|| time_ns(clock)).flatten()?;
    if pid != std::process::id() {
        return Some(all_ns);
    }
    Some(all_ns.saturating_sub(time_ns(libc::CLOCK_THREAD_CPUTIME_ID)?))
}

fn time_ns(clock: libc::clockid_t) -> Option<u64> {
    let mut time = libc::timespec {
        tv_sec: 0,
        tv_nsec: 0,
    };
    // SAFETY: writes a `timespec`.
    let refused = unsafe { libc::clock_gettime(clock, &mut time) };
    let time = Duration::new(time.tv_sec.try_into().ok()?, time.tv_nsec.try_into().ok()?);
    (refused == 0).then(|| u64::try_from(time.as_nanos()).ok())?
}

#[cfg(test)]
mod tests {
    use std::process::Command;
    use std::thread;

    use super::*;

    #[test]
    fn what_was_written_stands_beside_the_cpu_time() {
        let at = Duration::from_millis;
        let mut meter = Meter::default();
        let own = std::process::id();
        let other = own + 1;
        meter.wrote(Kind::Spawn, 1000);
        meter.wrote(Kind::Sample, 1);
        meter.left_out(100, 200);
        meter.lost(100);
        let first = meter.look(at(0), [(own, 70), (other, 50)].into_iter()).unwrap();
        assert_eq!(first.cpu_ns, 50, "this one has run before");
        assert_eq!(
            (first.overhead_ns, first.of_spawns_ns, first.of_tasks_ns),
            (50_000, 20_000, 0)
        );
        meter.wrote(Kind::Spawn, 1);
        assert!(meter.look(at(49), [(own, 75)].into_iter()).is_none());
        let second = meter.look(at(50), [(own, 75)].into_iter()).unwrap();
        assert_eq!((second.overhead_ns, second.cpu_ns), (50_040, 55));
        meter.wrote(Kind::Spawn, 1);
        let third = meter.look(at(100), std::iter::empty()).unwrap();
        assert_eq!(third.overhead_ns, second.overhead_ns, "all have ended");
    }

    /// Of this process, that is that of the other threads.
    #[test]
    fn the_cpu_time_is_that_of_a_process() {
        let own = std::process::id();
        let before = cpu_ns(own).unwrap();
        thread::scope(|threads| {
            threads.spawn(|| {
                let started = time_ns(libc::CLOCK_THREAD_CPUTIME_ID).unwrap();
                while time_ns(libc::CLOCK_THREAD_CPUTIME_ID).unwrap() < started + 5_000_000 {}
            });
        });
        assert!(cpu_ns(own).unwrap() >= before + 5_000_000);
        assert!(cpu_ns(std::os::unix::process::parent_id()).is_some());
    }

    #[test]
    fn a_process_that_is_gone_has_no_time() {
        let mut child = Command::new("true").spawn().unwrap();
        child.wait().unwrap();
        assert_eq!(cpu_ns(child.id()), None);
        assert_eq!(cpu_ns(u32::MAX), None);
    }
}
