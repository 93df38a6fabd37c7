//! `diff`: recordings of a service of which one wait is as long as we say.

use std::fs;
use std::thread;

use serde_json::Value;

use crate::support::fixtures::fixture;
use crate::support::recording::{Folder, asyncprof};
use crate::support::run::{Ran, record, run, text};

const UPSTREAM: &str = "service::ask_upstream → tokio::…::Sleep [timer]";

fn diff(folder: &Folder, args: &[&str]) -> Ran {
    run(asyncprof(folder).arg("diff").args(args))
}

fn json(folder: &Folder, args: &[&str]) -> Value {
    let ran = diff(folder, &[&["--json"], args].concat());
    assert_eq!((ran.code, ran.stderr.as_str()), (0, ""));
    serde_json::from_str(&ran.stdout).unwrap()
}

/// Verdicts and frames.
fn findings(report: &Value) -> Vec<(&str, &str)> {
    let findings = report["findings"].as_array().unwrap().iter();
    findings
        .map(|finding| {
            (
                finding["verdict"].as_str().unwrap(),
                finding["frame"].as_str().unwrap(),
            )
        })
        .collect()
}

/// Recorded at the same time: (name of the profile, length of the wait for the upstream in ms, and `locked`).
fn record_at_once(folder: &Folder, recordings: &[(&str, &str)]) {
    let app = fixture("waits", "release", "service");
    thread::scope(|scope| {
        for (profile, upstream) in recordings {
            let app = text(&app);
            scope.spawn(move || {
                let (upstream_ms, locked) = upstream.split_once(' ').unwrap_or((upstream, ""));
                let args = ["-q", "-o", profile, "--", app, upstream_ms, "10", locked];
                let ran = record(folder, &args);
                assert_eq!(ran.code, 0, "{}", ran.stderr);
            });
        }
    });
}

#[test]
fn the_wait_that_got_longer_and_only_that() {
    let folder = Folder::new();
    record_at_once(
        &folder,
        &[("a.data", "20"), ("again.data", "20"), ("b.data", "30")],
    );

    // Three standard errors of 5000 episodes are 6 % of a wait, and the machine is the same for all.
    let same = json(&folder, &["a.data", "again.data", "--all"]);
    let changed = |place: &&Value| {
        ["slower", "faster", "new", "gone"]
            .iter()
            .any(|v| place["verdict"] == *v)
    };
    let places = same["places"].as_array().unwrap();
    assert!(places.len() > 5, "{same:#}");
    assert!(places.iter().filter(changed).count() <= 1, "{same:#}");

    let there = json(&folder, &["a.data", "b.data"]);
    assert!(findings(&there).contains(&("slower", UPSTREAM)), "{there:#}");
    let finding = &there["findings"][0];
    assert_eq!(
        (&finding["frame"], &finding["inside"]),
        (&UPSTREAM.into(), &serde_json::json!(["service::handle"]))
    );
    let (change, base) = (
        finding["change"].as_f64().unwrap(),
        finding["base"]["rate"].as_f64().unwrap(),
    );
    assert!((0.3..0.6).contains(&(change / base)), "{there:#}");

    let back = json(&folder, &["b.data", "a.data"]);
    assert_eq!(findings(&back)[0], ("faster", UPSTREAM));
    assert_eq!(back["findings"][0]["change"].as_f64(), Some(-change));

    for (question, code) in [("slower", 1), ("change", 1), ("inconclusive", 0)] {
        let ran = diff(&folder, &["a.data", "b.data", "--fail-on", question]);
        assert_eq!(ran.code, code, "{question}: {}", ran.stdout);
        assert!(ran.stdout.contains("▲ slower"), "{}", ran.stdout);
    }
    let ran = diff(&folder, &["a.data", "b.data", "--fail-on", "faster"]);
    assert!([0, 3].contains(&ran.code), "{}", ran.stdout);
    assert_eq!(
        diff(&folder, &["a.data", "b.data"]).code,
        0,
        "a finding is not a failure"
    );

    let drawn = diff(&folder, &["a.data", "b.data", "-o", "diff.svg"]);
    assert_eq!(
        (drawn.code, drawn.stderr.as_str()),
        (0, "flame graph: diff.svg\n")
    );
    let svg = fs::read_to_string(folder.path().join("diff.svg")).unwrap();
    assert!(svg.contains("▲ +") && svg.trim_end().ends_with("</svg>"));
    assert!(svg.contains("slower: +") && svg.contains("ask_upstream → tokio::…::Sleep [timer]"));
    let piped = diff(&folder, &["a.data", "b.data", "-o", "-"]);
    assert_eq!((piped.code, piped.stdout == svg), (0, true));
    let as_base = diff(&folder, &["a.data", "b.data", "-o", "-", "--width", "base"]);
    assert!(as_base.stdout.contains("per second, in the base"));
    let both = diff(&folder, &["a.data", "b.data", "-o", "-", "--json"]);
    assert_eq!((both.code, both.stdout.as_str()), (2, ""));

    let itself = json(&folder, &["a.data", "a.data", "--all"]);
    assert_eq!(findings(&itself), []);
    assert!(
        itself["places"]
            .as_array()
            .unwrap()
            .iter()
            .all(|place| place["change"] == 0.0)
    );

    let io = json(&folder, &["a.data", "b.data", "--by", "sched", "--all"]);
    let places = io["places"].as_array().unwrap();
    assert!(
        places
            .iter()
            .all(|place| place["frame"].as_str().unwrap().ends_with("[scheduled]"))
    );

    let several = diff(
        &folder,
        &["a.data", "again.data", "--vs", "b.data", "--limit", "1"],
    );
    assert_eq!(several.code, 0);
    assert!(several.stdout.contains(UPSTREAM), "{}", several.stdout);
}

