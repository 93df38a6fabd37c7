//! Workloads whose truth is known, described in the language of `fixtures/script` and measured there from within: a
//! recording must distribute the tasks' time over places and states as the program did.

use asyncprof_core::profile::{State, TaskKind};

use crate::support::distribution::{Account, Cell, Distribution, Truth, account};
use crate::support::fixtures::fixture;
use crate::support::invariants::{self, Quality};
use crate::support::observed::tasks_named;
use crate::support::recording::Recording;

pub struct Workload {
    pub name: &'static str,
    pub about: &'static str,
    pub script: &'static str,
}

pub const WORKLOADS: [Workload; 5] = [
    Workload {
        name: "mix",
        about: "60 % in sleep A, 25 % in channel B, 10 % scheduled behind a task that keeps the only worker, 5 % on the CPU",
        script: "workers 1
                 task alpha x20: sleep_a 60; recv_b 25; contend_c 10; burn_d 5",
    },
    Workload {
        name: "branches",
        about: "nested joins, selects with a deadline that is met and one that is not, joins of tasks",
        script: "task alpha x15: join(sleep_a 30, join(recv_b 20, sleep_c 10)); select(recv_b 20, sleep_c 500)
                 task beta x15: select(sleep_a 10; read_a 50, sleep_b 25); join(read_b 25, recv_a 15)
                 task gamma x15: join(spawn delta (read_a 20), recv_c 10); spawn delta (recv_c 15; sleep_a 10)",
    },
    Workload {
        name: "depth",
        about: "24 nested awaits, a recursion 12 deep, boxed futures, and all of them within each other",
        script: "task alpha x20: nest(sleep_a 20; recv_a 10); recurse 12 (read_a 15)
                 task beta x20: boxed(recv_b 15; boxed(sleep_b 10)); recurse 3 (boxed(nest(recv_c 10)))
                 task gamma x20: nest(join(recurse 2 (sleep_c 10), boxed(recv_a 20)))",
    },
    Workload {
        name: "blocker",
        about: "two tasks wait for the only worker while others keep it, by work and by a blocking call",
        script: "workers 1
                 task alpha x15: contend_c 20; recv_b 10
                 task beta x15: recv_a 15; contend_c 10; block_e 5
                 task gamma x15: sleep_a 20; burn_d 3; block_e 3",
    },
    Workload {
        name: "library",
        about: "a task spawned by a library (tokio-util), and calls through a library's own task (tower's buffer)",
        script: "task alpha by library x20: sleep_a 20; recv_b 20; read_a 10
                 task beta x20: call(recv_c 15; sleep_c 15); sleep_b 20
                 task gamma x20: join(call(recv_c 10), call(sleep_a 20)); recv_a 20
                 task delta x20: recurse 3 (call(nest(read_b 45)))",
    },
];

/// What a recording of a workload says, beside the truth.
pub struct Outcome {
    pub truth: Account,
    pub found: Distribution,
    /// Distances of the two: with each state a cell of its own, and as far as the program can tell them apart.
    pub strict: f64,
    pub told: f64,
}

/// A clock that is read beside an event may be read some time before it: an episode's share of doubt.
const SLACK_NS_PER_EPISODE: f64 = 50_000.0;

impl Outcome {
    pub fn of(workload: &Workload, profile: &'static str) -> Outcome {
        let recording = Recording::new(&[], fixture("script", profile, "script"), &[workload.script]);
        assert!(recording.output.status.success(), "{}", recording.stderr());
        let truth = account(&recording.folder.path().join("truth"));
        let profile = recording.profile();
        invariants::check(&profile, Quality::complete(true));
        let found = Distribution::of(&profile);
        // Who wakes may lose the processor between the reading of the clock and the wake-up: on a busy machine only the
        // blocker, which is at work, knows when.
        let told = found.distance(&truth.cells, |cell| match cell.1.as_str() {
            "running" => "running".to_owned(),
            state if cell.0.ends_with(" > contend_c") => state.to_owned(),
            _ => "suspended".to_owned(),
        });
        let strict = found.distance(&truth.cells, |cell| cell.1.clone());
        let outcome = Outcome {
            truth,
            found,
            strict,
            told,
        };
        outcome.check_lives(workload, &profile);
        outcome
    }

