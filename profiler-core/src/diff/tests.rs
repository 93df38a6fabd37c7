//! What the comparison claims, tried on recordings of which the truth is known.

use proptest::prelude::*;

use super::simulate::{Wait, recorded};
use super::*;
use crate::profile::{Profile, State, TaskKind};
use crate::view::testing::ProfileBuilder;

/// Thirty kinds of waits, from frequent and short to rare and as long as the recording.
fn service() -> Vec<Wait> {
    let waits = (0..30).map(|n| Wait {
        per_second: 200.0 / f64::from(n + 1),
        mean_ms: f64::from(n % 7 + 1),
    });
    let long = [3000.0, 8000.0, 1500.0].map(|mean_ms| Wait {
        per_second: 0.3,
        mean_ms,
    });
    waits.chain(long).collect()
}

fn diff(base: &Profile, new: &Profile) -> Diff {
    compare(&[base], &[new], &DiffOptions::default())
}

fn run(profile: &Profile) -> Run {
    Runs::new(&DiffOptions::default()).add(profile.clone())
}

/// From the root: `app::handle/app::wait_3/[timer]`.
fn path(diff: &Diff, at: usize) -> String {
    let mut names: Vec<&str> = diff
        .ancestors(at)
        .map(|at| diff.nodes[at].name.as_str())
        .collect();
    names.reverse();
    names.push(&diff.nodes[at].name);
    names.join("/")
}

fn findings(diff: &Diff) -> Vec<(Verdict, String)> {
    let finding = |&at: &usize| (diff.nodes[at].verdict, path(diff, at));
    diff.findings.iter().map(finding).collect()
}

#[test]
fn a_program_against_itself() {
    const PAIRS: u64 = 200;
    for min_effect in [0.0, DiffOptions::default().min_effect] {
        let options = DiffOptions {
            min_effect,
            ..DiffOptions::default()
        };
        let (mut marked, mut nodes, mut any, mut alarms) = (0, 0, 0, [0; 2]);
        for pair in 0..PAIRS {
            let [base, new] = [0, 1].map(|side| recorded(&service(), 20, 2 * pair + side));
            let diff = compare(&[&base], &[&new], &options);
            let changed = diff.nodes.iter().filter(|node| node.verdict.is_change()).count();
            nodes += diff.nodes.len();
            marked += changed;
            any += u64::from(changed > 0);
            let gate = diff.gate.expect("20 windows a side are enough");
            for (alarms, p) in alarms.iter_mut().zip([gate.slower, gate.faster]) {
                *alarms += u64::from(p <= 0.05);
            }
        }
        println!("{marked} of {nodes} nodes, in {any} of {PAIRS} pairs; alarms {alarms:?}");
        assert!(marked * 100 <= nodes, "{marked} of {nodes}");
        assert!(any * 100 <= 8 * PAIRS, "{any}");
        assert!(
            alarms.iter().all(|alarms| alarms * 100 <= 8 * PAIRS),
            "{alarms:?}"
        );
    }
}

/// Exactly exchangeable windows, and nothing else that holds the gate back: it alarms about as often as it says.
#[test]
fn the_gates_false_alarms_are_as_many_as_it_says() {
    const PAIRS: u64 = 400;
    let waits: Vec<Wait> = (0..10)
        .map(|_| Wait {
            per_second: 300.0,
            mean_ms: 1.0,
        })
        .collect();
    let alarms = (0..PAIRS).filter(|pair| {
        let [base, new] = [0, 1].map(|side| recorded(&waits, 10, 7_000 + 2 * pair + side));
        let options = DiffOptions {
            // As no change is too small to matter, every node may alarm.
            min_effect: 0.0,
            ..DiffOptions::default()
        };
        compare(&[&base], &[&new], &options).gate.unwrap().slower <= 0.05
    });
    let alarms = alarms.count();
    println!("{alarms} alarms in {PAIRS}");
    assert!((1..=32).contains(&alarms), "{alarms}");
}

