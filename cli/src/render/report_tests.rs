//! The report as a stranger reads it, and the JSON that programs read.

use asyncprof_core::profile::{Profile, TaskKind};
use asyncprof_core::view::Rules;
use asyncprof_core::view::testing::ProfileBuilder;

use super::report::{ReportOptions, report, report_json, report_stuck};
use super::testing;

fn options(limit: usize, color: bool) -> ReportOptions {
    ReportOptions {
        rules: Rules::default(),
        limit,
        color,
    }
}

fn text(profile: &Profile, limit: usize, color: bool) -> String {
    let mut out = Vec::new();
    report(profile, &options(limit, color), &mut out).expect("a report");
    String::from_utf8(out).expect("UTF-8")
}

#[test]
fn the_service() {
    let expected = "\
target/release/demo --seconds 10
recorded 10.0 s · 2,442 tasks · 2.66 min of task time · tokio 1.54.1

Where the task time went
  running       24.5 s  15.3 %  ████▋                       7,240 ×  3.39 ms  p99 20.0 ms
  scheduled     228 ms   0.1 %  ▏                           3,600 ×  63.3 µs  p99 90.0 µs
  waiting     2.25 min  84.5 %  █████████████████████████▍
    io          90.1 s  56.4 %  ████████████████▉           2,440 ×  36.9 ms  p99 50.3 ms
    blocking    25.2 s  15.8 %  ████▊                       1,200 ×  21.0 ms  p99 21.0 ms
    join        9.90 s   6.2 %  █▉                              1 ×   9.90 s  p99 9.90 s
    timer       9.60 s   6.0 %  █▊                          1,200 ×  8.00 ms  p99 8.00 ms
    lock        270 ms   0.2 %  ▏                              90 ×  3.00 ms  p99 3.00 ms

Tasks by time
    time   share  tasks  running  scheduled  waiting  mostly   task
  86.3 s  54.0 %  1,200    0.5 %      0.1 %   99.4 %  io       demo::handle
  29.9 s  18.7 %     40    0.4 %      0.0 %   99.6 %  io       axum::serve::handle_connection
  24.1 s  15.1 %  1,200   99.6 %      0.4 %    0.0 %  running  [blocking task] demo::query
  9.90 s   6.2 %      1    0.0 %      0.0 %  100.0 %  join     [root task] demo::main
  9.64 s   6.0 %      1    0.4 %      0.0 %   99.6 %  timer    demo::load::run

Waits by time
    time   share  waits     mean      p99  kind      where
  60.4 s  37.8 %  1,200  50.3 ms  50.3 ms  io        demo::upstream::get at demo/upstream.rs:27 → Pending::poll
  29.8 s  18.6 %  1,240  24.0 ms  24.0 ms  io        axum::serve::handle_connection → TcpStream::poll_read_priv
  25.2 s  15.8 %  1,200  21.0 ms  21.0 ms  blocking  demo::database::lookup at demo/database.rs:33 → JoinHandle::poll
  9.90 s   6.2 %      1   9.90 s   9.90 s  join      demo::main at demo/mod.rs:88 → JoinHandle::poll (1 still waiting at the end)
  9.60 s   6.0 %  1,200  8.00 ms  8.00 ms  timer     demo::load::run at demo/load.rs:20 → Interval::poll_tick
  270 ms   0.2 %     90  3.00 ms  3.00 ms  lock      demo::cache::put at demo/cache.rs:12 → Mutex::lock

Who wakes whom by time
    time  waits     mean  kind      waker → task                                where it waited
  25.2 s  1,200  21.0 ms  blocking  [blocking task] demo::query → demo::handle  demo::database::lookup at demo/database.rs:33 → JoinHandle::poll
  9.60 s  1,200  8.00 ms  timer     [timer] → demo::load::run                   at demo/load.rs:20 → Interval::poll_tick

Longest polls
  12.0 ms  at 1.23 s  demo::handle  until the await in demo::cache::put at demo/cache.rs:12
  4.00 ms  at 4.32 s  demo::handle  until the task ended

Quality: 48,211 events, nothing lost, clock tsc
";
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

fn stuck_workers() -> Profile {
    let mut builder = ProfileBuilder::new();
    let worker = builder.group("app::work", TaskKind::Task, 3);
    let main = builder.group("app::main", TaskKind::Root, 1);
    let lock = builder.stack(&[
        "tokio::runtime::task::raw::poll",
        "app::work::{{closure}} @ src/main.rs:12",
        "app::take::{{closure}} @ src/main.rs:30",
        "tokio::sync::mutex::Mutex<T>::lock::{{closure}}",
        "<tokio::sync::batch_semaphore::Acquire as core::future::future::Future>::poll",
    ]);
    let join = builder.stack(&[
        "app::main::{{closure}} @ src/main.rs:5",
        "<tokio::runtime::task::join::JoinHandle<T> as core::future::future::Future>::poll",
    ]);
    builder.open_wait(worker, lock, &[9_000_000_000, 8_000_000_000, 1_000_000]);
    builder.open_wait(main, join, &[9_500_000_000]);
    builder.build()
}

#[test]
fn what_never_came_back() {
    let options = options(10, false);
    let list = |profile: &Profile| {
        let mut out = Vec::new();
        report_stuck(profile, &options, &mut out).expect("a report");
        String::from_utf8(out).expect("UTF-8")
    };
    let expected = "\
./app --port 8080
recorded 10.0 s · 4 tasks · 26.5 s of task time · tokio 1.54.1

Still waiting when the recording ended: 4 tasks

  1 × [root task] app::main for 9.50 s [join]
      app::main at src/main.rs:5
      tokio::runtime::task::join::JoinHandle::poll

  3 × app::work for up to 9.00 s [lock]
      app::work at src/main.rs:12
      app::take at src/main.rs:30
      tokio::sync::mutex::Mutex::lock
";
    let text = list(&stuck_workers());
    assert_eq!(text, expected, "\n{text}");
    assert!(list(&testing::service()).ends_with("No task was still waiting when the recording ended.\n"));
}

#[test]
fn waits_of_half_a_recording_are_warned_of() {
    let text = text(&stuck_workers(), 10, false);
    let warning = "
Warnings by time
  Stuck: 2 tasks have waited in app::take at src/main.rs:30 → Mutex::lock for more than half of the recording
    (longest 9.00 s)
    → see `asyncprof report --stuck` for how they came there
";
    assert!(text.contains(warning), "{text}");
    assert_eq!(
        text.matches("→ see").count(),
        1,
        "a main task that waits for others is no news: {text}"
    );
}

#[test]
fn nothing_recorded() {
    let empty = asyncprof_core::view::testing::ProfileBuilder::new().build();
    let expected = "\
./app --port 8080
recorded 10.0 s · 0 tasks · 0 s of task time · tokio 1.54.1

No task time recorded: the program polled no task while it was recorded.

Quality: 0 events, nothing lost
";
    assert_eq!(text(&empty, 10, false), expected);
}

#[test]
fn json_numbers_are_exact() {
    let mut out = Vec::new();
    report_json(&testing::service(), &options(3, false), &mut out).expect("a report");
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
    let pair = &json["wakes"][0];
    assert_eq!(pair["waker"]["source"], "task");
    assert_eq!(pair["waker"]["name"], "[blocking task] demo::query");
    assert_eq!(
        (&pair["task"], &pair["line"]),
        (&"demo::handle".into(), &33.into())
    );
    assert_eq!(pair["total_ns"], 25_200_000_000_u64);
    assert_eq!(json["wakes"][1]["waker"]["source"], "timer");
    let states: u64 = json["states"]
        .as_array()
        .expect("states")
        .iter()
        .map(|s| s["total_ns"].as_u64().unwrap())
        .sum();
    assert_eq!(json["task_time_ns"], states);
}

#[test]
fn what_was_left_out_is_told_and_what_recording_cost() {
    let mut profile = testing::service();
    let quality = &mut profile.quality;
    (quality.tasks_recorded, quality.tasks_left_out) = (12_400, 86_600);
    (quality.heaviest_task, quality.stacks_left_out) = (16, 2_000_000);
    quality.tasks_cut_short = 1_750;
    (quality.overhead_ns, quality.program_cpu_ns) = (8_000_000, 1_000_000_000);
    let text = text(&profile, 5, false);
    let line = text.lines().find(|line| line.starts_with("Quality: "));
    assert_eq!(
        line,
        Some(
            "Quality: 48,211 events, 12,400 of an estimated 99,000 tasks recorded (1 in 16 at times), of 1,750 tasks only \
             the beginning recorded (one that stayed counts for up to 16), stacks of 2,000,000 waits likely under 10 µs not \
             taken, recording cost about 0.8 % of the program's CPU time, clock tsc"
        )
    );
}
