//! The rates of errors that `docs/statistics.md` states, counted in recordings by dice with fixed seeds.

use super::simulate::{Wait, recorded, thinned};
use super::*;
use crate::profile::{FrameId, Profile, State, Stats, TaskKind, Work};
use crate::view::testing::ProfileBuilder;

/// Rates and lengths of waits.
fn waits(of: &[(f64, f64)]) -> Vec<Wait> {
    let wait = |&(per_second, mean_ms): &(f64, f64)| Wait { per_second, mean_ms };
    of.iter().map(wait).collect()
}

fn compared(base: &[Wait], new: &[Wait], seconds: u64, seed: u64, options: &DiffOptions) -> Diff {
    let [base, new]: [Profile; 2] =
        [(base, 0), (new, 1)].map(|(waits, side)| recorded(waits, seconds, 2 * seed + side));
    compare(&[&base], &[&new], options)
}

fn per(exposure: Exposure) -> DiffOptions {
    DiffOptions {
        exposure: Some(exposure),
        ..DiffOptions::default()
    }
}

/// A program of which one run is recorded whole and the other thinned is not taken for a changed one, neither by the time of
/// its waits nor by their lengths; and one that has changed is still found.
#[test]
fn a_thinned_recording_knows_its_errors() {
    const PAIRS: u64 = 200;
    let waits = waits(&[
        (800.0, 2.0),
        (400.0, 5.0),
        (100.0, 30.0),
        (50.0, 8.0),
        (20.0, 50.0),
        (9.0, 10.0),
    ]);
    let mut slower = waits.clone();
    slower[2].mean_ms *= 1.6;
    let (mut any, mut longer, mut found) = (0, 0, 0);
    for pair in 0..PAIRS {
        let base = recorded(&waits, 20, 2 * pair);
        let compared = |new: &[Wait]| {
            let new = thinned(new, 20, 2 * pair + 1, 8);
            compare(&[&base], &[&new], &DiffOptions::default())
        };
        let diff = compared(&waits);
        let is_longer = |node: &DiffNode| {
            let verdict = |of: &Percentile| matches!(of.verdict, Length::Longer | Length::Shorter);
            node.percentiles.iter().any(verdict)
        };
        any += u64::from(!diff.findings.is_empty());
        longer += u64::from(diff.nodes.iter().any(is_longer));
        let diff = compared(&slower);
        let is_slower = |&at: &usize| diff.nodes[at].verdict == Verdict::Slower;
        found += u64::from(diff.findings.iter().any(is_slower));
    }
    println!("findings in {any}, lengths in {longer} of {PAIRS}; {found} found");
    assert!(any <= PAIRS * 8 / 100, "{any}");
    assert!(longer <= PAIRS * 8 / 100, "{longer}");
    assert!(found >= PAIRS * 80 / 100, "{found}");
}

/// No is said of a program against itself, and is wrong in at most one of five cases in which a tenth of all time was
/// added somewhere.
#[test]
fn a_no_of_the_gate_can_be_relied_on() {
    const TRIES: u64 = 100;
    // (base, where a tenth is added, seconds)
    for (name, base, added, seconds) in [
        ("steady", waits(&[(100.0, 1.0); 10]), 3, 20),
        (
            "bursty",
            waits(&[(10.0, 40.0), (5.0, 60.0), (200.0, 1.0), (3.0, 50.0)]),
            1,
            20,
        ),
        (
            "long",
            waits(&[(0.3, 3000.0), (0.3, 8000.0), (200.0, 2.0)]),
            2,
            20,
        ),
        ("short", waits(&[(100.0, 1.0); 10]), 3, 4),
    ] {
        let total: f64 = base.iter().map(|wait| wait.per_second * wait.mean_ms).sum();
        let mut slower = base.clone();
        slower[added].mean_ms += 0.1 * total / slower[added].per_second;
        let mut answers = [[0; 3]; 2];
        for seed in 0..TRIES {
            for (new, answers) in [&base, &slower].into_iter().zip(&mut answers) {
                let diff = compared(&base, new, seconds, seed, &DiffOptions::default());
                answers[diff.answer(Question::Slower) as usize] += 1;
            }
        }
        println!(
            "{name}: no, yes, cannot tell: same {:?}, slower {:?}",
            answers[0], answers[1]
        );
        let [[same_no, same_yes, _], [slower_no, slower_yes, _]] = answers;
        assert!(same_yes * 100 <= 8 * TRIES, "{name}");
        assert!(slower_no * 100 <= 20 * TRIES, "{name}");
        match name {
            "steady" => assert!(same_no * 100 >= 85 * TRIES && slower_yes * 100 >= 95 * TRIES),
            "long" => assert_eq!(same_no, 0, "{name}"),
            _ => {}
        }
    }
}

