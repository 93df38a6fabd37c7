//! How a recording of the program `script` distributes the time of all tasks over places and states, beside what the
//! program measured itself.

use std::collections::BTreeMap;
use std::path::Path;

use asyncprof_core::profile::{Profile, Row, StackId, State};
use asyncprof_core::view::{Activity, Analysis, Place, Rules};

/// Functions of the program from the task's, ` > ` between them, and a state as pictures name it.
pub type Cell = (String, String);

/// What the program says of one cell.
#[derive(Clone, Debug)]
pub struct Truth {
    pub cell: Cell,
    pub ns: u64,
    /// Of `running` and its parts; the rest is blocked.
    pub cpu_ns: u64,
    pub nominal_ns: u64,
    pub episodes: u64,
    /// 0 where the cell is a whole task.
    pub line: u32,
}

/// All that the program says.
#[derive(Clone, Debug)]
pub struct Account {
    pub cells: Vec<Truth>,
    /// Parts of what the polls of tasks ran, by the place that ran it.
    pub parts: Vec<Truth>,
    /// Waits of several branches that were all over when the task was polled, on a busy machine: each is given to one of
    /// them, and counted here.
    pub doubt_ns: u64,
    pub doubts: u64,
}

pub fn account(path: &Path) -> Account {
    let text = std::fs::read_to_string(path).expect("the program writes its truth");
    let mut cells: Vec<Truth> = text.lines().map(parse).collect();
    let parts = cells
        .extract_if(.., |truth| truth.cell.1 == "part of running")
        .collect();
    let doubts: Vec<Truth> = cells.extract_if(.., |truth| truth.cell.1 == "in doubt").collect();
    Account {
        cells,
        parts,
        doubt_ns: doubts.iter().map(|truth| truth.ns).sum(),
        doubts: doubts.iter().map(|truth| truth.episodes).sum(),
    }
}

fn parse(line: &str) -> Truth {
    let value: serde_json::Value = serde_json::from_str(line).expect("each line is a JSON object");
    let text = |key: &str| value[key].as_str().expect("a text").to_owned();
    let number = |key: &str| value[key].as_u64().expect("a number");
    Truth {
        cell: (text("path"), text("state")),
        ns: number("ns"),
        cpu_ns: number("cpu_ns"),
        nominal_ns: number("nominal_ns"),
        episodes: number("episodes"),
        line: number("line") as u32,
    }
}

/// What a profile says of one cell.
#[derive(Clone, Debug, Default)]
pub struct Found {
    pub ns: u64,
    pub episodes: u64,
    /// Of the program's innermost function.
    pub lines: Vec<u32>,
}

#[derive(Debug, Default)]
pub struct Distribution {
    pub cells: BTreeMap<Cell, Found>,
    /// By place, of what the samples of polls found: on the CPU, and blocked.
    pub ran: BTreeMap<String, (u64, u64)>,
    /// Time that ends in a line of the program; and, where it has none, in a task that a line of the program spawned.
    pub own_line_ns: u64,
    pub own_spawn_ns: u64,
}

impl Distribution {
    pub fn of(profile: &Profile) -> Distribution {
        let analysis = Analysis::new(profile, &Rules::default());
        let mut distribution = Distribution::default();
        for (row, activity) in analysis.rows(false) {
            let (path, line) = place(&analysis, row);
            let found = distribution.cells.entry((path, state(activity).to_owned()));
            let found = found.or_default();
            found.ns += row.stats.total_ns;
            found.episodes += row.stats.episodes;
            found.lines.extend(line);
            if matches!(row.state, State::OnCpu | State::Blocked) {
                let own = own(&analysis, row.stack);
                let mut path: Vec<&str> = own.iter().map(|own| own.0).collect();
                // A closure that runs within the function that wrote it.
                path.dedup();
                let ran = distribution.ran.entry(path.join(" > ")).or_default();
                match row.state {
                    State::OnCpu => ran.0 += row.stats.total_ns,
                    _ => ran.1 += row.stats.total_ns,
                }
            }
            let spawned = profile.group(row.group).spawn_stack;
            if own(&analysis, row.stack)
                .last()
                .is_some_and(|own| own.1.is_some())
            {
                distribution.own_line_ns += row.stats.total_ns;
            } else if own(&analysis, spawned).last().is_some_and(|own| own.1.is_some()) {
                distribution.own_spawn_ns += row.stats.total_ns;
            }
        }
        distribution
    }

