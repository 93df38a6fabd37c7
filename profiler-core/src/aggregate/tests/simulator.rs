//! A scheduler that makes random but possible things happen, writes the events that the taps would write, and
//! keeps the truth by itself.

use super::sim_relays::SimRelays;
use super::truth::{Group, TrueEpisode, Truth, Waker, shares};
use super::{Timed, event};
use crate::event::{Kind, Outcome, wake_aux};
use crate::profile::State;

pub(super) const RINGS: usize = 3;
const TABLE: u16 = 5;

/// One random choice: what is to happen, two that say to whom, and after how long.
pub(super) type Step = (u8, u16, u16, u32);

#[derive(Clone, Copy, Debug)]
pub(super) struct Rules {
    /// Each task has a spawn stack of its own.
    pub(super) own_groups: bool,
    /// A poll's end may be written long after the task was let go.
    pub(super) late_ends: bool,
    pub(super) unseen_spawns: bool,
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Now {
    Spawned,
    Scheduled { stack: u32, waker: Waker },
    Running { ring: usize },
    Waiting,
    Gone,
}

#[derive(Debug)]
struct SimTask {
    address: u64,
    spawn_stack: u32,
    seen: bool,
    polled: bool,
    now: Now,
    /// Another poll may begin, though the end of the last one was not written.
    let_go: bool,
    woken: Option<(u32, Waker)>,
    since_ns: u64,
    begun_ns: u64,
    registrations: Vec<(u16, u32)>,
    registered: bool,
}

impl SimTask {
    fn group(&self) -> Group {
        let stack = if self.seen { self.spawn_stack } else { 0 };
        (self.polled.then_some(TABLE), stack)
    }
}

#[derive(Debug, Default)]
struct SimThread {
    polling: Vec<usize>,
    /// A poll that is over, its end not yet written: (task, its group, outcome).
    owes: Option<(usize, Group, Outcome)>,
    tags: u16,
}

#[derive(Debug)]
pub(super) struct Simulator {
    rules: Rules,
    now_ns: u64,
    tasks: Vec<SimTask>,
    threads: [SimThread; RINGS],
    free: Vec<u64>,
    relays: SimRelays,
    pub(super) events: Vec<Timed>,
    pub(super) truth: Truth,
}

impl Simulator {
    /// Runs the steps; the recording ends after the last.
    pub(super) fn run(rules: Rules, steps: &[Step]) -> (Vec<Timed>, u64, Truth) {
        let mut simulator = Simulator {
            rules,
            now_ns: 0,
            tasks: Vec::new(),
            threads: Default::default(),
            free: Vec::new(),
            relays: SimRelays::default(),
            events: (0..RINGS)
                .map(|ring| (ring, 0, event(Kind::ThreadStart, 1, 0, 0)))
                .collect(),
            truth: Truth::default(),
        };
        for &step in steps {
            simulator.step(step);
        }
        simulator.now_ns += 1;
        for task in 0..simulator.tasks.len() {
            if simulator.tasks[task].polled && simulator.tasks[task].now != Now::Gone {
                simulator.close(task, None, true);
                simulator.truth.lives_ns += simulator.now_ns - simulator.tasks[task].begun_ns;
            }
        }
        (simulator.events, simulator.now_ns, simulator.truth)
    }

    fn step(&mut self, (what, who, which, after_ns): Step) {
        self.now_ns += u64::from(after_ns) + 1;
        let ring = usize::from(who) % RINGS;
        if let Some((task, group, outcome)) = self.threads[ring].owes.take() {
            return self.write_end(ring, task, group, outcome);
        }
        match what % 16 {
            0 | 1 => self.spawn(ring, which),
            2..=5 => self.poll(ring, which),
            6 | 7 => self.register(ring, which),
            8..=10 => self.wake(ring, who / 3, which),
            11..=14 => self.let_go(ring, which),
            _ => self.cancel(ring, which),
        }
    }

    fn write(&mut self, ring: usize, kind: Kind, subject: u64, aux: u16, value: u64) {
        self.events
            .push((ring, self.now_ns, event(kind, subject, aux, value)));
    }

    fn spawn(&mut self, ring: usize, which: u16) {
        let reused = usize::from(which) % (self.free.len() + 1);
        let address = match self.free.get(reused) {
            Some(_) => self.free.swap_remove(reused),
            None => 128 * (self.tasks.len() as u64 + 1),
        };
        let number = self.tasks.len() as u32;
        let spawn_stack = if self.rules.own_groups {
            1000 + number
        } else {
            1000 + number % 3
        };
        let seen = !self.rules.unseen_spawns || !which.is_multiple_of(5);
        if seen {
            // Whoever lived there and is not known to be gone, is.
            self.gone_at(address);
            self.write(ring, Kind::Spawn, address, 0, u64::from(spawn_stack));
        }
        self.tasks.push(SimTask {
            address,
            spawn_stack,
            seen,
            polled: false,
            now: Now::Spawned,
            let_go: false,
            woken: None,
            since_ns: self.now_ns,
            begun_ns: self.now_ns,
            registrations: Vec::new(),
            registered: false,
        });
    }