/// Twice the load in half of the time is no change per share and at equal load; one wait that takes half as long again
/// is, and only that.
#[test]
fn twice_the_load_is_no_change_if_it_is_taken_out() {
    const TRIES: u64 = 100;
    let base: Vec<Wait> = (1..=20)
        .map(|n| Wait {
            per_second: 400.0 / f64::from(n),
            mean_ms: f64::from(n % 5 + 1),
        })
        .collect();
    let mut busy = base.clone();
    busy.iter_mut().for_each(|wait| wait.per_second *= 2.0);
    let mut slow = busy.clone();
    slow[4].mean_ms *= 1.5;
    for exposure in [Exposure::Load, Exposure::Share, Exposure::Work] {
        let (mut any, mut alarms, mut found, mut elsewhere) = (0, 0, 0, 0);
        for seed in 0..TRIES {
            let same = worked(&base, &busy, seed, exposure);
            any += u64::from(!same.findings.is_empty());
            alarms += u64::from(same.answer(Question::Change) == Answer::Yes);
            let changed = worked(&base, &slow, seed, exposure);
            for &at in &changed.findings {
                let node = &changed.nodes[at];
                let is_it = changed
                    .ancestors(at)
                    .chain([at])
                    .any(|at| changed.nodes[at].name == "app::wait_4");
                let is_right = is_it && node.verdict == Verdict::Slower;
                *if is_right { &mut found } else { &mut elsewhere } += 1;
            }
        }
        println!("{exposure:?}: any {any}, alarms {alarms}, found {found}, elsewhere {elsewhere} of {TRIES}");
        assert!(
            any * 100 <= 8 * TRIES && alarms * 100 <= 8 * TRIES,
            "{exposure:?}"
        );
        assert!(found * 100 >= 90 * TRIES, "{exposure:?}");
    }
    let diff = compared(&base, &busy, 20, 1, &per(Exposure::Seconds));
    assert_eq!(diff.root().verdict, Verdict::Slower);
}

/// Twenty seconds each; every wait of the first kind is one of a request.
fn worked(base: &[Wait], new: &[Wait], seed: u64, exposure: Exposure) -> Diff {
    let [base, new]: [Profile; 2] = [(base, 0), (new, 1)].map(|(waits, side)| {
        let mut run = recorded(waits, 20, 2 * seed + side);
        let per_window = |&(window, ns): &(u32, u64)| (window, (ns as f64 / 1e6 / waits[0].mean_ms) as u64);
        let windows: Vec<(u32, u64)> = run.rows[0].windows.iter().map(per_window).collect();
        run.work = vec![Work {
            units: windows.iter().map(|window| window.1).sum(),
            windows,
            ..Work::default()
        }];
        run
    });
    compare(&[&base], &[&new], &per(exposure))
}

