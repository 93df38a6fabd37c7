//! The report as a stranger reads it, and the JSON that programs read.

use asyncprof_core::profile::Profile;

use super::report::{ReportOptions, report, report_json};
use super::testing;

fn text(profile: &Profile, limit: usize, color: bool) -> String {
    let mut out = Vec::new();
    report(profile, &ReportOptions { limit, color }, &mut out).expect("a report");
    String::from_utf8(out).expect("UTF-8")
}

#[test]
fn the_service() {
    let expected = "";
    let text = text(&testing::service(), 10, false);
    assert_eq!(text, expected, "\n{text}");
}

#[test]
fn colours_and_limits() {
    let text = text(&testing::service(), 2, true);
    assert!(
        text.contains("\u{1b}[1mWaits by time (2 of 6)\u{1b}[0m"),
        "{text}"
    );
}

#[test]
fn a_terminal_is_not_driven_by_names() {
    let mut profile = testing::hostile();
    profile.quality.notes.push("bad \u{1b}[2J".to_owned());
    assert!(!text(&profile, 10, false).contains('\u{1b}'));
}

#[test]
fn nothing_recorded() {
    let empty = asyncprof_core::view::testing::ProfileBuilder::new().build();
    let expected = "\
./app --port 8080
recorded 10.0 s · 0 tasks · 0 s of task time · tokio 1.54.1

No task time recorded.

Quality: 0 events, nothing lost
";
    assert_eq!(text(&empty, 10, false), expected);
}

#[test]
fn json_numbers_are_exact() {
    let mut out = Vec::new();
    report_json(
        &testing::service(),
        &ReportOptions {
            limit: 3,
            color: false,
        },
        &mut out,
    )
    .expect("a report");
    let json: serde_json::Value = serde_json::from_slice(&out).expect("JSON");
    assert_eq!(json["format"], "asyncprof-report");
    assert_eq!(json["groups"][0]["name"], "demo::handle");
    assert_eq!(
        json["groups"][0]["waits_ns"][0],
        serde_json::json!(["io", 60_360_000_000_u64])
    );
    assert_eq!(json["waits"][0]["kind"], "io");
    assert_eq!(json["waits"][0]["line"], 27);
    assert_eq!(json["waits"].as_array().map(Vec::len), Some(3));
    let states: u64 = json["states"]
        .as_array()
        .expect("states")
        .iter()
        .map(|s| s["total_ns"].as_u64().unwrap())
        .sum();
    assert_eq!(json["task_time_ns"], states);
}
