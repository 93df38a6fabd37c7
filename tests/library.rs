//! Programs that link the library: what they tell of themselves is in the profile, on any executor, and once.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;

use asyncprof_core::profile::{LabelsId, Profile, State, TaskKind};
use asyncprof_core::view::{Activity, Analysis, Kind, Rules};

use crate::support::fixtures::fixture;
use crate::support::invariants::{self, Quality};
use crate::support::observed::{Amount, shown};
use crate::support::recording::{Folder, Recording, asyncprof};
use crate::support::run::{Running, signal};
use crate::support::truth::{self, Truth};

/// Of a wait the programs measure a little more than there is: from before the poll that begins it.
const TOLERANCE: f64 = 0.02;

struct Told {
    recording: Recording,
    profile: Profile,
    truth: Vec<Truth>,
}

fn recorded(program: &str) -> Told {
    let recording = Recording::new(&[], fixture("library", "release", program), &[]);
    assert!(recording.output.status.success(), "{}", recording.stderr());
    let profile = recording.profile();
    let truth = truth::read(&recording.folder.path().join("truth"));
    Told {
        profile,
        truth,
        recording,
    }
}

#[track_caller]
fn assert_near(what: &str, ns: u64, truth: &Truth) {
    let ratio = ns as f64 / truth.total_ns as f64;
    assert!(
        (ratio - 1.0).abs() <= TOLERANCE,
        "{what}: {ns} ns, but it measured {} ns",
        truth.total_ns
    );
}

/// Each task of the program has the name of its site, and waits there alone.
fn check_executor(program: &str, blocking: &[&str]) {
    let told = recorded(program);
    let profile = &told.profile;
    invariants::check(profile, Quality::complete(true));
    let rows = shown(profile);
    for truth in &told.truth {
        let label = match blocking.contains(&truth.site.as_str()) {
            true => format!("[blocking task] {}", truth.site),
            false => truth.site.clone(),
        };
        let own = || rows.iter().filter(|row| row.group == label);
        assert!(own().count() > 0, "{program}: no task {label}");
        if truth.kind == "running" {
            let running = [Activity::Running, Activity::OnCpu, Activity::Blocked];
            let ns = own()
                .flat_map(|row| running.map(|activity| row.amount(activity).ns))
                .sum();
            assert_near(&label, ns, truth);
            continue;
        }
        let mut sum = Amount::default();
        for row in own().filter(|row| row.waits().next().is_some()) {
            sum.add(row.suspended());
            for (kind, amount) in row.waits() {
                assert_eq!(
                    kind.name(),
                    truth.kind,
                    "{program}: {label} at {}: {amount:?}",
                    row.path()
                );
            }
        }
        assert_near(&label, sum.ns, truth);
        assert_eq!(sum.episodes, truth.episodes, "{program}: {label}");
    }
}

#[test]
fn smol() {
    check_executor("smol_tasks", &["worker"]);
}

#[test]
fn futures_executor() {
    check_executor("local_pool", &[]);
}

#[test]
fn polls_by_hand() {
    check_executor("by_hand", &[]);
}

/// Waiting for a timer under these labels.
fn timer_ns(profile: &Profile, route: Option<&str>) -> u64 {
    let analysis = Analysis::new(profile, &Rules::default());
    let rows = analysis.rows(false).filter(|(row, activity)| {
        let after_timer = row.state == State::Scheduled && row.stack.index() != 0;
        profile.label(row.labels, "service") == Some("shop")
            && profile.label(row.labels, "route") == route
            && (*activity == Activity::Waiting(Kind::Timer) || after_timer)
    });
    rows.map(|(row, _)| row.stats.total_ns).sum()
}

#[test]
fn labels_part_the_time_of_one_task_and_pass_to_its_children() {
    let told = recorded("routes");
    let profile = &told.profile;
    invariants::check(profile, Quality::complete(true));
    for (site, route) in [
        ("idle", None),
        ("slow", Some("/slow/{id}")),
        ("fast", Some("/fast")),
    ] {
        let truth = told.truth.iter().find(|truth| truth.site == site).expect(site);
        assert_near(site, timer_ns(profile, route), truth);
    }
    let units = |route: &str| -> u64 {
        let of_route = |labels: LabelsId| profile.label(labels, "route") == Some(route);
        profile
            .work
            .iter()
            .filter(|work| of_route(work.labels))
            .map(|work| work.units)
            .sum()
    };
    assert_eq!((units("/slow/{id}"), units("/fast")), (32, 64));
    let slow = profile
        .work
        .iter()
        .find(|work| profile.label(work.labels, "route") == Some("/slow/{id}"));
    let pieces = &slow.expect("some are slow").pieces;
    assert_eq!(pieces.episodes, 32);
    assert!(
        pieces.quantile_ns(0.5) >= 30_000_000 && pieces.mean_ns() < 60_000_000,
        "{pieces:?}"
    );
    // Each connection and each child once.
    let ordinary = profile.groups.iter().filter(|group| group.kind == TaskKind::Task);
    assert_eq!(ordinary.map(|group| group.tasks).sum::<u64>(), 4 + 96);
}

