//! Recording works at all.

use asyncprof_core::profile::{Profile, TaskKind};

use crate::support::fixtures::fixture;
use crate::support::recording::{Folder, Recording, asyncprof};
use crate::support::run::run;

#[test]
fn a_release_build_is_recorded_without_loss() {
    let recording = Recording::new(&[], fixture("waits", "release", "sleep"), &[]);
    assert!(recording.output.status.success(), "{}", recording.stderr());
    let profile = recording.profile();
    assert_eq!(profile.quality.events_lost, 0);
    assert_eq!(profile.quality.wakes_unseen, 0);
    assert!(recording.folder.path().join("flamegraph.svg").exists());
}

/// The demo queries SQLite in more blocking closures than a profile remembers polls, each longer than any poll of a
/// task.
#[test]
fn bug_blocking_closures_took_all_places_among_the_longest_polls() {
    let folder = Folder::new();
    let output = asyncprof(&folder)
        .args(["demo", "--duration", "3s"])
        .output()
        .unwrap();
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    let profile = Profile::load(folder.path().join("asyncprof.data")).unwrap();
    assert!(!profile.longest_polls.is_empty());
    for poll in &profile.longest_polls {
        assert!(matches!(
            profile.group(poll.group).kind,
            TaskKind::Task | TaskKind::Root
        ));
    }
}

/// The routes of the demo with as many requests as each has; what it says on its standard error.
fn demo_routes(folder: &Folder, options: &[&str]) -> (Vec<(String, u64)>, String) {
    let mut demo = asyncprof(folder);
    demo.args(["demo", "--duration", "3s", "--rate", "10"])
        .args(options);
    let demo = run(&mut demo);
    assert_eq!(demo.code, 0, "{}", demo.stderr);
    assert!(
        demo.stdout.starts_with("30 requests (0 failed), "),
        "{}",
        demo.stdout
    );
    let report = run(asyncprof(folder).args(["report", "--json"]));
    let report: serde_json::Value = serde_json::from_str(&report.stdout).unwrap();
    let labels = report["labels"].as_array().unwrap().iter();
    let routes = labels.map(|label| {
        assert_eq!(label["key"], "route");
        // The upstream's least delay.
        assert!(
            label["pieces"]["p50_ns"].as_u64().unwrap() >= 35_000_000,
            "{label}"
        );
        let route = label["value"].as_str().unwrap().to_owned();
        (route, label["units"].as_u64().unwrap())
    });
    (routes.collect(), demo.stderr)
}

#[test]
fn the_instrumented_demo_tells_its_routes_apart_and_the_ordinary_one_knows_none() {
    let folder = Folder::new();
    let picture = || std::fs::read_to_string(folder.path().join("flamegraph.svg")).unwrap();

    let (routes, said) = demo_routes(&folder, &["--instrumented"]);
    assert_eq!(
        routes,
        [("/orders/{order}".into(), 20), ("/prices/{item}".into(), 10)]
    );
    for shown in [said, picture()] {
        assert!(
            shown.contains("route = /orders/{order}") && shown.contains("route = /prices/{item}"),
            "{shown}"
        );
    }

    let (routes, said) = demo_routes(&folder, &[]);
    assert_eq!(routes, []);
    assert!(
        !said.contains("route =") && !picture().contains("(no route)"),
        "{said}"
    );
}
