//! The table as a stranger reads it.

use asyncprof_core::diff::{DiffOptions, compare};
use asyncprof_core::profile::{Profile, State, TaskKind};
use asyncprof_core::view::testing::ProfileBuilder;

use super::{DiffInput, DiffReport, Sort, diff_json, diff_text};

/// A shop whose requests wait for the upstream so long, 5000 times in ten seconds.
pub(super) fn shop(upstream_ns: u64, helper: &str) -> Profile {
    let mut builder = ProfileBuilder::new();
    let request = builder.group("shop::request", TaskKind::Task, 5000);
    let poll = |future: &str| format!("<{future} as core::future::future::Future>::poll");
    for (function, future, ns) in [
        (
            "shop::ask_upstream::{{closure}}",
            "tokio::time::sleep::Sleep",
            upstream_ns,
        ),
        (
            "shop::read_stock::{{closure}}",
            "tokio::sync::oneshot::Receiver<T>",
            4_000_000,
        ),
        (helper, "tokio::time::sleep::Sleep", 2_000_000),
    ] {
        let stack = builder.stack(&["shop::request::{{closure}}", function, &poll(future)]);
        let row = builder.row(request, stack, State::Waiting, 5000, ns);
        row.windows = (0..10).map(|window| (window, 500 * ns)).collect();
    }
    builder.build()
}

fn report(base: Profile, new: Profile, limit: usize, all: bool) -> DiffReport {
    let diff = compare(&[&base], &[&new], &DiffOptions::default());
    DiffReport::new(DiffInput {
        diff: &diff,
        base: &[("base.data".to_owned(), base.meta)],
        new: &[("new\u{1b}.data".to_owned(), new.meta)],
        min_effect: 0.01,
        detectable: 0.1,
        objections: Vec::new(),
        limit,
        sort: Sort::Change,
        all,
    })
}

fn text(report: &DiffReport, color: bool) -> String {
    let mut out = Vec::new();
    diff_text(report, color, &mut out).expect("a table");
    String::from_utf8(out).expect("UTF-8")
}

#[test]
fn slower_and_moved() {
    let report = report(
        shop(10_000_000, "shop::old::{{closure}}"),
        shop(12_000_000, "shop::fresh::{{closure}}"),
        20,
        false,
    );
    let expected = "\
base: base.data (10.0 s)
new:  new\u{fffd}.data (10.0 s)
task time per second: 8.00 s → 9.00 s, +12.5 %, 95 %: +9.6 % to +15.4 % (slower)

  verdict   frame                                         base /s  new /s    change  95 % interval        q
  ▲ slower  shop::ask_upstream → tokio::…::Sleep [timer]   5.00 s  6.00 s   +20.0 %  +15.7 % to +24.3 %   <0.0001
      5,000 × 10.0 ms (p99 10.0 ms) → 5,000 × 12.0 ms (p99 12.0 ms); inside shop::request
  ↔ moved   shop::fresh                                       0 s  1.00 s   +1.00 s  +972 ms to +1.03 s   <0.0001
      none → 5,000 × 2.00 ms (p99 2.00 ms); from shop::old; inside shop::request
  ↔ moved   shop::old                                      1.00 s     0 s  −100.0 %  −102.8 % to −97.2 %  <0.0001
      5,000 × 2.00 ms (p99 2.00 ms) → none; to shop::fresh; inside shop::request

Waits that are longer or shorter, however often they come:
  length    wait                                                  base      new  factor, 95 %    q
  ▲ longer  shop::ask_upstream → tokio::…::Sleep [timer]  p50  10.0 ms  12.0 ms  × 1.07 to 1.35  <0.0001
  ▲ longer  shop::ask_upstream → tokio::…::Sleep [timer]  p99  10.0 ms  12.0 ms  × 1.07 to 1.35  <0.0001

1 slower, 0 faster, 0 new, 0 gone, 1 moved. Of 4 places, 1 unchanged within ±1 % of all, 0 inconclusive, 0 too rare to tell.
Did anything get slower? Yes (p = 0.001). Faster? No (p = 1.000). A change of 7.3 % of all would have been seen in four of five cases, by permuted windows.
";
    let shown = text(&report, false);
    assert_eq!(shown, expected, "{shown}");
    assert!(text(&report, true).contains("\u{1b}[38;5;208m▲ slower\u{1b}[0m"));
}

#[test]
fn nothing() {
    let same = || shop(10_000_000, "shop::old::{{closure}}");
    let shown = text(&report(same(), same(), 20, false), false);
    assert!(shown.contains("\nNothing is known to have changed.\n"), "{shown}");
    assert!(
        shown.contains("0 slower, 0 faster, 0 new, 0 gone, 0 moved. Of 3 places"),
        "{shown}"
    );
    let all = text(&report(same(), same(), 20, true), false);
    assert_eq!(all.matches("inside shop::request").count(), 3, "{all}");
}

#[test]
fn limits_and_json() {
    let changed = |limit| {
        report(
            shop(10_000_000, "shop::old::{{closure}}"),
            shop(12_000_000, "shop::fresh::{{closure}}"),
            limit,
            false,
        )
    };
    assert!(text(&changed(1), false).contains("  … and 2 more (--limit)\n"));
    let none = text(&changed(0), false);
    assert!(
        none.contains("  … and 3 more (--limit)\n") && !none.contains("Nothing"),
        "{none}"
    );
    let mut out = Vec::new();
    diff_json(&changed(1), &mut out).unwrap();
    let json: serde_json::Value = serde_json::from_slice(&out).unwrap();
    let finding = &json["findings"][0];
    assert_eq!(finding["verdict"], "slower");
    assert_eq!(finding["frame"], "shop::ask_upstream → tokio::…::Sleep [timer]");
    assert_eq!(finding["inside"], serde_json::json!(["shop::request"]));
    assert_eq!(finding["change"], 1e9);
    assert_eq!(
        (&json["findings_total"], &json["slower"]),
        (&3.into(), &"yes".into())
    );
}