    /// The task at this address that is done, if its end was not told, ends for the reader.
    fn gone_at(&mut self, address: u64) {
        let done = |task: &SimTask| task.address == address && task.polled && task.now != Now::Gone;
        if let Some(task) = self.tasks.iter().position(done) {
            self.close(task, None, false);
            self.gone(task);
        }
    }

    fn gone(&mut self, task: usize) {
        self.tasks[task].now = Now::Gone;
        self.truth.lives_ns += self.now_ns - self.tasks[task].begun_ns;
    }

    fn poll(&mut self, ring: usize, which: u16) {
        if self.threads[ring].polling.len() > 1 {
            return;
        }
        let ready = |task: &SimTask| match task.now {
            Now::Spawned | Now::Scheduled { .. } => true,
            Now::Running { ring: last } => last != ring && task.let_go && task.woken.is_some(),
            _ => false,
        };
        let Some(task) = self.pick(which, ready) else {
            return;
        };
        if !self.tasks[task].polled {
            // Memory reused by a spawn that was not seen.
            self.gone_at(self.tasks[task].address);
            if !self.tasks[task].seen {
                self.truth.seen_late += 1;
                (self.tasks[task].begun_ns, self.tasks[task].since_ns) = (self.now_ns, self.now_ns);
            }
            self.tasks[task].polled = true;
            self.truth.groups.entry(self.tasks[task].group()).or_default()[0] += 1;
            if self.tasks[task].seen {
                self.close(task, None, false);
            }
        } else {
            self.close(task, None, false);
        }
        let t = &mut self.tasks[task];
        (t.now, t.woken, t.registered, t.let_go) = (Now::Running { ring }, None, false, false);
        let address = t.address;
        self.threads[ring].polling.push(task);
        self.write(ring, Kind::PollStart, address, TABLE, task as u64 + 1);
    }

    fn register(&mut self, ring: usize, which: u16) {
        let Some(&task) = self.threads[ring].polling.last() else {
            return;
        };
        // Few tags, so that they come again.
        let tag = self.threads[ring].tags % 6 + 1;
        self.threads[ring].tags += 1;
        let stack = u32::from(which % 4) + 1;
        if (which / 4).is_multiple_of(3) {
            let relay = SimRelays::address(which / 12);
            if (which / 64).is_multiple_of(4) {
                self.relays.drop_one(relay, tag);
                return self.write(ring, Kind::RelayDrop, relay, tag, 0);
            }
            self.relays.register(relay, task, (tag, stack));
            return self.write(ring, Kind::RelayAwait, relay, tag, u64::from(stack));
        }
        let t = &mut self.tasks[task];
        if !t.registered {
            t.registrations.clear();
        }
        t.registered = true;
        t.registrations.push((tag, stack));
        let address = t.address;
        self.write(ring, Kind::Await, address, tag, u64::from(stack));
    }

    fn wake(&mut self, ring: usize, whom: u16, which: u16) {
        let alive = |task: &SimTask| task.polled && task.now != Now::Gone;
        let Some(task) = self.pick(whom, alive) else {
            return;
        };
        let t = &self.tasks[task];
        let tag = match which % 4 {
            0 => 0,
            1 => which / 4 % 9,
            _ => t
                .registrations
                .get(usize::from(which / 4) % t.registrations.len().max(1))
                .map_or(0, |r| r.0),
        };
        let by = self.threads[ring]
            .polling
            .last()
            .map(|&by| self.tasks[by].group());
        let stack = u32::from(which % 2) + 50;
        let waker = Some((by, stack));
        // Through none, one or two relays.
        let through = (which / 8 % 4).saturating_sub(1);
        let relay_tag = which / 64 % 7;
        let relays: Vec<u64> = (0..through)
            .map(|at| self.relays.some_of(task, which / 32 + at))
            .collect();
        let branch = relays
            .iter()
            .find_map(|&relay| self.relays.places_of(relay, task));
        let (places, place_tag) =
            branch.map_or_else(|| (t.registrations.clone(), tag), |places| (places, relay_tag));
        let address = t.address;
        for (outer, &relay) in relays.iter().enumerate() {
            self.write(ring, Kind::RelayWake, relay, wake_aux(relay_tag, outer as u8), 0);
        }
        self.write(
            ring,
            Kind::Wake,
            address,
            wake_aux(tag, through as u8),
            u64::from(stack),
        );
        let tag = place_tag;
        let t = &mut self.tasks[task];
        match t.now {
            Now::Waiting => {
                let stack = self.close(task, Some((shares(&places, tag), waker)), false);
                self.tasks[task].now = Now::Scheduled { stack, waker };
            }
            Now::Running { .. } if t.woken.is_none() => {
                let mut stacks: Vec<u32> = places.iter().filter(|r| r.0 == tag).map(|r| r.1).collect();
                stacks.dedup();
                t.woken = Some((if let [one] = stacks[..] { one } else { 0 }, waker));
            }
            _ => {}
        }
    }

