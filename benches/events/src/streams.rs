//! Events as two threads of a multi-threaded runtime write them; the same each time.

use asyncprof_core::event::{Event, Kind, Outcome, wake_aux};
use fastrand::Rng;

pub const STREAMS: [&str; 3] = ["pingpong", "echo", "storm"];

/// An event of a ring.
#[derive(Clone, Copy, Debug)]
pub struct Timed {
    pub ring: usize,
    pub at_ns: u64,
    pub event: Event,
}

/// What happens once, and then what happens again and again: after a turn all is as it was before it.
#[derive(Debug)]
pub struct Stream {
    pub begin: Vec<Timed>,
    pub turn: Vec<Timed>,
    pub turn_ns: u64,
}

const RINGS: usize = 2;
const TASKS: u64 = 64;
/// Of a poll, and from one to the next.
const SHORT_NS: u64 = 100;

const WORKER_TABLE: u16 = 0;
const TASK_TABLE: u16 = 1;

// Numbers of stacks.
const SPAWN: u64 = 1;
const DRIVER: u64 = 2;
const WAKE: u64 = 3;
const AWAIT: u64 = 4;

impl Stream {
    pub fn named(name: &str) -> Stream {
        let mut writer = Writer::new();
        let turn = match name {
            "pingpong" => Writer::pingpong,
            "echo" => Writer::echo,
            _ => Writer::storm,
        };
        if name != "storm" {
            (0..TASKS).for_each(|task| writer.begin_task(task));
        }
        writer.meet();
        let begin = std::mem::take(&mut writer.events);
        let begin_ns = writer.now_ns[0];
        turn(&mut writer);
        writer.meet();
        let mut stream = Stream {
            begin,
            turn: writer.events,
            turn_ns: writer.now_ns[0] - begin_ns,
        };
        stream.turn.sort_by_key(|timed| timed.at_ns);
        stream
    }
}

/// The threads' clocks, and what they have written.
struct Writer {
    now_ns: [u64; RINGS],
    events: Vec<Timed>,
    random: Rng,
}

impl Writer {
    fn new() -> Writer {
        let mut writer = Writer {
            now_ns: [0; RINGS],
            events: Vec::new(),
            random: Rng::with_seed(7),
        };
        for ring in 0..RINGS {
            let worker = address(1000 + ring as u64);
            writer.write(ring, Kind::ThreadStart, ring as u64, 0, 0);
            writer.write(ring, Kind::PollStart, worker, WORKER_TABLE, 1000 + ring as u64);
        }
        writer
    }

    fn write(&mut self, ring: usize, kind: Kind, subject: u64, aux: u16, value: u64) {
        let event = Event {
            kind,
            ticks: 0,
            subject,
            aux,
            value,
        };
        let at_ns = self.now_ns[ring];
        self.events.push(Timed { ring, at_ns, event });
    }

    /// About so long.
    fn pass(&mut self, ring: usize, ns: u64) {
        self.now_ns[ring] += self.random.u64(ns / 2..ns * 2);
    }

    /// Lengths as they are in life: the logarithm is spread like a sum of dice.
    fn pass_varied(&mut self, ring: usize, ns: u64) {
        let dice: f64 = (0..6).map(|_| self.random.f64() - 0.5).sum();
        self.now_ns[ring] += (ns as f64 * dice.exp()) as u64;
    }

    /// The threads wait for each other.
    fn meet(&mut self) {
        self.now_ns = [self.now_ns.into_iter().max().unwrap_or(0) + SHORT_NS; RINGS];
    }

    fn begin_task(&mut self, task: u64) {
        let ring = ring_of(task);
        self.spawn(ring, task);
        self.pass(ring, SHORT_NS);
        self.start(ring, task);
        self.suspend(ring);
    }

    fn spawn(&mut self, ring: usize, task: u64) {
        self.write(ring, Kind::Spawn, address(task), 0, SPAWN);
    }

    fn start(&mut self, ring: usize, task: u64) {
        self.write(ring, Kind::PollStart, address(task), TASK_TABLE, task + 1);
    }

    fn suspend(&mut self, ring: usize) {
        self.pass(ring, SHORT_NS);
        self.write(ring, Kind::Await, 0, 1, AWAIT);
        self.pass(ring, SHORT_NS);
        self.write(ring, Kind::PollPending, 0, 0, 0);
        self.pass(ring, SHORT_NS);
    }

    fn wake(&mut self, ring: usize, task: u64, stack: u64) {
        self.write(ring, Kind::Wake, address(task), wake_aux(1, 0), stack);
        self.pass(ring, SHORT_NS);
    }

    /// Each of a pair wakes the other.
    fn pingpong(&mut self) {
        let first_of_pairs = || (0..TASKS).filter(|task| task / RINGS as u64 % 2 == 0);
        let partner = |task| task + RINGS as u64;
        first_of_pairs().for_each(|task| self.wake(ring_of(task), task, DRIVER));
        for _ in 0..16 {
            for from in [0, RINGS as u64] {
                for task in first_of_pairs().map(|task| task + from) {
                    let ring = ring_of(task);
                    self.start(ring, task);
                    self.pass(ring, SHORT_NS);
                    let other = if from == 0 {
                        partner(task)
                    } else {
                        task - RINGS as u64
                    };
                    self.wake(ring, other, WAKE);
                    self.suspend(ring);
                }
            }
        }
        // The last balls are not returned.
        for task in first_of_pairs() {
            self.start(ring_of(task), task);
            self.suspend(ring_of(task));
        }
    }

    /// The driver wakes all whose sockets are ready, who then are polled one after the other, each with a system call.
    fn echo(&mut self) {
        for _ in 0..64 {
            for ring in 0..RINGS {
                let mut ready: Vec<u64> = (0..TASKS).filter(|&task| ring_of(task) == ring).collect();
                self.random.shuffle(&mut ready);
                ready.truncate(self.random.usize(ready.len() / 2..=ready.len()));
                self.pass_varied(ring, 200_000);
                ready.iter().for_each(|&task| self.wake(ring, task, DRIVER));
                for &task in &ready {
                    self.start(ring, task);
                    self.pass_varied(ring, 10_000);
                    self.suspend(ring);
                }
            }
        }
    }

    /// Tasks that are ready at once, in memory that is used again.
    fn storm(&mut self) {
        for batch in 0..8 {
            for task in 0..TASKS {
                self.spawn(0, task);
                self.pass(0, SHORT_NS);
            }
            self.meet();
            for task in 0..TASKS {
                let ring = ring_of(task);
                self.write(
                    ring,
                    Kind::PollStart,
                    address(task),
                    TASK_TABLE,
                    batch * TASKS + task + 1,
                );
                self.pass(ring, SHORT_NS);
                self.write(ring, Kind::PollEnd, address(task), Outcome::Ready as u16, 0);
                self.pass(ring, SHORT_NS);
                self.write(ring, Kind::End, address(task), Outcome::Freed as u16, 0);
            }
            self.meet();
        }
    }
}

fn ring_of(task: u64) -> usize {
    task as usize % RINGS
}

fn address(task: u64) -> u64 {
    0x7f00_0000_0000 + task * 0x180
}