#[test]
fn reports_and_pictures_speak_of_labels_and_work() {
    let told = recorded("routes");
    let run = |arguments: &[&str]| {
        let mut command = asyncprof(&told.recording.folder);
        let output = command.args(arguments).output().unwrap();
        (
            output.status.success(),
            [output.stdout, output.stderr].map(|text| String::from_utf8(text).unwrap()),
        )
    };
    let (ok, [report, _]) = run(&["report"]);
    assert!(
        ok && report.contains("96 units of work") && report.contains("route = /slow/{id}"),
        "{report}"
    );
    let (_, [json, _]) = run(&["report", "--json"]);
    let json: serde_json::Value = serde_json::from_str(&json).unwrap();
    assert_eq!(json["work"]["units"], 96);
    let labels = json["labels"].as_array().unwrap();
    let fast = labels.iter().find(|label| label["value"] == "/fast").unwrap();
    assert_eq!((&fast["key"], &fast["units"]), (&"route".into(), &64.into()));
    // A request and its child wait 10 ms each.
    assert!(
        fast["task_time_per_unit_ns"].as_u64().unwrap() >= 20_000_000,
        "{fast}"
    );

    let (_, [json, _]) = run(&["report", "--json", "--label", "route=/fast"]);
    let only: serde_json::Value = serde_json::from_str(&json).unwrap();
    assert_eq!(only["task_time_ns"], fast["total_ns"]);
    let (ok, [_, error]) = run(&["report", "--label", "route=/nowhere"]);
    assert!(
        !ok && error.contains("nothing is labelled route=/nowhere") && error.contains("route=/fast"),
        "{error}"
    );

    let (ok, [picture, _]) = run(&["flamegraph", "--group-by-label", "route", "-o", "-"]);
    assert!(ok && picture.contains("route = /slow/{id}") && picture.contains("(no route)"));
    let (ok, [_, error]) = run(&["flamegraph", "--group-by-label", "rout", "-o", "-"]);
    assert!(!ok && error.contains("no task has a label rout"), "{error}");
}

#[test]
fn labels_without_end_or_measure_are_bounded() {
    let told = recorded("many_labels");
    let profile = &told.profile;
    assert_eq!(told.recording.output.stdout, b"done\n");
    let values: Vec<&str> = profile.labels().map(|label| label.1).collect();
    assert!(values.contains(&"<b>&\"\\u{1b}[31m\\nred"), "{:?}", &values[..3]);
    assert!(
        values
            .iter()
            .any(|value| value.starts_with("long long") && value.ends_with('…'))
    );
    assert!(values.contains(&"…") && values.len() < 10_000, "{}", values.len());
    assert!(profile.quality.labels_lost > 900_000);
    assert_eq!(
        profile.work.iter().map(|work| work.units).sum::<u64>(),
        (1 << 48) - 1
    );
}

#[test]
fn nobody_recording_changes_nothing() {
    for program in ["smol_tasks", "local_pool", "by_hand", "routes"] {
        let alone = std::process::Command::new(fixture("library", "release", program))
            .output()
            .unwrap();
        let folder = Folder::new();
        let recorded = asyncprof(&folder)
            .args(["record", "--"])
            .arg(fixture("library", "release", program))
            .output()
            .unwrap();
        assert_eq!(
            (alone.status, alone.stdout),
            (recorded.status, recorded.stdout),
            "{program}"
        );
    }
}

/// One request on a connection that stays open; the answer's body.
fn get(connection: &mut BufReader<TcpStream>, path: &str) -> String {
    write!(connection.get_mut(), "GET {path} HTTP/1.1\r\nhost: test\r\n\r\n").unwrap();
    let (mut length, mut line) = (0, String::new());
    while connection.read_line(&mut line).unwrap() > 2 {
        if let Some(value) = line.to_lowercase().strip_prefix("content-length:") {
            length = value.trim().parse().unwrap();
        }
        line.clear();
    }
    let mut body = vec![0; length];
    connection.read_exact(&mut body).unwrap();
    String::from_utf8(body).unwrap()
}

#[test]
fn the_axum_example_tells_its_routes_apart() {
    let folder = Folder::new();
    let mut command = asyncprof(&folder);
    command
        .args(["record", "--"])
        .arg(fixture("library", "release", "axum"));
    let service = Running::start(&mut command);
    service.wait_for_stdout("\n");
    let stdout = service.stdout();
    let address = stdout
        .trim()
        .strip_prefix("listening on ")
        .expect("it says where")
        .to_owned();
    let mut connection = BufReader::new(TcpStream::connect(address).unwrap());
    for user in 0..20 {
        assert_eq!(
            get(&mut connection, &format!("/users/{user}")),
            format!("user {user}\n")
        );
        assert_eq!(get(&mut connection, "/slow"), "at last\n");
    }
    signal(service.pid(), libc::SIGTERM);
    service.finish();
    let output = asyncprof(&folder).args(["report", "--json"]).output().unwrap();
    let report: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    for (route, least_ns) in [("/users/{id}", 5_000_000), ("/slow", 50_000_000)] {
        let label = report["labels"]
            .as_array()
            .unwrap()
            .iter()
            .find(|label| label["value"] == route);
        let label = label.unwrap_or_else(|| panic!("no {route}: {report}"));
        assert_eq!((&label["key"], &label["units"]), (&"route".into(), &20.into()));
        for figure in [&label["task_time_per_unit_ns"], &label["pieces"]["p50_ns"]] {
            let ns = figure.as_u64().unwrap();
            assert!((least_ns..least_ns * 3).contains(&ns), "{label}");
        }
    }
}

#[test]
fn the_spans_example_is_labelled_by_its_spans() {
    let profile = recorded("spans").profile;
    let waited_ns = |span: &str| -> u64 {
        let own = profile
            .rows
            .iter()
            .filter(|row| profile.label(row.labels, "span") == Some(span));
        own.filter(|row| row.state == State::Waiting)
            .map(|row| row.stats.total_ns)
            .sum()
    };
    // Of 80 orders: 3 ms before and 3 ms after the 9 ms of shipping.
    for (span, least_ns) in [("order", 80 * 6_000_000), ("ship", 80 * 9_000_000)] {
        let ns = waited_ns(span);
        // tokio's timer rounds up to its next millisecond.
        assert!((least_ns..least_ns * 2).contains(&ns), "{span}: {ns}");
    }
}
