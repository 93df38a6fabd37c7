//! `record --runs` and `--ab`: recordings in a row, for `diff`.

use std::fs;
use std::os::unix::fs::PermissionsExt;

use asyncprof_core::profile::Profile;
use libc::{SIGINT, SIGTERM};

use crate::support::fixtures::fixture;
use crate::support::recording::{Folder, asyncprof};
use crate::support::run::{Running, record, record_command, run, signal, text};

/// A script in the folder that does this, then becomes the service; it leaves its name in `order`.
fn script(folder: &Folder, name: &str, line: &str) -> String {
    let path = folder.path().join(name);
    let service = fixture("waits", "release", "service");
    let text = format!(
        "#!/bin/sh\necho {name} >> order\n{line}\nexec {} \"$@\"\n",
        text(&service)
    );
    fs::write(&path, text).unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
    format!("./{name}")
}

fn files(folder: &Folder) -> Vec<String> {
    let entries = fs::read_dir(folder.path()).unwrap();
    let names = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap());
    let mut files: Vec<String> = names
        .filter(|name| name.ends_with(".data") || name.ends_with(".svg"))
        .collect();
    files.sort();
    files
}

#[test]
fn two_programs_in_turn_and_the_command_that_compares_them() {
    let folder = Folder::new();
    let (old, new) = (
        script(&folder, "old", "set -- 5 1"),
        script(&folder, "new", "set -- 9 1"),
    );
    let ran = record(&folder, &["--runs", "3", "--ab", &old, &new]);
    assert_eq!(ran.code, 0, "{}", ran.stderr);
    let order = fs::read_to_string(folder.path().join("order")).unwrap();
    assert_eq!(
        order.split_whitespace().collect::<Vec<_>>(),
        ["old", "new", "new", "old", "old", "new"]
    );
    let side = |label: &str| [1, 2, 3].map(|run| format!("asyncprof-{label}{run}.data"));
    assert_eq!(files(&folder), [side("a"), side("b")].concat(), "{}", ran.stderr);
    assert_eq!(ran.said()[0], "run 1 of 6: ./old → asyncprof-a1.data");
    let compare = format!(
        "asyncprof diff {} --vs {}",
        side("a").join(" "),
        side("b").join(" ")
    );
    assert_eq!(
        *ran.said().last().unwrap(),
        format!("compare them with: {compare}")
    );

    let words = compare.split(' ').skip(1);
    let compared = run(asyncprof(&folder).args(words));
    assert_eq!(compared.code, 0, "{}", compared.stderr);
    let upstream = "▲ slower  service::ask_upstream";
    assert!(compared.stdout.contains(upstream), "{}", compared.stdout);
    assert!(
        compared.stdout.contains("by permuted runs"),
        "{}",
        compared.stdout
    );
}

#[test]
fn the_arguments_go_to_both_and_a_time_limit_to_each_run() {
    let folder = Folder::new();
    let app = fixture("waits", "release", "service");
    let app = text(&app);
    let args = [
        "-q",
        "-d",
        "400ms",
        "-o",
        "of it.data",
        "--runs",
        "1",
        "--ab",
        app,
        app,
        "--",
        "5",
        "60",
    ];
    let ran = record(&folder, &args);
    assert_eq!(
        (ran.code, ran.stderr.as_str()),
        (0, ""),
        "ended by the limit, as asked for"
    );
    for file in ["of it-a1.data", "of it-b1.data"] {
        let profile = Profile::load(folder.path().join(file)).unwrap();
        assert_eq!(profile.meta.command, [app, "5", "60"]);
        assert!(profile.meta.duration_ns < 30_000_000_000);
    }
}

#[test]
fn the_first_failing_run_tells_the_exit_code_and_stays_out_of_the_comparison() {
    let folder = Folder::new();
    let fail =
        "n=$(wc -l < order); if [ $n = 2 ]; then exit 7; fi; if [ $n = 3 ]; then exit 8; fi; set -- 5 1";
    let app = script(&folder, "app", fail);
    let ran = record(&folder, &["--runs", "4", "--", &app]);
    assert_eq!(ran.code, 7, "{}", ran.stderr);
    let said = ran.said();
    assert!(
        said.contains(&"run 2 of 4 ended with exit code 7; asyncprof-2.data is not of a whole run"),
        "{said:?}"
    );
    assert!(
        said.contains(&"run 3 of 4 ended with exit code 8; asyncprof-3.data is not of a whole run"),
        "{said:?}"
    );
    let last = said.last().unwrap();
    assert!(
        last.ends_with("asyncprof diff asyncprof-1.data asyncprof-4.data --vs OTHER…"),
        "{last}"
    );
}

