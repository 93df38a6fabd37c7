//! Writes `docs/accuracy.md` from the accuracy suite: `just accuracy`, on an idle machine.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::accuracy_suite::{Outcome, WORKLOADS, Workload};

const BUILDS: [&str; 2] = ["release", "dev"];

/// On an idle machine the distance is at most this, with every state a cell of its own.
const BOUND: f64 = 0.01;

/// Without the variable it checks that the page is of these workloads.
#[test]
fn page() {
    let path = path();
    if std::env::var_os("ASYNCPROF_ACCURACY_DOC").is_some() {
        std::fs::write(&path, write()).expect("the folder of the page can be written to");
    }
    let page = std::fs::read_to_string(&path).expect("the page is in the repository");
    for Workload { name, about, script } in &WORKLOADS {
        for build in BUILDS {
            assert!(
                page.contains(&format!("\n| {name} | {build} |")),
                "{name} {build}: run `just accuracy`"
            );
        }
        assert!(
            page.contains(about) && page.contains(&indented(script)),
            "{name}: run `just accuracy`"
        );
    }
}

fn path() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/accuracy.md")
}

fn write() -> String {
    let mut summary = String::new();
    let mut details = String::new();
    for workload in &WORKLOADS {
        for build in BUILDS {
            let outcome = Outcome::of(workload, build);
            outcome.check(workload);
            assert!(
                outcome.strict <= BOUND,
                "{}: is the machine idle?\n{}",
                workload.name,
                outcome.table()
            );
            let [strict, told, own, spawned] = [
                outcome.strict,
                outcome.told,
                outcome.own_lines(),
                outcome.own_lines_or_spawns(),
            ]
            .map(|share| 100.0 * share);
            let task_time_s = outcome.found.total_ns() as f64 / 1e9;
            writeln!(
                summary,
                "| {} | {build} | {task_time_s:.2} | {strict:.3} | {told:.3} | {own:.1} | {spawned:.1} |",
                workload.name
            )
            .expect("text grows");
            if build == BUILDS[0] {
                let Workload { name, about, script } = workload;
                let table = outcome.table();
                writeln!(
                    details,
                    "\n## {name}\n\n{about}\n\n{}\n\n{table}",
                    indented(script)
                )
                .expect("text grows");
            }
        }
    }
    let page = format!("{}\n{}\n{}{details}", head(), HEADER, summary);
    page.trim_end().to_owned() + "\n"
}

const HEADER: &str = "\
| workload | build | task time s | distance % | by place % | own lines % | or own spawns % |
|---|---|--:|--:|--:|--:|--:|";

fn head() -> String {
    let cores = std::thread::available_parallelism().map_or(0, usize::from);
    let (os, arch) = (std::env::consts::OS, std::env::consts::ARCH);
    let date = first_words("date", &["-u", "+%F"], 1);
    let rustc = first_words("rustc", &["--version"], 2);
    let asyncprof = env!("CARGO_PKG_VERSION");
    let build = if cfg!(debug_assertions) {
        "debug"
    } else {
        "release"
    };
    format!(
        "\
# Accuracy

Written by `just accuracy` on {date}: asyncprof {asyncprof} ({build} build), tokio 1.54.1, {rustc}, {os} {arch} with {cores}
cores, not otherwise busy.

The programs execute a script (`fixtures/script`) and measure themselves from within: clocks read at both ends of every
poll, around what a poll runs, and before every wake-up that the program causes. The recording is the real command's. Both give each
nanosecond of each task to a place (the program's async fns, from the task's to the innermost) and a state.

- **distance**: total variation distance of the two distributions over (place, state), 0 to 100 %, of all tasks but the root
  task. At most 1 % here.
- **by place**: the same, but waiting and the scheduling delay after it are one, save for those behind the known blocker. On
  a busy machine the program does not know better when it was woken; so this one is tested everywhere.
- **own lines**: task time that ends in a file and line of the program's own code. What has none is running (its stacks are
  those of samples) and what libraries' own tasks do; with the line that **spawned** the task it is the last column,
  at least 95 %.

Exact in every run: each task, each poll and each wait is there, each wait stands in the line of its `.await`, each poll
follows one scheduling delay, and the windows of time of each row add up to its total. (That the states of each task add up to
its life, to the nanosecond, is tested in the aggregator, against a simulated scheduler.)
"
    )
}

fn first_words(program: &str, args: &[&str], words: usize) -> String {
    let output = Command::new(program).args(args).output();
    let text = output.map_or_else(
        |error| error.to_string(),
        |output| String::from_utf8_lossy(&output.stdout).into_owned(),
    );
    text.split_whitespace().take(words).collect::<Vec<_>>().join(" ")
}

fn indented(script: &str) -> String {
    let lines: Vec<String> = script
        .lines()
        .map(|line| format!("    {}", line.trim()))
        .collect();
    lines.join("\n")
}
