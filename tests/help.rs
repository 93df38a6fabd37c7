//! What the command says of itself, and who may hang up on it.

use std::fs;
use std::io::pipe;
use std::path::Path;
use std::process::{Command, Stdio};

use crate::support::fixtures::fixture;
use crate::support::recording::{Folder, asyncprof};
use crate::support::run::{Ran, record, record_command, run, text};
use crate::support::terminal::Terminal;

const COMMANDS: [&str; 7] = [
    "record",
    "flamegraph",
    "report",
    "diff",
    "demo",
    "completions",
    "man",
];

fn asyncprof_says(args: &[&str]) -> Ran {
    // The width of help texts.
    run(asyncprof(&Folder::new()).args(args).env("COLUMNS", "100"))
}

/// Compares with `tests/snapshots/NAME.txt`, or writes that file if `UPDATE_SNAPSHOTS` is set.
fn assert_snapshot(name: &str, text: &str) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../tests/snapshots")
        .join(format!("{name}.txt"));
    if std::env::var_os("UPDATE_SNAPSHOTS").is_some() {
        fs::write(&path, text).unwrap();
    }
    let expected = fs::read_to_string(&path).unwrap_or_default();
    assert!(
        text == expected,
        "{} is not this; if it should be, set UPDATE_SNAPSHOTS=1 and test again:\n{text}",
        path.display()
    );
}

#[test]
fn help_of_every_command_has_examples() {
    let whole = asyncprof_says(&["--help"]);
    assert_eq!((whole.code, whole.stderr.as_str()), (0, ""));
    assert_snapshot("help", &whole.stdout);
    assert!(!whole.stdout.contains("demo-service"));
    for command in COMMANDS {
        let help = asyncprof_says(&[command, "--help"]);
        assert_eq!(help.code, 0, "{command}");
        assert!(help.stdout.contains("Examples:\n  asyncprof "), "{command}");
        assert!(
            help.stdout.lines().all(|line| line.chars().count() <= 100),
            "{command}"
        );
        assert!(whole.stdout.contains(&format!("\n  {command} ")), "{command}");
        assert_snapshot(&format!("help-{command}"), &help.stdout);
    }
}

#[test]
fn completions_for_three_shells() {
    for (shell, sign) in [
        ("bash", "complete -F _asyncprof"),
        ("zsh", "#compdef asyncprof"),
        ("fish", "complete -c asyncprof"),
    ] {
        let script = asyncprof_says(&["completions", shell]);
        assert_eq!((script.code, script.stderr.as_str()), (0, ""));
        assert!(script.stdout.contains(sign), "{shell}");
        for word in ["record", "flamegraph", "keep-running"] {
            assert!(script.stdout.contains(word), "{shell}: {word}");
        }
    }
    let folder = Folder::new();
    let script = folder.path().join("script");
    fs::write(&script, asyncprof_says(&["completions", "bash"]).stdout).unwrap();
    match Command::new("bash").arg("-n").arg(&script).output() {
        Ok(checked) => assert!(
            checked.status.success(),
            "{}",
            String::from_utf8_lossy(&checked.stderr)
        ),
        Err(error) => println!("skipped: no bash to read the script ({error})"),
    }
}

#[test]
fn manual_pages_of_all_commands() {
    let page = asyncprof_says(&["man"]);
    assert_eq!((page.code, page.stderr.as_str()), (0, ""));
    assert!(page.stdout.contains(".TH asyncprof 1"), "{}", page.stdout);
    for command in COMMANDS {
        assert!(
            page.stdout.contains(&format!("asyncprof\\-{command}(1)")),
            "{command}"
        );
        let page = asyncprof_says(&["man", command]);
        assert_eq!(page.code, 0, "{command}");
        assert!(
            page.stdout.contains(&format!(".TH asyncprof-{command} 1")),
            "{}",
            page.stdout
        );
        assert!(page.stdout.contains("Examples:"), "{command}");
    }
    let unknown = asyncprof_says(&["man", "woman"]);
    assert_eq!(
        unknown.said(),
        ["there is no command woman; see asyncprof --help"]
    );
    assert_eq!(unknown.code, 125);
}

#[test]
fn wrong_usage_is_told_apart_from_a_programs_failure() {
    for args in [
        &["record"][..],
        &["record", "-d", "soon", "--", "true"],
        &["record", "--keep-running", "--", "true"],
        &["record", "-q", "-v", "--", "true"],
        &["flamegraph", "--by", "weight"],
        &["fly"],
    ] {
        let ran = asyncprof_says(args);
        assert_eq!((ran.code, ran.stdout.as_str()), (2, ""), "{args:?}");
        assert!(ran.stderr.starts_with("error: "), "{args:?}: {}", ran.stderr);
    }
}

/// An end of a pipe that nobody reads.
fn closed_pipe() -> Stdio {
    let (reader, writer) = pipe().unwrap();
    drop(reader);
    writer.into()
}

#[test]
fn a_closed_pipe_is_no_error() {
    let folder = Folder::new();
    let app = fixture("waits", "release", "exits");
    assert_eq!(record(&folder, &["-q", "--", text(&app), "code"]).code, 7);
    for args in [
        &["report"][..],
        &["report", "--json"],
        &["flamegraph", "-o", "-"],
        &["completions", "zsh"],
        &["man"],
        &["--help"],
    ] {
        let output = asyncprof(&folder)
            .args(args)
            .stdout(closed_pipe())
            .stderr(Stdio::piped())
            .spawn();
        let output = output.unwrap().wait_with_output().unwrap();
        assert_eq!(output.status.code(), Some(0), "{args:?}");
        assert_eq!(String::from_utf8_lossy(&output.stderr), "", "{args:?}");
    }
    for (args, code) in [
        (&["record", "-v", "--", text(&app), "code"][..], 7),
        (&["flamegraph"], 0),
        (&["report", "none.data"], 125),
    ] {
        let mut command = asyncprof(&folder);
        let status = command
            .args(args)
            .stdout(Stdio::null())
            .stderr(closed_pipe())
            .status()
            .unwrap();
        assert_eq!(status.code(), Some(code), "{args:?}");
    }
}

#[test]
fn colour_only_on_a_terminal_and_not_against_the_users_wish() {
    let folder = Folder::new();
    let app = fixture("waits", "release", "exits");
    let recorded = record(&folder, &["--", text(&app), "code"]);
    assert!(!recorded.stderr.contains('\u{1b}'), "{}", recorded.stderr);
    let on_terminal = |command: &mut Command, no_color: &str| {
        let (code, screen) = Terminal::start(command.env("NO_COLOR", no_color)).finish();
        assert!(screen.contains("Where the task time went"), "{code}: {screen}");
        screen.contains("\u{1b}[1m")
    };
    for (no_color, expected) in [("", true), ("1", false)] {
        let report = on_terminal(asyncprof(&folder).arg("report"), no_color);
        assert_eq!(report, expected, "report, NO_COLOR={no_color:?}");
        let record = on_terminal(
            &mut record_command(&folder, &["--", text(&app), "code"]),
            no_color,
        );
        assert_eq!(record, expected, "record, NO_COLOR={no_color:?}");
    }
}