    /// Counts are exact: each task is there, each poll, each wait, and each wait in its line.
    fn check_lives(&self, workload: &Workload, profile: &asyncprof_core::profile::Profile) {
        let name = workload.name;
        for truth in self.truth.cells.iter().filter(|truth| truth.line != 0) {
            let found = self.found.found(&truth.cell);
            let is_wait = truth.cell.1 != "scheduled";
            // A wake-up that came before the task was suspended ends no wait.
            let doubts = self.truth.doubts;
            let waits = u64::from(truth.ns > 0 && doubts == 0)..=truth.episodes + doubts;
            assert!(
                !is_wait || waits.contains(&found.episodes),
                "{name}: {truth:?} was {found:?}\n{}",
                self.table()
            );
            let in_line = found.lines.iter().all(|&line| line == truth.line);
            assert!(in_line, "{name}: {truth:?} stands at {:?}", found.lines);
        }
        for truth in self.truth.cells.iter().filter(|truth| truth.cell.1 == "running") {
            let task = &truth.cell.0;
            let episodes = |state: State| -> u64 {
                let of_task = |row: &&asyncprof_core::profile::Row| {
                    let group = profile.group(row.group);
                    group.kind == TaskKind::Task
                        && row.state == state
                        && profile.string(group.name).ends_with(task)
                };
                profile
                    .rows
                    .iter()
                    .filter(of_task)
                    .map(|row| row.stats.episodes)
                    .sum()
            };
            let groups = ["places", "helpers"]
                .map(|module| tasks_named(profile, TaskKind::Task, &format!("script::{module}::{task}")));
            let tasks: u64 = groups.iter().map(|group| group.tasks).sum();
            let completed: u64 = groups.iter().map(|group| group.completed).sum();
            assert_eq!(completed, tasks, "{name}: {task}");
            let polls: u64 = groups.iter().map(|group| group.polls.episodes).sum();
            assert_eq!(polls, truth.episodes, "{name}: polls of {task}");
            assert!(tasks >= 1, "{name}: {task}");
            assert_eq!(
                episodes(State::Scheduled),
                truth.episodes,
                "{name}: each poll of {task} follows a wake-up"
            );
            assert!(
                episodes(State::Waiting) <= truth.episodes - tasks,
                "{name}: {task} waits between polls"
            );
        }
    }

    /// What polls run is split by samples: some 1000 a second, so to 15 % and 15 ms here.
    fn check_split(&self, name: &str) {
        for part in &self.truth.parts {
            let (cpu_ns, blocked_ns) = self.found.ran(&part.cell.0);
            let least = |ns: u64| (ns * 85 / 100).saturating_sub(15_000_000);
            assert!(
                least(part.ns) <= cpu_ns + blocked_ns,
                "{name}: {part:?} is {cpu_ns} and {blocked_ns}"
            );
            assert!(
                least(cpu_ns + blocked_ns) <= part.ns,
                "{name}: {part:?} is {cpu_ns} and {blocked_ns}"
            );
            // On a busy machine it is preempted in between, and samples are few.
            assert!(least(part.cpu_ns / 2) <= cpu_ns, "{name}: {part:?} ran {cpu_ns}");
            // A thread that is ready, but has no processor, may be taken for one that runs; one that sleeps may not.
            if part.cell.0.ends_with(" > block_e") {
                assert!(
                    least((part.ns - part.cpu_ns) / 2) <= blocked_ns,
                    "{name}: {part:?} was blocked {blocked_ns}"
                );
            }
        }
    }