/// A frame with 19 % of the time takes twice as long: of the others, whose rates are the same, at most ten are marked.
#[test]
fn a_large_change_does_not_mark_what_is_the_same() {
    const OTHERS: usize = 1000;
    let total = 10_000.0;
    let other = Wait {
        per_second: 0.81 * total / OTHERS as f64,
        mean_ms: 1.0,
    };
    let mut base = vec![other; OTHERS];
    base.push(Wait {
        per_second: 0.19 * total,
        mean_ms: 1.0,
    });
    let mut slow = base.clone();
    slow[OTHERS].mean_ms = 2.0;
    for exposure in [Exposure::Seconds, Exposure::Load] {
        for seed in 0..5 {
            // However small: the size that matters is no help.
            let options = DiffOptions {
                min_effect: 0.0,
                ..per(exposure)
            };
            let diff = compared(&base, &slow, 10, seed, &options);
            let ends = diff
                .nodes
                .iter()
                .enumerate()
                .filter(|(_, node)| node.children.is_empty());
            let marked: Vec<bool> = ends
                .filter(|(_, node)| node.verdict.is_change())
                .map(|(at, _)| {
                    diff.ancestors(at)
                        .any(|at| diff.nodes[at].name == format!("app::wait_{OTHERS}"))
                })
                .collect();
            let (right, wrong): (Vec<bool>, Vec<bool>) = marked.into_iter().partition(|is_it| *is_it);
            println!(
                "{exposure:?}: {} right, {} wrong of {OTHERS}",
                right.len(),
                wrong.len()
            );
            assert_eq!(right.len(), 1);
            assert!(wrong.len() <= 10, "{}", wrong.len());
        }
    }
}

/// Fewer and longer waits, as much time: a change that only the percentiles show. And none shows where there is none.
#[test]
fn a_wait_that_gets_longer_without_more_time() {
    const TRIES: u64 = 100;
    let base = waits(&[(100.0, 2.0), (60.0, 5.0), (300.0, 1.0), (20.0, 8.0), (50.0, 1.0)]);
    let mut longer = base.clone();
    longer[1] = Wait {
        per_second: 30.0,
        mean_ms: 10.0,
    };
    let (mut any, mut found, mut elsewhere, mut by_time) = (0, 0, 0, 0);
    for seed in 0..TRIES {
        let same = compared(&base, &base, 20, seed, &DiffOptions::default());
        any += u64::from(!same.of_other_length().is_empty());
        let diff = compared(&base, &longer, 20, seed, &DiffOptions::default());
        by_time += usize::from(!diff.findings.is_empty());
        for at in diff.of_other_length() {
            let is_it = diff.ancestors(at).any(|at| diff.nodes[at].name == "app::wait_1");
            let of = &diff.nodes[at].percentiles;
            let is_right =
                is_it && of[0].verdict == Length::Longer && (of[0].factor.0..of[0].factor.1).contains(&2.0);
            *if is_right { &mut found } else { &mut elsewhere } += 1;
        }
    }
    println!("any {any}, found {found}, elsewhere {elsewhere}, by time {by_time} of {TRIES}");
    assert!(any * 100 <= 8 * TRIES && elsewhere * 100 <= 8 * TRIES as usize);
    assert!(found * 100 >= 90 * TRIES as usize, "{found}");
}

/// What samples found of the same load: the same time in ten times as many episodes at ten times the rate.
#[test]
fn the_rate_of_samples_is_no_change() {
    const TRIES: u64 = 100;
    let mut any = 0;
    for seed in 0..TRIES {
        let [slowly, often] = [(100, 0), (1000, 1)].map(|(hz, side)| sampled(hz, 2 * seed + side));
        for exposure in [Exposure::Seconds, Exposure::Load] {
            let diff = compare(&[&slowly], &[&often], &per(exposure));
            any += u64::from(!diff.findings.is_empty() || diff.answer(Question::Change) == Answer::Yes);
        }
    }
    println!("{any} of {}", 2 * TRIES);
    assert!(any * 100 <= 8 * 2 * TRIES, "{any}");
}

