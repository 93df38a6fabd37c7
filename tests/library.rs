//! Programs that link the library: what they tell of themselves is in the profile, on any executor, and once.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;

use std::time::{Duration, Instant};

use asyncprof_core::profile::{LabelsId, Profile, State, TaskKind};
use asyncprof_core::view::{Activity, Analysis, Kind, Rules};

use crate::support::fixtures::fixture;
use crate::support::invariants::{self, Quality};
use crate::support::observed::{Amount, shown};
use crate::support::recording::{Folder, Recording, asyncprof};
use crate::support::run::{Running, signal};
use crate::support::truth::{self, Truth};

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

/// Of a wait the programs measure more than there is: from within the poll that begins it, and into the one that ends
/// it. That is some of what they run, and little unless they lose the processor there.
#[track_caller]
fn assert_near(what: &str, ns: u64, running_ns: u64, truth: &Truth) {
    let (least, most) = (ns as f64, (ns + running_ns) as f64);
    assert!(
        (least * (1.0 - TOLERANCE)..=most * (1.0 + TOLERANCE)).contains(&(truth.total_ns as f64)),
        "{what}: {ns} ns and {running_ns} ns running, but it measured {} ns",
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
        let running_ns = own()
            .flat_map(|row| &row.activities)
            .filter(|(activity, _)| activity.is_running())
            .map(|(_, amount)| amount.ns)
            .sum();
        if truth.kind == "running" {
            assert_near(&label, running_ns, 0, truth);
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
        assert_near(&label, sum.ns, running_ns, truth);
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

/// Waiting for a timer under these labels, and running.
fn timer_and_running_ns(profile: &Profile, route: Option<&str>) -> (u64, u64) {
    let analysis = Analysis::new(profile, &Rules::default());
    let (mut timer_ns, mut running_ns) = (0, 0);
    for (row, activity) in analysis.rows(false) {
        let labels = ["service", "route"].map(|key| profile.label(row.labels, key));
        let after_timer = row.state == State::Scheduled && row.stack.index() != 0;
        if labels != [Some("shop"), route] {
            continue;
        } else if activity == Activity::Waiting(Kind::Timer) || after_timer {
            timer_ns += row.stats.total_ns;
        } else if activity.is_running() {
            running_ns += row.stats.total_ns;
        }
    }
    (timer_ns, running_ns)
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
        let (timer_ns, running_ns) = timer_and_running_ns(profile, route);
        assert_near(site, timer_ns, running_ns, truth);
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
    // In each piece the request and its child wait at the same time.
    let waits = told.truth.iter().find(|truth| truth.site == "slow");
    let both_ns = waits.expect("they are measured").total_ns / 32;
    assert!(
        pieces.quantile_ns(0.5) >= 30_000_000 && pieces.mean_ns() < both_ns,
        "{pieces:?}, {both_ns} ns"
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

    let diff = |label: &str| {
        run(&[
            "diff",
            "--json",
            "--label",
            label,
            "asyncprof.data",
            "asyncprof.data",
        ])
    };
    let (ok, [json, error]) = diff("route=/fast");
    assert!(ok, "{error}");
    let same: serde_json::Value = serde_json::from_str(&json).unwrap();
    assert_eq!(same["per"], "work");
    let rate = same["total"]["base"]["rate"].as_f64().unwrap();
    let each_ns = fast["task_time_per_unit_ns"].as_f64().unwrap();
    assert!((rate / each_ns - 1.0).abs() < 1e-3, "{rate}, {each_ns}");
    let (ok, [_, error]) = diff("route=/nowhere");
    assert!(
        !ok && error.contains("asyncprof.data: nothing is labelled route=/nowhere"),
        "{error}"
    );

    let (ok, [picture, _]) = run(&["flamegraph", "--group-by-label", "route", "-o", "-"]);
    assert!(ok && picture.contains("route = /slow/{id}") && picture.contains("(no route)"));
    let (ok, [_, error]) = run(&["flamegraph", "--group-by-label", "rout", "-o", "-"]);
    assert!(!ok && error.contains("no task has a label rout"), "{error}");
}

#[test]
fn labels_without_end_or_measure_are_bounded() {
    let recording = Recording::new(&[], fixture("library", "release", "many_labels"), &[]);
    check_many_labels(&recording);
}

/// A ring of a thousandth of the burst.
#[test]
fn a_burst_of_labels_is_lost_as_told_and_what_comes_after_is_not() {
    let program = fixture("library", "release", "many_labels");
    let recording = Recording::with_ring_words(1 << 12, program, &["burst"]);
    let profile = check_many_labels(&recording);
    let lost = profile.quality.events_lost;
    assert!(lost > 0, "{:?}", profile.quality);
    assert!(recording.stderr().contains(" events lost (buffer full)"));
    let rows = shown(&profile);
    let lost_ns: u64 = rows.iter().map(|row| row.amount(Activity::Lost).ns).sum();
    assert!(
        lost_ns > 0,
        "the time of the burst is not taken for another state"
    );
    let after = || rows.iter().filter(|row| row.group == "many_labels::after");
    let naps = after().map(|row| row.amount(Activity::Waiting(Kind::Timer)));
    let naps = naps.map(|naps| naps.episodes).sum::<u64>();
    assert!((1..=25).contains(&naps), "{naps}");
}

/// The odd labels, their bounds and what the program counted.
fn check_many_labels(recording: &Recording) -> Profile {
    let profile = recording.profile();
    invariants::check(&profile, Quality::lossy());
    assert!(recording.output.status.success(), "{}", recording.stderr());
    assert_eq!(recording.output.stdout, b"done\n");
    let values: Vec<&str> = profile.labels().map(|label| label.1).collect();
    assert!(values.contains(&"<b>&\"\\u{1b}[31m\\nred"), "{:?}", &values[..3]);
    assert!(
        values
            .iter()
            .any(|value| value.starts_with("long long") && value.ends_with('…'))
    );
    assert!(values.contains(&"…") && values.len() < 10_000, "{}", values.len());
    assert!(profile.quality.labels_lost > 900_000);
    let units = profile.work.iter().map(|work| work.units).sum::<u64>();
    // As much as can be told at once, and one by one when the worst is over.
    let most = (1 << 48) - 1;
    assert!((most + 1..=most + 25).contains(&units), "{units}");
    profile
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
    let mut timed = |path: &str, answer: &str| {
        let start = Instant::now();
        assert_eq!(get(&mut connection, path), answer);
        start.elapsed()
    };
    let mut longest = [Duration::ZERO; 2];
    for user in 0..20 {
        let fast = timed(&format!("/users/{user}"), &format!("user {user}\n"));
        longest = [longest[0].max(fast), longest[1].max(timed("/slow", "at last\n"))];
    }
    signal(service.pid(), libc::SIGTERM);
    service.finish();
    let output = asyncprof(&folder).args(["report", "--json"]).output().unwrap();
    let report: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    let routes = [("/users/{id}", 5_000_000), ("/slow", 50_000_000)];
    for ((route, least_ns), longest) in routes.into_iter().zip(longest) {
        // Percentiles are those of a histogram.
        let most_ns = longest.as_nanos() as u64 * 11 / 10;
        let label = report["labels"]
            .as_array()
            .unwrap()
            .iter()
            .find(|label| label["value"] == route);
        let label = label.unwrap_or_else(|| panic!("no {route}: {report}"));
        assert_eq!((&label["key"], &label["units"]), (&"route".into(), &20.into()));
        for figure in [&label["task_time_per_unit_ns"], &label["pieces"]["p50_ns"]] {
            let ns = figure.as_u64().unwrap();
            assert!((least_ns..=most_ns).contains(&ns), "{label}, {longest:?}");
        }
    }
}

#[test]
fn the_spans_example_is_labelled_by_its_spans() {
    let profile = recorded("spans").profile;
    let waits = |span: &str| -> (u64, u64) {
        let own = profile
            .rows
            .iter()
            .filter(|row| profile.label(row.labels, "span") == Some(span));
        own.filter(|row| row.state == State::Waiting)
            .fold((0, 0), |sum, row| {
                (sum.0 + row.stats.episodes, sum.1 + row.stats.total_ns)
            })
    };
    // Of 80 orders: 3 ms before and 3 ms after the 9 ms of shipping. On a busy machine a timer may have run out before
    // it is first polled.
    for (span, most, each_ns) in [("order", 160, 3_000_000), ("ship", 80, 9_000_000)] {
        let (episodes, ns) = waits(span);
        assert!((most * 9 / 10..=most).contains(&episodes), "{span}: {episodes}");
        assert!(ns >= most * each_ns * 9 / 10, "{span}: {ns}");
    }
}
