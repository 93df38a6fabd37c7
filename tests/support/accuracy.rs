//! Holds a recording against what the program measured itself.
//!
//! The truth is taken by a clock around each `.await`: waiting, the scheduling delay after the wake, and what the
//! polls at both ends ran. What the profile calls waiting and scheduled lies within that, so it is at most the truth,
//! and with the task's running time at least the truth. Both hold to 2 % and 50 µs an await: the measuring itself, on
//! a machine that may take the processor away between two readings of the clock.

use std::path::PathBuf;

use asyncprof_core::profile::{Profile, State, TaskKind};
use asyncprof_core::view::{Activity, Analysis, Kind, Rules};

use super::fixtures::{fixture, strip_debug};
use super::invariants::{self, Quality};
use super::observed::{Amount, Shown, shown};
use super::recording::Recording;
use super::truth::{self, Truth};

const SLACK_SHARE: f64 = 0.02;
const SLACK_NS_PER_AWAIT: f64 = 50_000.0;

/// How a fixture is built.
#[derive(Clone, Copy, Debug)]
pub struct Build {
    pub package: &'static str,
    pub profile: &'static str,
    pub has_lines: bool,
}

impl Build {
    pub fn of(package: &'static str, profile: &'static str) -> Build {
        Build {
            package,
            profile,
            has_lines: true,
        }
    }

    /// Without line tables: inlined functions have no name.
    pub fn stripped(profile: &'static str) -> Build {
        Build {
            has_lines: false,
            ..Build::of("waits", profile)
        }
    }

    fn program(&self, name: &str) -> PathBuf {
        let program = fixture(self.package, self.profile, name);
        if self.has_lines {
            program
        } else {
            strip_debug(&program)
        }
    }
}

/// One await of a program, or the running of its blocking tasks.
pub struct Site {
    /// As in the truth.
    pub name: &'static str,
    pub kind: Kind,
    /// Await stacks as shown, root first; the last is how the name of the library's leaf begins.
    paths: Vec<Vec<&'static str>>,
    waits: Option<u64>,
    is_running: bool,
}

/// An await at `stack`: functions separated by ` > `, root first, the beginning of the library's leaf last.
pub fn site(name: &'static str, kind: Kind, stack: &'static str) -> Site {
    Site {
        name,
        kind,
        paths: vec![stack.split(" > ").collect()],
        waits: None,
        is_running: false,
    }
}

/// What blocking tasks run.
pub fn work(name: &'static str) -> Site {
    Site {
        is_running: true,
        ..site(name, Kind::Blocking, "")
    }
}

impl Site {
    /// The same await under another caller, or in other branches.
    pub fn or(mut self, stack: &'static str) -> Site {
        self.paths.push(stack.split(" > ").collect());
        self
    }

    /// The number of waits, where it is certain: of several awaits a few may be ready at once.
    pub fn waits(mut self, waits: u64) -> Site {
        self.waits = Some(waits);
        self
    }

    fn is_at(&self, row: &Shown) -> bool {
        let matches = |path: &Vec<&str>| {
            let (leaf, callers) = path.split_last().expect("a path has a leaf");
            row.functions.len() > callers.len()
                && row
                    .functions
                    .iter()
                    .zip(callers)
                    .all(|(shown, named)| shown == named)
                && row.functions[callers.len()].starts_with(leaf)
        };
        self.paths.iter().any(matches)
    }

    fn roots(&self) -> impl Iterator<Item = &'static str> + '_ {
        self.paths.iter().map(|path| path[0])
    }
}

/// Records `program` in this build and checks that the profile tells the truth at all sites, and that nothing was
/// lost or inconsistent. `silent` are functions at which no wait may be seen.
pub fn check(build: Build, program: &str, sites: &[Site], silent: &[&str]) {
    let recording = Recording::new(&[], build.program(program), &[]);
    assert!(recording.output.status.success(), "{}", recording.stderr());
    let truth = truth::read(&recording.folder.path().join("truth"));
    assert!(!truth.is_empty(), "the program measured nothing");
    let profile = recording.profile();
    let quality = Quality::complete(build.package != "tokio-1.28");
    let quality = if build.has_lines {
        quality
    } else {
        quality.without_lines()
    };
    invariants::check(&profile, quality);

    let comparison = Comparison {
        title: format!("{program} {}/{}", build.package, build.profile),
        rows: shown(&profile),
        profile: &profile,
        truth,
    };
    if build.has_lines {
        sites.iter().for_each(|site| comparison.check_site(site));
        silent.iter().for_each(|name| comparison.check_silent(name));
    } else {
        comparison.check_totals(sites);
    }
}

struct Comparison<'a> {
    title: String,
    profile: &'a Profile,
    rows: Vec<Shown>,
    truth: Vec<Truth>,
}