#[test]
fn a_planted_change_is_found_and_blamed_on_the_right_wait() {
    const TRIES: u64 = 50;
    let mut slow = service();
    slow[4].mean_ms *= 1.5;
    slow[4].per_second = 200.0;
    let mut base = service();
    base[4].per_second = 200.0;
    let (mut found, mut elsewhere, mut alarms) = (0, 0, 0);
    for seed in 0..TRIES {
        let diff = diff(&recorded(&base, 20, 2 * seed), &recorded(&slow, 20, 2 * seed + 1));
        let findings = findings(&diff);
        let is_right = |finding: &&(Verdict, String)| {
            finding.0 == Verdict::Slower && finding.1.contains("app::handle/app::wait_4/")
        };
        let right = findings.iter().filter(is_right).count();
        found += right;
        elsewhere += findings.len() - right;
        alarms += usize::from(diff.gate.unwrap().slower <= 0.05);
    }
    println!("found {found}, elsewhere {elsewhere}, alarms {alarms} of {TRIES}");
    assert!(found >= 48, "{found}");
    assert!(elsewhere <= 5, "{elsewhere}");
    assert!(alarms >= 45, "{alarms}");
}

/// A wait with 2 % of the time gets 1.5 times as long; 20,000 episodes in all.
#[test]
fn a_small_part_that_gets_much_slower_is_found() {
    const TRIES: u64 = 50;
    let share = |percent: f64| Wait {
        per_second: 10.0 * percent,
        mean_ms: 5.0,
    };
    let base: Vec<Wait> = [2.0, 8.0, 10.0, 15.0, 25.0, 40.0].map(share).to_vec();
    let mut slow = base.clone();
    slow[0].mean_ms *= 1.5;
    let found = (0..TRIES).filter(|seed| {
        let diff = diff(&recorded(&base, 20, 2 * seed), &recorded(&slow, 20, 2 * seed + 1));
        findings(&diff)
            .iter()
            .any(|finding| finding.0 == Verdict::Slower && finding.1.contains("app::wait_0/"))
    });
    let found = found.count();
    println!("found {found} of {TRIES}");
    assert!(found >= 45, "{found}");
}

#[test]
fn runs_that_differ_among_themselves_show_nothing() {
    // The whole machine is 15 % slower in every second run: one run a side cannot know, three can.
    let run = |seed: u64, factor: f64| {
        let mut waits = service();
        waits.iter_mut().for_each(|wait| wait.mean_ms *= factor);
        recorded(&waits, 20, seed)
    };
    let base = [run(1, 1.0), run(2, 1.3), run(3, 1.0)];
    let new = [run(4, 1.3), run(5, 1.0), run(6, 1.3)];
    assert!(!findings(&diff(&base[0], &new[0])).is_empty());
    let base: Vec<&Profile> = base.iter().collect();
    let new: Vec<&Profile> = new.iter().collect();
    let several = compare(&base, &new, &DiffOptions::default());
    assert_eq!(findings(&several), []);
    let gate = several.gate.unwrap();
    assert!(gate.by == Dealt::Runs && gate.slower > 0.05, "{gate:?}");
}

#[test]
fn twice_the_recording_is_no_change() {
    let diff = diff(&recorded(&service(), 15, 1), &recorded(&service(), 30, 2));
    assert_eq!(findings(&diff), []);
}

#[test]
fn a_hundred_thousand_nodes() {
    let of = |each_ns| {
        let names: Vec<String> = (0..50_000).map(|n| format!("app::f{n}")).collect();
        let waits: Vec<_> = names
            .iter()
            .map(|name| ("app::a", name.as_str(), 30, each_ns))
            .collect();
        by_hand(&waits)
    };
    let (base, new) = (of(1_000_000), of(1_010_000));
    let started = std::time::Instant::now();
    let diff = diff(&base, &new);
    println!("{} nodes in {:?}", diff.nodes.len(), started.elapsed());
    assert!(diff.nodes.len() > 100_000);
    // One per cent in each of them is nothing to see; in all together it is.
    assert_eq!(findings(&diff), [(Verdict::Slower, "app::a".to_owned())]);
}

/// (task, function, episodes, ns each), one wait each, evenly over ten seconds.
fn by_hand(waits: &[(&str, &str, u64, u64)]) -> Profile {
    let mut builder = ProfileBuilder::new();
    let mut groups = std::collections::HashMap::new();
    for &(task, function, episodes, each_ns) in waits {
        let group = *groups
            .entry(task)
            .or_insert_with(|| builder.group(task, TaskKind::Task, 1));
        let outer = format!("{task}::{{{{closure}}}}");
        let sleep = "<tokio::time::sleep::Sleep as core::future::future::Future>::poll";
        let stack = builder.stack(&[&outer, function, sleep]);
        let row = builder.row(group, stack, State::Waiting, episodes, each_ns);
        row.windows = (0..10).map(|window| (window, episodes * each_ns / 10)).collect();
    }
    builder.build()
}