/// Polls of 3 ms in six functions, 60 a second, hit by so many samples a second each of which stands for its period;
/// and the waits between the polls.
fn sampled(hz: u64, seed: u64) -> Profile {
    const SECONDS: u64 = 20;
    let mut random = gate::Random(seed ^ 0x5a5a);
    let mut profile = recorded(&waits(&[(60.0, 4.0), (60.0, 2.0)]), SECONDS, seed);
    let mut builder = ProfileBuilder::new();
    let group = builder.group("app::handle", TaskKind::Task, 1);
    let (mut stats, mut windows) = ([const { None::<Stats> }; 6], vec![[0; SECONDS as usize]; 6]);
    for poll in 0..60 * SECONDS {
        let period = 1_000_000_000 / hz;
        let mut at = random.below(period as usize) as u64;
        while at < 3_000_000 {
            let function = random.below(6);
            stats[function].get_or_insert_default().add(period);
            windows[function][(poll / 60) as usize] += period;
            at += period;
        }
    }
    for (function, (found, windows)) in stats.into_iter().zip(windows).enumerate() {
        let stack = builder.stack(&["app::handle::{{closure}}", &format!("app::work_{function}")]);
        let row = builder.row(group, stack, State::OnCpu, 0, 0);
        row.stats = found.unwrap_or_default();
        row.windows = (0..).zip(windows).filter(|window| window.1 > 0).collect();
    }
    let mut busy = builder.build();
    busy.meta = profile.meta.clone();
    // Both have one group; the stacks of the one go behind those of the other.
    let (strings, frames, stacks) = (
        profile.strings.len() as u32,
        profile.frames.len() as u32,
        profile.stacks.len() as u32,
    );
    profile.strings.append(&mut busy.strings);
    for frame in &mut busy.frames {
        frame
            .functions
            .iter_mut()
            .for_each(|function| function.name.0 += strings);
    }
    profile.frames.append(&mut busy.frames);
    for stack in busy.stacks.iter() {
        let moved = stack.iter().map(|frame| FrameId(frame.0 + frames));
        profile.stacks.push(moved);
    }
    for row in &mut busy.rows {
        row.stack.0 += stacks;
    }
    profile.rows.append(&mut busy.rows);
    profile
}

/// A thousand stacks of one episode each, 1 % more in all on the other side: every frame is there, and none is said to
/// have changed.
#[test]
fn a_thousand_rare_stacks_are_all_there() {
    let of = |each_ns| {
        let mut builder = ProfileBuilder::new();
        let group = builder.group("app::handle", TaskKind::Task, 1);
        for number in 0..1000 {
            let stack = builder.stack(&["app::handle::{{closure}}", &format!("app::step_{number}")]);
            builder.row(group, stack, State::Waiting, 1, each_ns).windows = [(number % 10, each_ns)].into();
        }
        builder.build()
    };
    for exposure in [Exposure::Seconds, Exposure::Load, Exposure::Share] {
        let diff = compare(&[&of(1_000_000)], &[&of(1_010_000)], &per(exposure));
        let steps = diff
            .nodes
            .iter()
            .filter(|node| node.name.starts_with("app::step_"));
        let steps: Vec<_> = steps.collect();
        assert_eq!(steps.len(), 1000);
        assert!(
            steps
                .iter()
                .all(|step| step.base.rate > 0.0 && step.new.rate > 0.0 && step.verdict == Verdict::Rare)
        );
        assert_eq!(diff.findings, [0; 0]);
    }
}

/// Two equal runs on a side are one with twice the episodes: rates stay.
#[test]
fn a_run_given_twice_has_twice_the_episodes_and_the_same_rates() {
    let [a, b] = [1, 2].map(|seed| recorded(&waits(&[(100.0, 2.0), (30.0, 9.0), (0.4, 900.0)]), 10, seed));
    let (once, twice) = (
        compare(&[&a], &[&b], &per(Exposure::Seconds)),
        compare(&[&a, &a], &[&b, &b], &per(Exposure::Seconds)),
    );
    assert_eq!(once.nodes.len(), twice.nodes.len());
    for (once, twice) in once.nodes.iter().zip(&twice.nodes) {
        assert_eq!(2 * once.base.episodes, twice.base.episodes);
        assert_eq!(2 * once.new.stats.episodes, twice.new.stats.episodes);
        assert_eq!(
            (once.base.rate, once.new.rate, once.effect),
            (twice.base.rate, twice.new.rate, twice.effect)
        );
    }
}
