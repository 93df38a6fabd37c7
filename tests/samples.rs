//! What polls do with their threads: on the CPU, or blocked, and at which function.

use std::process::Command;

use asyncprof_core::profile::{Profile, State};
use asyncprof_core::view::Activity;

use crate::support::fixtures::fixture;
use crate::support::observed::{Amount, Shown, shown};
use crate::support::recording::{Folder, Recording};
use crate::support::truth;

/// Samples are late on a busy machine, and what is preempted meanwhile is off the CPU: the greater part is right.
const LEAST_SHARE: f64 = 0.6;
const SLACK_SHARE: f64 = 0.05;

struct Polls {
    rows: Vec<Shown>,
    truth: Vec<truth::Truth>,
}

impl Polls {
    fn recorded(profile: &str) -> Polls {
        let recording = Recording::new(&["-q"], fixture("waits", profile, "polls"), &[]);
        assert!(recording.output.status.success(), "{}", recording.stderr());
        let profile = recording.profile();
        assert!(profile.quality.samples > 100, "{:?}", profile.quality);
        Polls {
            rows: shown(&profile),
            truth: truth::read(&recording.folder.path().join("truth")),
        }
    }

    /// Time at the function, and at what it calls, in ns.
    fn at(&self, function: &str, activity: Activity) -> u64 {
        let rows = self
            .rows
            .iter()
            .filter(|row| row.functions.iter().any(|name| name == function));
        rows.map(|row| row.amount(activity))
            .map(|Amount { ns, .. }| ns)
            .sum()
    }

    fn check(&self, function: &str, activity: Activity) {
        let truth = self.truth.iter().find(|truth| truth.site == function).unwrap();
        let truth_ns = truth.total_ns as f64;
        let [found, on_cpu, blocked] =
            [activity, Activity::OnCpu, Activity::Blocked].map(|activity| self.at(function, activity) as f64);
        let line = format!(
            "{function:<20} {:<8} truth {:>8.1} ms  on-cpu {:>8.1} ms  blocked {:>8.1} ms",
            truth.kind,
            truth_ns / 1e6,
            on_cpu / 1e6,
            blocked / 1e6,
        );
        if std::env::var_os("ASYNCPROF_TEST_TABLE").is_some() {
            eprintln!("{line}");
        }
        let all = || format!("{line}\n{:#?}", self.rows);
        // A loop that uses the CPU is preempted now and then.
        let other = on_cpu + blocked - found;
        let most_of_other = if activity == Activity::OnCpu {
            truth_ns
        } else {
            found * 0.3
        };
        assert!(found + other <= truth_ns * (1.0 + SLACK_SHARE), "{}", all());
        assert!(found + other >= truth_ns * LEAST_SHARE, "{}", all());
        assert!(other <= most_of_other && found > truth_ns * 0.2, "{}", all());
    }
}

fn polls(profile: &str) {
    let polls = Polls::recorded(profile);
    for burning in ["polls::burn_long", "polls::burn_short", "polls::fault_long"] {
        polls.check(burning, Activity::OnCpu);
    }
    for blocking in ["polls::sleep_long", "polls::read_long", "polls::lock_long"] {
        polls.check(blocking, Activity::Blocked);
    }
    let leaf_of = |function: &str| {
        let rows = polls
            .rows
            .iter()
            .filter(|row| row.functions.iter().any(|name| name == function));
        let longest = rows.max_by_key(|row| row.amount(Activity::Blocked).ns).unwrap();
        longest.path()
    };
    assert!(
        leaf_of("polls::sleep_long").contains("nanosleep"),
        "{}",
        leaf_of("polls::sleep_long")
    );
    assert!(
        leaf_of("polls::read_long").ends_with("read"),
        "{}",
        leaf_of("polls::read_long")
    );
}

#[test]
fn release() {
    polls("release");
}

#[test]
fn lto_without_unwinding() {
    polls("lto");
}

#[test]
fn dev() {
    polls("dev");
}

#[test]
fn freq_0_takes_none() {
    let recording = Recording::new(&["-q", "--freq", "0"], fixture("waits", "release", "polls"), &[]);
    let profile: Profile = recording.profile();
    assert_eq!((profile.quality.samples, profile.quality.sampling_hz), (0, 0));
    let is_split = |state| matches!(state, State::OnCpu | State::Blocked);
    assert!(profile.rows.iter().all(|row| !is_split(row.state)));
}

/// Hundreds of thousands of short blocking calls of all kinds in a poll, while it is sampled as often as can be: none
/// is interrupted, and none takes shorter or much longer than it should.
#[test]
fn no_system_call_sees_eintr() {
    let program = fixture("waits", "release", "calls");
    let folder = Folder::new();
    let alone = Command::new(&program)
        .current_dir(folder.path())
        .output()
        .unwrap();
    let recording = Recording::new(&["-q", "--freq", "10000"], &program, &[]);
    assert_eq!(recording.output.stdout, alone.stdout, "{}", recording.stderr());
    let samples = recording.profile().quality.samples;
    assert!(samples > 100, "{samples}");
}

/// The signal that asks threads belongs to a program that wants it.
#[test]
fn a_program_that_uses_the_signal_itself() {
    let program = fixture("waits", "release", "urgent");
    let alone = Command::new(&program).output().unwrap();
    let recording = Recording::new(&["-q"], &program, &[]);
    assert_eq!(recording.output.stdout, alone.stdout, "{}", recording.stderr());
    assert!(alone.stdout.starts_with(b"1 "), "{:?}", alone.stdout);
}