    pub fn own_lines(&self) -> f64 {
        self.found.own_line_ns as f64 / self.found.total_ns() as f64
    }

    pub fn own_lines_or_spawns(&self) -> f64 {
        (self.found.own_line_ns + self.found.own_spawn_ns) as f64 / self.found.total_ns() as f64
    }

    pub fn check(&self, workload: &Workload) {
        let name = workload.name;
        let table = self.table();
        let unknown = self.truth.cells.iter().find(|truth| truth.cell.1 == "unknown");
        assert!(
            unknown.is_none(),
            "{name}: the program does not know itself: {unknown:?}"
        );
        let episodes: u64 = self.truth.cells.iter().map(|truth| truth.episodes).sum();
        let slack_ns = episodes as f64 * SLACK_NS_PER_EPISODE + self.truth.doubt_ns as f64;
        let slack = slack_ns / self.found.total_ns() as f64;
        assert!(
            self.told <= 0.01 + slack,
            "{name}: {} from the truth\n{table}",
            self.told
        );
        assert!(
            self.own_lines_or_spawns() >= 0.95,
            "{name}: {:?}\n{table}",
            self.own_lines_or_spawns()
        );
        self.check_split(name);
        // Neither timers nor the feeder are early, and work takes its time: a program that says otherwise is wrong.
        let task = |truth: &Truth| truth.cell.0.split(' ').next().map(str::to_owned);
        for life in self.truth.cells.iter().filter(|truth| truth.cell.1 == "running") {
            let of_task = self.truth.cells.iter().filter(|truth| task(truth) == task(life));
            let (ns, nominal_ns) =
                of_task.fold((0, 0), |sum, truth| (sum.0 + truth.ns, sum.1 + truth.nominal_ns));
            assert!(
                ns + 1_000_000 >= nominal_ns,
                "{name}: {} lived {ns} of {nominal_ns} ns",
                life.cell.0
            );
        }
    }

    /// All cells that matter, most time first.
    pub fn table(&self) -> String {
        let cells = self.truth.cells.iter().map(|truth| truth.cell.clone());
        let mut cells: Vec<_> = cells.chain(self.found.cells.keys().cloned()).collect();
        cells.sort();
        cells.dedup();
        let of = |cell: &Cell| {
            let truth = self.truth.cells.iter().find(|truth| truth.cell == *cell);
            let (ns, nominal_ns) = truth.map_or((0, 0), |truth| (truth.ns, truth.nominal_ns));
            (self.found.found(cell).ns, ns, nominal_ns)
        };
        cells.sort_by_key(|cell| std::cmp::Reverse(of(cell)));
        let ms = |ns: u64| format!("{:.1}", ns as f64 / 1e6);
        let mut table =
            String::from("| place | state | nominal ms | true ms | recorded ms |\n|---|---|--:|--:|--:|\n");
        for cell in &cells {
            let (found, truth, nominal) = of(cell);
            if found.max(truth).max(nominal) >= 500_000 {
                let nominal = if nominal == 0 { String::new() } else { ms(nominal) };
                let path = shortened(&cell.0);
                table += &format!(
                    "| {path} | {} | {nominal} | {} | {} |\n",
                    cell.1,
                    ms(truth),
                    ms(found)
                );
            }
        }
        table
    }
}

/// The 24 nested ones and the recursion are told by their number.
fn shortened(path: &str) -> String {
    let nest: String = (2..24).map(|n| format!(" > nest_{n}")).collect();
    let path = path.replace(&nest, " > …");
    let depth = path.matches("descend").count();
    match depth {
        0 | 1 => path,
        _ => path.replacen(&" > descend".repeat(depth), &format!(" > descend × {depth}"), 1),
    }
}

fn all(profile: &'static str) {
    for workload in &WORKLOADS {
        Outcome::of(workload, profile).check(workload);
    }
}

#[test]
fn release() {
    all("release");
}

#[test]
fn dev() {
    all("dev");
}
