//! Holds a recording against what the program measured itself.
//!
//! The truth is taken by a clock around each `.await`: waiting, the scheduling delay after the wake, and what the
//! polls at both ends ran. What the profile calls waiting and scheduled lies within that, so it is at most the truth,
//! and with the task's running time at least the truth. Both hold to 2 % and 50 µs an await: the measuring itself, on
//! a machine that may take the processor away between two readings of the clock.

use asyncprof_core::profile::{Group, Profile, Row, StackId, State, TaskKind};
use asyncprof_core::view::{Activity, Kind};

use super::accuracy::Site;
use super::observed::{Amount, Shown};
use super::truth::Truth;

const SLACK_SHARE: f64 = 0.02;
const SLACK_NS_PER_AWAIT: f64 = 50_000.0;
/// Of a root task only the wakers are seen, not its polls: what its first and last poll ran beside a waker counts as
/// waiting, and so does the time slice or two that the thread may lose in them.
const SLACK_NS_OF_ROOTS: f64 = 20_000_000.0;

/// What the truth may contain beside the waits.
#[derive(Clone, Copy, Debug, Default)]
struct Beside {
    ran_ns: u64,
    slack_ns: f64,
}

pub struct Comparison<'a> {
    pub title: String,
    pub profile: &'a Profile,
    pub rows: Vec<Shown>,
    pub truth: Vec<Truth>,
}

impl Comparison<'_> {
    pub fn check_site(&self, site: &Site) {
        let truth = self.truth_of(site);
        let kind = if site.is_running {
            "blocked"
        } else {
            site.kind.name()
        };
        assert_eq!(truth.kind, kind, "{}", self.about(site.name));
        if site.is_running {
            let running = self.of_groups(&|group| group.kind == TaskKind::Blocking, State::Running);
            return self.agree(
                site.name,
                truth.total_ns,
                running,
                Beside::default(),
                truth.episodes,
            );
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
        if let Some(waits) = &site.waits {
            assert!(
                waits.contains(&sum.episodes),
                "{}: {} waits, not {waits:?}",
                self.about(site.name),
                sum.episodes
            );
        }
        let of_site = |group: &Group| site.roots().any(|root| root == self.profile.string(group.name));
        let is_root = |group: &Group| group.kind == TaskKind::Root;
        let mut beside = Beside {
            ran_ns: self.of_groups(&of_site, State::Running),
            slack_ns: self.slack_of_roots(&of_site),
        };
        if site.from_spawn {
            beside.ran_ns += self.first_delays(&of_site) + self.of_groups(&is_root, State::Running);
        }
        if self
            .profile
            .groups
            .iter()
            .any(|group| is_root(group) && of_site(group))
        {
            beside.slack_ns = SLACK_NS_OF_ROOTS;
        }
        beside.slack_ns += site.doubt_ns;
        self.agree(site.name, truth.total_ns, sum.ns, beside, truth.episodes);
    }

    /// Without the names of inlined functions: the waits of all tasks that have an await among the sites.
    pub fn check_totals(&self, sites: &[Site]) {
        let sites: Vec<&Site> = sites.iter().filter(|site| !site.is_running).collect();
        let roots: Vec<&str> = sites.iter().flat_map(|site| site.roots()).collect();
        for root in &roots {
            let is_named = self
                .rows
                .iter()
                .any(|row| row.functions.first().is_some_and(|name| name == root));
            assert!(is_named, "{}\n{}", self.about(root), self.all());
        }
        let among = |group: &Group| roots.contains(&self.profile.string(group.name));
        let [waiting, scheduled, running] =
            [State::Waiting, State::Scheduled, State::Running].map(|state| self.of_groups(&among, state));
        let truth = sites.iter().map(|site| self.truth_of(site));
        let (total_ns, episodes) = truth.fold((0, 0), |sum, truth| {
            (sum.0 + truth.total_ns, sum.1 + truth.episodes)
        });
        let beside = |ran_ns| Beside {
            ran_ns,
            slack_ns: self.slack_of_roots(&among),
        };
        self.agree(
            "all sites",
            total_ns,
            waiting + scheduled,
            beside(running),
            episodes,
        );
        for kind in [Kind::Timer, Kind::Io] {
            let truth: u64 = (sites.iter().filter(|site| site.kind == kind))
                .map(|site| self.truth_of(site).total_ns)
                .sum();
            let waited: u64 = (self.rows.iter())
                .map(|row| row.amount(Activity::Waiting(kind)).ns)
                .sum();
            self.agree(kind.name(), truth, waited, beside(scheduled + running), episodes);
        }
    }

    pub fn check_silent(&self, function: &str) {
        let at = self
            .rows
            .iter()
            .filter(|row| row.waits().next().is_some())
            .find(|row| row.functions.iter().any(|name| name == function));
        let path = at.map(Shown::path);
        assert_eq!(path, None, "{}: never ends a wait", self.about(function));
    }

    fn truth_of(&self, site: &Site) -> &Truth {
        let truth = self.truth.iter().find(|truth| truth.site == site.name);
        truth.unwrap_or_else(|| panic!("{}: the program says nothing", self.about(site.name)))
    }

    /// Time in this state of such groups; a scheduling delay only where it follows a wait.
    fn of_groups(&self, wanted: &dyn Fn(&Group) -> bool, state: State) -> u64 {
        let follows_no_wait = |row: &Row| row.state == State::Scheduled && row.stack == StackId::default();
        let is_wanted = |row: &Row| row.state == state || state == State::Running && row.state.is_running();
        self.time_of(wanted, &|row| is_wanted(row) && !follows_no_wait(row))
    }

    /// From spawns to first polls.
    fn first_delays(&self, wanted: &dyn Fn(&Group) -> bool) -> u64 {
        let is_first = |row: &Row| row.state == State::Scheduled && row.stack == StackId::default();
        self.time_of(wanted, &is_first)
    }

    fn time_of(&self, groups: &dyn Fn(&Group) -> bool, rows: &dyn Fn(&Row) -> bool) -> u64 {
        let wanted = |row: &&Row| {
            let group = self.profile.group(row.group);
            group.kind != TaskKind::Worker && groups(group) && rows(row)
        };
        let wanted = self.profile.rows.iter().filter(wanted);
        wanted.map(|row| row.stats.total_ns).sum()
    }

    fn slack_of_roots(&self, wanted: &dyn Fn(&Group) -> bool) -> f64 {
        let is_root = |group: &Group| group.kind == TaskKind::Root && wanted(group);
        if self.profile.groups.iter().any(is_root) {
            SLACK_NS_OF_ROOTS
        } else {
            0.0
        }
    }

    /// `measured` is within the truth, and with what ran beside it is the truth.
    fn agree(&self, what: &str, truth: u64, measured: u64, beside: Beside, awaits: u64) {
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
        let (truth, measured) = (truth as f64, measured as f64);
        let slack = truth * SLACK_SHARE + awaits as f64 * SLACK_NS_PER_AWAIT + beside.slack_ns;
        assert!(
            measured <= truth + slack && measured + beside.ran_ns as f64 >= truth - slack,
            "{line}, {beside:?}\n{}",
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