#[test]
fn a_renamed_function_has_moved() {
    let others = [("app::serve", "app::load::{{closure}}", 5000, 1_000_000)];
    let with = |name| {
        let waits = [&others[..], &[("app::serve", name, 2000, 1_000_000)]].concat();
        by_hand(&waits)
    };
    let diff = diff(
        &with("app::old_name::{{closure}}"),
        &with("app::fresh_name::{{closure}}"),
    );
    let mut found = findings(&diff);
    found.sort();
    let sleep = "tokio::time::sleep::Sleep::poll";
    let expected =
        ["app::fresh_name", "app::old_name"].map(|name| (Verdict::Moved, format!("app::serve/{name}")));
    assert_eq!(found, expected);
    assert_eq!(diff.nodes[diff.findings[0]].partner, Some(diff.findings[1]));
    assert!(diff.gate.unwrap().slower > 0.05);
    assert!(diff.nodes.iter().filter(|node| node.name == sleep).count() == 3);
}

#[test]
fn a_wait_under_another_caller_has_moved_but_two_changes_are_two() {
    let moved = diff(
        &by_hand(&[
            ("app::a", "app::f", 3000, 1_000_000),
            ("app::b", "app::g", 3000, 1_000_000),
        ]),
        &by_hand(&[
            ("app::b", "app::f", 3000, 1_000_000),
            ("app::b", "app::g", 3000, 1_000_000),
        ]),
    );
    assert!(
        findings(&moved).iter().all(|finding| finding.0 == Verdict::Moved),
        "{:?}",
        findings(&moved)
    );
    let two = diff(
        &by_hand(&[
            ("app::a", "app::f", 5000, 1_000_000),
            ("app::a", "app::g", 5000, 2_000_000),
        ]),
        &by_hand(&[
            ("app::a", "app::f", 5000, 2_000_000),
            ("app::a", "app::g", 5000, 1_000_000),
        ]),
    );
    let mut verdicts: Vec<Verdict> = findings(&two).iter().map(|finding| finding.0).collect();
    verdicts.sort();
    assert_eq!(verdicts, [Verdict::Slower, Verdict::Faster]);
}

#[test]
fn names_match_without_numbers_unless_they_are_to_be_exact() {
    let with = |name| by_hand(&[("app::serve", name, 5000, 1_000_000)]);
    let (base, new) = (
        with("app[0123456789abcdef]::load::{closure#0}"),
        with("app[fedcba9876543210]::load::{closure#1}"),
    );
    assert_eq!(findings(&diff(&base, &new)), []);
    let exact = DiffOptions {
        exact_names: true,
        ..DiffOptions::default()
    };
    let exact = compare(&[&base], &[&new], &exact);
    let names: Vec<String> = findings(&exact).into_iter().map(|finding| finding.1).collect();
    assert_eq!(names.len(), 2, "{names:?}");
    assert!(
        names
            .iter()
            .any(|name| name.ends_with("app[fedcba9876543210]::load::{closure#1}")),
        "{names:?}"
    );
}

#[test]
fn what_is_rare_or_never_ended_is_not_judged() {
    let rare = |each_ns| {
        by_hand(&[
            ("app::a", "app::f", 9, each_ns),
            ("app::a", "app::g", 5000, 1_000_000),
        ])
    };
    let diff_rare = diff(&rare(1_000_000), &rare(9_000_000));
    assert_eq!(findings(&diff_rare), []);
    let leaf = diff_rare.nodes.iter().find(|node| node.name == "app::f").unwrap();
    assert_eq!((leaf.verdict, leaf.p), (Verdict::Rare, None));

    // A listener that waits from the start to the end says nothing about the variance of what is above it.
    let idle = |work_ns| {
        let mut profile = by_hand(&[
            ("app::a", "app::g", 5000, work_ns),
            ("app::a", "app::idle", 1, 10_000_000_000),
        ]);
        profile.rows[1].open_episodes = 1;
        profile
    };
    let diff_idle = diff(&idle(1_000_000), &idle(1_100_000));
    assert!(
        findings(&diff_idle)
            .iter()
            .any(|finding| finding.1.contains("app::g"))
    );
}