#[test]
fn a_signal_stops_the_series_and_keeps_what_was_recorded() {
    for (number, code) in [(SIGINT, 128 + SIGINT), (SIGTERM, 128 + SIGTERM)] {
        let folder = Folder::new();
        // The first run ends by itself, the second never.
        let app = script(
            &folder,
            "app",
            "if [ $(wc -l < order) = 2 ]; then echo second; fi; set -- 5 \"$(wc -l < order)\"",
        );
        let slow = script(&folder, "slow", "echo second; set -- 5 600");
        let running = Running::start(&mut record_command(
            &folder,
            &["--runs", "2", "--ab", &app, &slow],
        ));
        running.wait_for_stdout("second");
        signal(running.pid(), number);
        let ran = running.finish();
        assert_eq!(ran.code, code, "{}", ran.stderr);
        assert_eq!(
            files(&folder),
            ["asyncprof-a1.data", "asyncprof-b1.data"],
            "{}",
            ran.stderr
        );
        Profile::load(folder.path().join("asyncprof-b1.data")).unwrap();
        let stopped = "stopped in run 2 of 4; asyncprof-b1.data is not of a whole run";
        assert!(ran.said().contains(&stopped), "{}", ran.stderr);
    }
}

#[test]
fn what_cannot_be_a_series_is_refused_before_anything_runs() {
    let folder = Folder::new();
    let app = script(&folder, "app", "");
    for (args, why, code) in [
        (&["--ab", &app, "--", "x"][..], "--ab takes two programs", 125),
        (
            &["--ab", &app, &app, &app],
            "--ab takes two programs, OLD and NEW, and got 3",
            125,
        ),
        (&["--runs", "0", "--", &app], "invalid value '0' for '--runs", 2),
        (
            &["--runs", "2", "-o", "-", "--", &app],
            "cannot go to standard output",
            125,
        ),
        (
            &["--runs", "2", "-o", "x.svg", "--", &app],
            "not as one picture",
            125,
        ),
        (
            &["--runs", "2", "-o", "no/folder/x", "--", &app],
            "no/folder/x-1.data cannot be written",
            125,
        ),
        (&["--ab", &app, "./missing"], "./missing: no such file", 127),
        (
            &["--ab", &app, &app, "-d", "1s", "--keep-running"],
            "cannot be used with",
            2,
        ),
    ] {
        let ran = record(&folder, args);
        assert_eq!(ran.code, code, "{args:?}: {}", ran.stderr);
        assert!(ran.stderr.contains(why), "{args:?}: {}", ran.stderr);
    }
    assert!(!folder.path().join("order").exists());
}

/// The steps of docs/ci.md, as GitHub runs them.
#[test]
fn the_example_for_github_actions() {
    let folder = Folder::new();
    script(&folder, "before", "set -- 5 1");
    script(&folder, "after", "set -- 9 1");
    let page = include_str!("../docs/ci.md");
    let steps = page.split("      - name: ").skip(1);
    let script_of = |step: &str| {
        let run = step
            .split_once("run: ")
            .map(|(_, run)| run.trim_start_matches('|'));
        let lines = run
            .unwrap_or_default()
            .split("      - ")
            .next()
            .unwrap_or_default()
            .lines();
        lines.map(|line| format!("{}\n", line.trim())).collect::<String>()
    };
    let asyncprof = asyncprof(&folder);
    let bin = std::path::Path::new(asyncprof.get_program())
        .parent()
        .unwrap()
        .to_owned();
    let path = format!("{}:{}", bin.display(), std::env::var("PATH").unwrap());
    let mut codes = Vec::new();
    for step in steps.filter(|step| !step.starts_with("Build")) {
        let mut shell = std::process::Command::new("bash");
        shell
            .args(["-e", "-c", &script_of(step)])
            .current_dir(folder.path())
            .env("PATH", &path);
        let ran = run(&mut shell);
        let name = step.lines().next().unwrap_or_default();
        codes.push((name, ran.code));
        assert!(
            name != "Compare" || ran.stdout.contains("▲ slower  service::ask_upstream"),
            "{}",
            ran.stdout
        );
    }
    assert_eq!(codes, [("Record both in turn", 0), ("Compare", 1), ("Draw", 0)]);
    let svg = fs::read_to_string(folder.path().join("diff.svg")).unwrap();
    assert!(svg.contains("ask_upstream"));
}