    pub fn total_ns(&self) -> u64 {
        self.cells.values().map(|found| found.ns).sum()
    }

    pub fn found(&self, cell: &Cell) -> Found {
        self.cells.get(cell).cloned().unwrap_or_default()
    }

    /// What the samples found in this place and those that it calls: on the CPU, and blocked.
    pub fn ran(&self, path: &str) -> (u64, u64) {
        let under = self.ran.iter().filter(|(ran, _)| ran.starts_with(path));
        under.fold((0, 0), |sum, (_, ran)| (sum.0 + ran.0, sum.1 + ran.1))
    }

    /// Half the sum of the differences of all shares: 0 is the same distribution, 1 nothing in common. The states of a
    /// place are told apart as far as `state_of` does.
    pub fn distance(&self, truth: &[Truth], state_of: impl Fn(&Cell) -> String) -> f64 {
        let mut cells: BTreeMap<Cell, (f64, f64)> = BTreeMap::new();
        // The root task does nothing but wait for the others to end.
        let is_spawned = |cell: &Cell| !cell.0.starts_with("main");
        for truth in truth.iter().filter(|truth| is_spawned(&truth.cell)) {
            let cell = (truth.cell.0.clone(), state_of(&truth.cell));
            cells.entry(cell).or_default().0 += truth.ns as f64;
        }
        for (cell, found) in self.cells.iter().filter(|(cell, _)| is_spawned(cell)) {
            let cell = (cell.0.clone(), state_of(cell));
            cells.entry(cell).or_default().1 += found.ns as f64;
        }
        let (true_ns, found_ns) = cells
            .values()
            .fold((0.0, 0.0), |sum, cell| (sum.0 + cell.0, sum.1 + cell.1));
        let differences = cells
            .values()
            .map(|cell| (cell.0 / true_ns - cell.1 / found_ns).abs());
        differences.sum::<f64>() / 2.0
    }
}

/// Whatever names the sampling of polls gives to their parts, together they are running.
fn state(activity: Activity) -> &'static str {
    match activity {
        Activity::Waiting(_) | Activity::Scheduled | Activity::Lost => activity.name(),
        _ => "running",
    }
}

fn place(analysis: &Analysis<'_>, row: &Row) -> (String, Option<u32>) {
    let group = analysis.profile.group(row.group);
    let task = match own_name(analysis.profile.string(group.name)) {
        Some(task) => task,
        None => return ("library".to_owned(), None),
    };
    let mut path = vec![task];
    if row.state.is_running() {
        return (task.to_owned(), None);
    }
    let own = own(analysis, row.stack);
    path.extend(own.iter().map(|own| own.0).skip_while(|name| *name == task));
    let line = own.last().and_then(|own| own.1).map(|place| place.line);
    (path.join(" > "), line)
}

/// The program's functions of a stack, without those that interpret its script and measure.
fn own<'a>(analysis: &'a Analysis<'_>, stack: StackId) -> Vec<(&'a str, Option<Place>)> {
    let shown = analysis.await_stack(stack).into_iter();
    shown
        .filter_map(|(name, place)| Some((own_name(analysis.name(name))?, place)))
        .collect()
}

fn own_name(name: &str) -> Option<&str> {
    let name = name.strip_prefix("script::")?;
    let is_machinery = ["interpret::", "meter::"]
        .iter()
        .any(|module| name.starts_with(module));
    (!is_machinery).then(|| name.rsplit("::").next().unwrap_or(name))
}