#[test]
fn different_programs_and_damaged_runs_are_objected_to() {
    let of = |task| by_hand(&[(task, "app::f", 3000, 1_000_000)]);
    let said =
        |base: &Profile, new: &Profile| objections(&[&run(base)], &[&run(new)], &diff(base, new)).join("; ");
    let plain = of("app::a");
    assert_eq!(said(&plain, &plain), "");
    assert_eq!(said(&plain, &of("app::b")), "", "a rewrite of the same program");
    let mut other = of("app::b");
    other.processes[0].executable = "/srv/other".to_owned();
    assert!(
        said(&plain, &other).contains("different programs: app and other"),
        "{}",
        said(&plain, &other)
    );
    let mut renamed = of("app::a");
    renamed.processes[0].executable = "/srv/app-v2".to_owned();
    assert_eq!(said(&plain, &renamed), "");
    let mut sampled = of("app::a");
    sampled.quality.sampling_hz = 997;
    assert!(said(&plain, &sampled).contains("--freq 0"));
    let mut lossy = of("app::a");
    lossy.quality.events_lost = 3;
    assert!(said(&plain, &lossy).contains("a new run has losses (3 events"));
    assert!(said(&by_hand(&[]), &plain).contains("a base run is empty"));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn swapped_sides_swap_the_signs(seed in 0_u64..1000, factor in 0.5_f64..2.0, gone in 0_usize..33, seconds in 2_u64..14, per in 0_usize..3) {
        let mut changed = service();
        changed[3].mean_ms *= factor;
        changed.remove(gone);
        let (base, new) = (recorded(&service(), 12, seed), recorded(&changed, seconds, seed + 1));
        let options = DiffOptions {
            exposure: Some([Exposure::Seconds, Exposure::Load, Exposure::Share][per]),
            ..DiffOptions::default()
        };
        let (there, back) = (compare(&[&base], &[&new], &options), compare(&[&new], &[&base], &options));
        prop_assert_eq!(there.nodes.len(), back.nodes.len());
        for (a, b) in there.nodes.iter().zip(&back.nodes) {
            prop_assert_eq!(&a.name, &b.name);
            prop_assert_eq!(a.effect, -b.effect);
            prop_assert_eq!(a.interval, (-b.interval.1, -b.interval.0));
            prop_assert_eq!((a.p, a.q), (b.p, b.q));
            for (a, b) in a.percentiles.iter().zip(&b.percentiles) {
                prop_assert_eq!((a.base_ns, a.new_ns, a.p, a.q), (b.new_ns, b.base_ns, b.p, b.q));
                prop_assert!((a.factor.0 * b.factor.1 - 1.0).abs() < 1e-9);
            }
            let mirrored = match a.verdict {
                Verdict::Slower => Verdict::Faster,
                Verdict::Faster => Verdict::Slower,
                Verdict::New => Verdict::Gone,
                Verdict::Gone => Verdict::New,
                same => same,
            };
            prop_assert_eq!(mirrored, b.verdict);
        }
        let mirrored = there.gate.map(|gate| (gate.faster, gate.slower));
        prop_assert_eq!(mirrored, back.gate.map(|gate| (gate.slower, gate.faster)));
    }

    #[test]
    fn a_run_against_itself_is_nothing(profile in crate::profile::arbitrary::profile()) {
        let diff = diff(&profile, &profile);
        prop_assert!(diff.nodes.iter().all(|node| node.effect == 0.0 || node.effect.is_nan()));
        prop_assert!(diff.findings.is_empty());
        prop_assert!(diff.gate.is_none_or(|gate| gate.slower > 0.9 && gate.faster > 0.9));
    }

    /// Nothing panics and no time is lost, whatever the two have in common.
    #[test]
    fn any_two_profiles_can_be_compared(base in crate::profile::arbitrary::profile(), new in crate::profile::arbitrary::profile()) {
        for exposure in [Exposure::Seconds, Exposure::Work, Exposure::Load, Exposure::Share] {
            let options = DiffOptions { exposure: Some(exposure), ..DiffOptions::default() };
            let diff = compare(&[&base], &[&new], &options);
            for node in &diff.nodes {
                prop_assert!(node.q.is_none_or(|q| (0.0..=1.0).contains(&q)));
            }
            diff.answer(Question::Change);
            objections(&[&run(&base)], &[&run(&new)], &diff);
        }
    }
}