    fn let_go(&mut self, ring: usize, which: u16) {
        let Some(task) = self.threads[ring].polling.pop() else {
            return;
        };
        let outcome = match which % 8 {
            0 => Outcome::Ready,
            1 => Outcome::Panicked,
            2 => Outcome::Cancelled,
            _ => Outcome::Pending,
        };
        let t = &mut self.tasks[task];
        t.let_go = outcome == Outcome::Pending;
        let (group, address) = (t.group(), t.address);
        if outcome != Outcome::Pending {
            self.free.push(address);
        }
        if self.rules.late_ends && (which / 8).is_multiple_of(3) {
            self.threads[ring].owes = Some((task, group, outcome));
            // Freed by another thread, before the end of its last poll is written.
            if outcome != Outcome::Pending && (which / 24).is_multiple_of(3) {
                self.write((ring + 1) % RINGS, Kind::End, address, Outcome::Freed as u16, 0);
                self.close(task, None, false);
                self.gone(task);
            }
        } else {
            self.write_end(ring, task, group, outcome);
            if outcome != Outcome::Pending && (which / 24).is_multiple_of(3) {
                self.write(ring, Kind::End, address, Outcome::Freed as u16, 0);
            }
        }
    }

    fn write_end(&mut self, ring: usize, task: usize, group: Group, outcome: Outcome) {
        self.write(ring, Kind::PollEnd, self.tasks[task].address, outcome as u16, 0);
        let counts = self.truth.groups.entry(group).or_default();
        match outcome {
            Outcome::Ready => counts[1] += 1,
            Outcome::Cancelled => counts[2] += 1,
            Outcome::Panicked => counts[3] += 1,
            _ => {}
        }
        if self.tasks[task].now != (Now::Running { ring }) {
            return;
        }
        self.close(task, None, false);
        if outcome == Outcome::Pending {
            let t = &mut self.tasks[task];
            t.let_go = false;
            t.now = t
                .woken
                .map_or(Now::Waiting, |(stack, waker)| Now::Scheduled { stack, waker });
        } else {
            self.gone(task);
        }
    }

    fn cancel(&mut self, ring: usize, which: u16) {
        let idle = |task: &SimTask| match task.now {
            Now::Running { .. } => task.let_go,
            Now::Gone => false,
            _ => task.seen || task.polled,
        };
        let Some(task) = self.pick(which, idle) else {
            return;
        };
        self.write(
            ring,
            Kind::End,
            self.tasks[task].address,
            Outcome::Cancelled as u16,
            0,
        );
        let counts = self.truth.groups.entry(self.tasks[task].group()).or_default();
        counts[0] += u64::from(!self.tasks[task].polled);
        counts[2] += 1;
        self.close(task, None, false);
        self.gone(task);
        self.free.push(self.tasks[task].address);
    }

    fn pick(&self, which: u16, of: impl Fn(&SimTask) -> bool) -> Option<usize> {
        let candidates: Vec<usize> = (0..self.tasks.len())
            .filter(|&task| of(&self.tasks[task]))
            .collect();
        candidates
            .get(usize::from(which) % candidates.len().max(1))
            .copied()
    }

    /// The task's state ends now. Returns the stack where a wait was, 0 if that cannot be told.
    fn close(&mut self, task: usize, wake: Option<(Vec<(u32, u64)>, Waker)>, open: bool) -> u32 {
        let left = self.relays.left_by(task);
        let t = &mut self.tasks[task];
        let (start_ns, end_ns) = (t.since_ns, self.now_ns);
        t.since_ns = end_ns;
        let mut ring = usize::MAX;
        let mut waker = None;
        let mut parts = vec![(0, 1)];
        let state = match t.now {
            Now::Spawned => State::Scheduled,
            Now::Scheduled { stack, waker: by } => {
                (waker, parts) = (by, vec![(stack, 1)]);
                State::Scheduled
            }
            Now::Running { ring: on } => {
                ring = on;
                self.truth.polls += u64::from(!open);
                State::Running
            }
            Now::Waiting => {
                let is_at_branches = open && shares(&t.registrations, 0).len() == 1 && !left.is_empty();
                let all = if is_at_branches { &left } else { &t.registrations };
                (parts, waker) = wake.unwrap_or_else(|| (shares(all, 0), None));
                self.truth.splits += u64::from(parts.len() > 1);
                State::Waiting
            }
            Now::Gone => unreachable!("a task that is gone changes its state"),
        };
        let all: u64 = parts.iter().map(|part| part.1).sum();
        let (mut before, mut from_ns) = (0, start_ns);
        for &(stack, share) in &parts {
            before += share;
            let to_ns = start_ns + (end_ns - start_ns) * before / all;
            self.truth.episodes.push(TrueEpisode {
                group: self.tasks[task].group(),
                state,
                stack,
                waker,
                start_ns: from_ns,
                end_ns: to_ns,
                ring,
                open,
            });
            from_ns = to_ns;
        }
        if parts.len() > 1 { 0 } else { parts[0].0 }
    }
}