impl Comparison<'_> {
    fn check_site(&self, site: &Site) {
        let truth = self.truth_of(site);
        let kind = if site.is_running {
            "blocked"
        } else {
            site.kind.name()
        };
        assert_eq!(truth.kind, kind, "{}", self.about(site.name));
        if site.is_running {
            let running = self.of_groups(&|_, kind| kind == TaskKind::Blocking, State::Running);
            return self.agree(site.name, truth.total_ns, running, 0, truth.episodes);
        }
        let rows: Vec<&Shown> = self.rows.iter().filter(|row| site.is_at(row)).collect();
        assert!(!rows.is_empty(), "{}\n{}", self.about(site.name), self.all());
        let mut sum = Amount::default();
        for row in &rows {
            sum.add(row.suspended());
            let kinds: Vec<Kind> = row.waits().map(|(kind, _)| kind).collect();
            assert!(
                kinds.iter().all(|kind| *kind == site.kind),
                "{}: {kinds:?} at {}",
                self.about(site.name),
                row.path()
            );
        }
        if let Some(waits) = site.waits {
            assert_eq!(sum.episodes, waits, "{}", self.about(site.name));
        }
        let running = self.of_groups(&|name, _| site.roots().any(|root| root == name), State::Running);
        self.agree(site.name, truth.total_ns, sum.ns, running, truth.episodes);
    }

    /// Without the names of inlined functions: the waits of all tasks that have an await among the sites.
    fn check_totals(&self, sites: &[Site]) {
        let sites: Vec<&Site> = sites.iter().filter(|site| !site.is_running).collect();
        let roots: Vec<&str> = sites.iter().flat_map(|site| site.roots()).collect();
        for root in &roots {
            let is_named = self
                .rows
                .iter()
                .any(|row| row.functions.first().is_some_and(|name| name == root));
            assert!(is_named, "{}\n{}", self.about(root), self.all());
        }
        let among = |name: &str, _| roots.contains(&name);
        let [waiting, scheduled, running] =
            [State::Waiting, State::Scheduled, State::Running].map(|state| self.of_groups(&among, state));
        let truth = sites.iter().map(|site| self.truth_of(site));
        let (total_ns, episodes) = truth.fold((0, 0), |sum, truth| {
            (sum.0 + truth.total_ns, sum.1 + truth.episodes)
        });
        self.agree("all sites", total_ns, waiting + scheduled, running, episodes);
        for kind in [Kind::Timer, Kind::Io] {
            let truth: u64 = (sites.iter().filter(|site| site.kind == kind))
                .map(|site| self.truth_of(site).total_ns)
                .sum();
            let waited: u64 = (self.rows.iter())
                .map(|row| row.amount(Activity::Waiting(kind)).ns)
                .sum();
            self.agree(kind.name(), truth, waited, scheduled + running, episodes);
        }
    }

    fn check_silent(&self, function: &str) {
        let at = self
            .rows
            .iter()
            .find(|row| row.functions.iter().any(|name| name == function));
        let path = at.map(Shown::path);
        assert_eq!(path, None, "{}: never ends a wait", self.about(function));
    }

    fn truth_of(&self, site: &Site) -> &Truth {
        let truth = self.truth.iter().find(|truth| truth.site == site.name);
        truth.unwrap_or_else(|| panic!("{}: the program says nothing", self.about(site.name)))
    }

    /// Time in this state of the groups of such a name; a scheduling delay only where it follows a wait.
    fn of_groups(&self, wanted: &dyn Fn(&str, TaskKind) -> bool, state: State) -> u64 {
        let analysis = Analysis::new(self.profile, &Rules::default());
        let rows = analysis.rows(false).map(|(row, _)| row);
        let counts = rows.filter(|row| {
            let group = self.profile.group(row.group);
            wanted(self.profile.string(group.name), group.kind)
                && row.state == state
                && !(state == State::Scheduled && row.stack.index() == 0)
        });
        counts.map(|row| row.stats.total_ns).sum()
    }

    /// `measured` is within the truth, and with `beside` it is the truth.
    fn agree(&self, what: &str, truth: u64, measured: u64, beside: u64, awaits: u64) {
        let percent = 100.0 * (measured as f64 - truth as f64) / (truth as f64).max(1.0);
        let line = format!(
            "{:<32} {what:<32} truth {:>10.3} ms  profile {:>10.3} ms  {percent:>+6.2} %",
            self.title,
            truth as f64 / 1e6,
            measured as f64 / 1e6
        );
        if std::env::var_os("ASYNCPROF_TEST_TABLE").is_some() {
            eprintln!("{line}");
        }
        let slack = truth as f64 * SLACK_SHARE + awaits as f64 * SLACK_NS_PER_AWAIT;
        let (truth, measured) = (truth as f64, measured as f64);
        assert!(
            measured <= truth + slack && measured + beside as f64 >= truth - slack,
            "{line}, beside it ran {:.3} ms\n{}",
            beside as f64 / 1e6,
            self.all()
        );
    }

    fn about(&self, what: &str) -> String {
        format!("{}: {what}", self.title)
    }

    fn all(&self) -> String {
        let lines = self
            .rows
            .iter()
            .map(|row| format!("{} | {}: {:?}\n", row.group, row.path(), row.activities));
        lines.collect()
    }
}