/// A lock that is held across an await: new waits, for the lock and nothing else.
#[test]
fn a_lock_that_one_version_holds() {
    let folder = Folder::new();
    record_at_once(&folder, &[("free.data", "20"), ("locked.data", "20 locked")]);
    let report = json(&folder, &["free.data", "locked.data"]);
    let (verdict, frame) = findings(&report)[0];
    assert!(
        verdict == "new" && frame.starts_with("service::handle → tokio::") && frame.contains("Mutex"),
        "{report:#}"
    );
    // Every second one of 500 requests a second waits for the lock for one or two milliseconds, and then for a worker.
    // On a busy machine there are fewer.
    let finding = &report["findings"][0];
    let (change, episodes) = (
        finding["change"].as_f64().unwrap(),
        finding["new"]["episodes"].as_u64().unwrap(),
    );
    assert!((1000..=5200).contains(&episodes), "{finding:#}");
    assert!((0.1e9..1.5e9).contains(&change), "{finding:#}");
    let locks = diff(
        &folder,
        &["free.data", "locked.data", "--by", "wait", "--fail-on", "slower"],
    );
    assert_eq!(locks.code, 1, "{}", locks.stdout);
}

/// The demo against itself, and against one with an upstream that is 10 ms slower.
#[test]
#[cfg_attr(
    debug_assertions,
    ignore = "the demo's database cannot keep up in a debug build"
)]
fn the_demo_with_a_slower_upstream() {
    let folder = Folder::new();
    thread::scope(|scope| {
        for (profile, slow) in [
            ("a.data", &[][..]),
            ("again.data", &[]),
            ("slow.data", &["--slow-upstream", "10ms"]),
        ] {
            let mut demo = asyncprof(&folder);
            demo.args(["demo", "-q", "-d", "8s", "--rate", "50", "-o", profile])
                .args(slow);
            scope.spawn(move || {
                let ran = run(&mut demo);
                assert_eq!(ran.code, 0, "{}", ran.stderr);
            });
        }
    });
    let gate = diff(&folder, &["a.data", "again.data", "--fail-on", "slower"]);
    assert_ne!(gate.code, 1, "{}", gate.stdout);

    let report = json(&folder, &["a.data", "slow.data", "--by", "wait"]);
    let upstream = findings(&report)[0];
    assert!(
        upstream.0 == "slower" && upstream.1.contains("fetch_price"),
        "{report:#}"
    );
    // 50 requests a second wait for 10 ms more each.
    let change = report["findings"][0]["change"].as_f64().unwrap();
    assert!((0.35e9..0.65e9).contains(&change), "{report:#}");
}

#[test]
fn what_cannot_be_compared_is_refused_in_clear_words() {
    let folder = Folder::new();
    let (sleep, tcp) = (
        fixture("waits", "release", "sleep"),
        fixture("waits", "release", "tcp"),
    );
    for (profile, options, app) in [
        ("sleep.data", &["--freq", "97"][..], &sleep),
        ("unsampled.data", &["--freq", "0"], &sleep),
        ("tcp.data", &["--freq", "97"], &tcp),
    ] {
        let args = [&["-q", "-o", profile], options, &["--", text(app)]].concat();
        assert_eq!(record(&folder, &args).code, 0);
    }
    fs::write(folder.path().join("broken.data"), "no profile").unwrap();
    for (args, why) in [
        (
            &["sleep.data", "tcp.data"][..],
            "different programs: sleep and tcp",
        ),
        (&["sleep.data", "unsampled.data"], "--freq 0"),
        (&["sleep.data", "none.data"], "none.data"),
        (&["sleep.data", "broken.data"], "broken.data"),
        (&["sleep.data"], "expected two profiles"),
        (
            &["sleep.data", "sleep.data", "sleep.data"],
            "expected two profiles",
        ),
    ] {
        let ran = diff(&folder, args);
        assert_eq!((ran.code, ran.stdout.as_str()), (2, ""), "{args:?}");
        assert_eq!(ran.said().len(), 1, "{}", ran.stderr);
        assert!(ran.said()[0].contains(why), "{}", ran.stderr);
    }
    let forced = diff(&folder, &["sleep.data", "tcp.data", "--force"]);
    assert_eq!(forced.code, 0, "{}", forced.stderr);
    assert!(
        forced.stdout.contains("Careful: these are different programs"),
        "{}",
        forced.stdout
    );

    // Half a second is too short to tell anything at all.
    let short = diff(&folder, &["sleep.data", "sleep.data", "--fail-on", "slower"]);
    assert_eq!(short.code, 3, "{}", short.stdout);
}
