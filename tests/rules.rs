//! `--rules`: what a user says of the kinds of waits.

use std::fs;

use serde_json::Value;

use crate::support::fixtures::fixture;
use crate::support::recording::{Folder, asyncprof};
use crate::support::run::{Ran, record, run, text};

fn asyncprof_in(folder: &Folder, args: &[&str]) -> Ran {
    run(asyncprof(folder).args(args))
}

/// Kinds and number of the waits whose await stack ends in the leaf that the program wrote itself.
fn waits_for_the_foreigner(report: &Ran) -> Vec<(String, u64)> {
    assert_eq!((report.code, report.stderr.as_str()), (0, ""));
    let report: Value = serde_json::from_str(&report.stdout).unwrap();
    let waits = report["waits"].as_array().unwrap().iter();
    let foreign = waits.filter(|wait| wait["function"].as_str().unwrap().contains("ForeignSignal"));
    foreign
        .map(|wait| {
            let kind = wait["kind"].as_str().unwrap().to_owned();
            (kind, wait["episodes"].as_u64().unwrap())
        })
        .collect()
}

#[test]
fn a_leaf_of_the_users_own_gets_the_kind_the_user_says() {
    let folder = Folder::new();
    let app = fixture("waits", "release", "dynfut");
    let rules =
        "[[wait]]\nat = 'dynfut::ForeignSignal'\nwithin = 'dynfut::wait_for_foreigners'\nkind = 'io'\n";
    fs::write(folder.path().join("ours.toml"), rules).unwrap();
    let recorded = record(&folder, &["--rules", "ours.toml", "--", text(&app)]);
    assert_eq!(recorded.code, 0, "{}", recorded.stderr);
    let other = waits_for_the_foreigner(&asyncprof_in(&folder, &["report", "--json"]));
    let [(kind, count)] = &other[..] else {
        panic!("{other:?}");
    };
    assert_eq!(kind, "other", "what nobody knows");
    let ruled = ["report", "--json", "--rules", "ours.toml"];
    let io = waits_for_the_foreigner(&asyncprof_in(&folder, &ruled));
    assert_eq!(io, [("io".to_owned(), *count)]);

    assert!(recorded.stderr.lines().any(|line| line.trim().starts_with("io ")));
    let picture = fs::read_to_string(folder.path().join("flamegraph.svg")).unwrap();
    assert!(
        picture.contains("[io] waits for I/O"),
        "record draws by them, too"
    );
    let by_io = ["flamegraph", "--by", "io", "-o", "-"];
    assert_eq!(asyncprof_in(&folder, &by_io).code, 125, "there is no I/O wait");
    let by_io = asyncprof_in(&folder, &[&by_io[..], &["--rules", "ours.toml"]].concat());
    assert_eq!(by_io.code, 0, "{}", by_io.stderr);
    assert!(by_io.stdout.contains("ForeignSignal"), "{}", by_io.stdout);
}

#[test]
fn mistakes_in_the_rules_are_told_before_anything_is_done() {
    let folder = Folder::new();
    let app = fixture("waits", "release", "exits");
    assert_eq!(record(&folder, &["-q", "--", text(&app), "code"]).code, 7);
    for (content, said) in [
        (None, "cannot read the rules in x.toml: No such file or directory"),
        (
            Some("[[wait]]\nat = 'a'\nkind = 'nap'\n"),
            "x.toml, line 3: there is no kind `nap`; the kinds are io, timer, lock, channel, join, blocking, notify, \
             yield, other",
        ),
        (
            Some("[[wait]]\nat = 'a'\nkind = 'io'\n\n[[wait]]\nfunction = 'a'\n"),
            "x.toml, line 6: unknown field `function`, expected one of `at`, `within`, `kind`",
        ),
        (
            Some("[[wait]]\nat = 'a'\n"),
            "x.toml, line 1: missing field `kind`",
        ),
        (Some("wait"), "x.toml, line 1: "),
    ] {
        match content {
            Some(content) => fs::write(folder.path().join("x.toml"), content).unwrap(),
            None => assert!(!folder.path().join("x.toml").exists()),
        }
        for command in [&["report"][..], &["flamegraph", "-o", "-"], &["record"]] {
            let program = if command[0] == "record" {
                &["--", text(&app), "code"][..]
            } else {
                &[]
            };
            let ran = asyncprof_in(&folder, &[command, &["--rules", "x.toml"], program].concat());
            assert_eq!((ran.code, ran.stdout.as_str()), (125, ""), "{command:?}");
            assert_eq!(ran.stderr.lines().count(), 1, "{}", ran.stderr);
            assert!(ran.said()[0].starts_with(said), "{}", ran.stderr);
        }
    }
}
