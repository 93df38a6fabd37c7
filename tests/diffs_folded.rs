//! `diff` of folded stacks, as other profilers write them.

use std::fs;
use std::io::Write;
use std::process::Stdio;

use crate::support::fixtures::fixture;
use crate::support::recording::{Folder, asyncprof};
use crate::support::run::{Ran, record, run, text};

fn diff(folder: &Folder, args: &[&str]) -> Ran {
    run(asyncprof(folder).arg("diff").args(args))
}

fn folder(files: &[(&str, &str)]) -> Folder {
    let folder = Folder::new();
    for (name, content) in files {
        fs::write(folder.path().join(name), content).unwrap();
    }
    folder
}

#[test]
fn shares_of_samples_are_tested() {
    let folder = folder(&[
        ("a.folded", "main;wörk it;<T as \"f\"> 500\nmain;g 9500\n"),
        ("b.folded", "main;wörk it;<T as \"f\"> 1000\nmain;g 9000\n"),
    ]);
    let ran = diff(&folder, &["a.folded", "b.folded", "--fail-on", "slower"]);
    assert_eq!((ran.code, ran.stderr.as_str()), (1, ""));
    assert!(
        ran.stdout.contains("each sample taken as independent"),
        "{}",
        ran.stdout
    );
    for word in [
        "▲ slower",
        "5.00 %",
        "10.00 %",
        "+5.00",
        "+4.27 to +5.73",
        "<0.0001",
        "▼ faster",
    ] {
        assert!(ran.stdout.contains(word), "{word}: {}", ran.stdout);
    }
    let same = diff(&folder, &["a.folded", "a.folded"]);
    assert!(
        same.stdout.contains("Nothing is known to have changed."),
        "{}",
        same.stdout
    );
    let ran = diff(&folder, &["--json", "b.folded", "a.folded"]);
    let json: serde_json::Value = serde_json::from_str(&ran.stdout).unwrap();
    assert_eq!(json["tested"], true);
    let findings = json["findings"].as_array().unwrap();
    let f = findings
        .iter()
        .find(|finding| finding["verdict"] == "faster")
        .unwrap();
    assert!((f["change"].as_f64().unwrap() + 0.05).abs() < 1e-9, "{f}");
}

#[test]
fn as_a_picture_in_any_order_and_from_a_pipe() {
    let folder = folder(&[
        (
            "a.folded",
            "main;</title><script>alert(1)</script> 500\nmain;g 9500\n",
        ),
        (
            "b.folded",
            "main;</title><script>alert(1)</script> 1000\nmain;g 9000\n",
        ),
    ]);
    let drawn = diff(&folder, &["a.folded", "b.folded", "-o", "-", "--match", "exact"]);
    assert_eq!((drawn.code, drawn.stderr.as_str()), (0, ""));
    for part in [
        "▲ +5.00 pp &lt;/title&gt;&lt;script&gt;",
        "width = share of all that was counted",
    ] {
        assert!(drawn.stdout.contains(part), "{part}: {}", drawn.stdout);
    }
    assert!(!drawn.stdout.contains("<script>alert"));

    let first = |sort: &str| {
        let ran = diff(
            &folder,
            &[
                "a.folded", "b.folded", "--json", "--match", "exact", "--sort", sort,
            ],
        );
        let json: serde_json::Value = serde_json::from_str(&ran.stdout).unwrap();
        json["findings"][0]["frame"].as_str().unwrap().to_owned()
    };
    assert_eq!(first("relative"), "</title><script>alert(1)</script>");
    assert_eq!(first("name"), "</title><script>alert(1)</script>");
    fs::write(folder.path().join("even.folded"), "main;f 50000\nmain;g 50000\n").unwrap();
    let all = diff(&folder, &["even.folded", "even.folded", "--all"]);
    assert!(
        all.stdout.contains("= unchanged") && all.stdout.contains("Faster? No"),
        "{}",
        all.stdout
    );
    let gate = diff(&folder, &["even.folded", "even.folded", "--fail-on", "change"]);
    assert_eq!(gate.code, 0, "{}", gate.stdout);

    let whole = diff(&folder, &["a.folded", "b.folded"]).stdout;
    let mut piped = asyncprof(&folder);
    piped
        .args(["diff", "a.folded", "/dev/stdin"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped());
    let mut piped = piped.spawn().unwrap();
    let content = fs::read(folder.path().join("b.folded")).unwrap();
    piped.stdin.take().unwrap().write_all(&content).unwrap();
    let output = piped.wait_with_output().unwrap();
    let stdout = String::from_utf8(output.stdout).unwrap();
    assert_eq!(stdout, whole.replace("b.folded", "/dev/stdin"));
}

#[test]
fn fractions_are_compared_but_prove_nothing() {
    let folder = folder(&[
        ("a.folded", "main;f 500.25\nmain;g 9500"),
        ("b.folded", "main;f 1000\nmain;g 9000"),
    ]);
    let ran = diff(&folder, &["a.folded", "b.folded", "--fail-on", "slower"]);
    assert_eq!((ran.code, ran.stderr.as_str()), (3, ""));
    assert!(ran.stdout.contains("nothing is tested"), "{}", ran.stdout);
    assert!(ran.stdout.contains("? inconclusive  f"), "{}", ran.stdout);
}

#[test]
fn what_is_neither_is_refused() {
    let folder = folder(&[
        ("a.folded", "f 1\n"),
        ("broken.folded", "f 1\ng\n"),
        ("text", "no numbers\n"),
        ("rules.toml", ""),
    ]);
    let app = fixture("waits", "release", "sleep");
    assert_eq!(record(&folder, &["-q", "-o", "a.data", "--", text(&app)]).code, 0);
    for (args, why) in [
        (
            &["a.folded", "a.data"][..],
            "a.folded holds folded stacks and a.data does not",
        ),
        (
            &["a.data", "a.folded"],
            "a.folded holds folded stacks and a.data does not",
        ),
        (
            &["a.folded", "broken.folded"],
            "broken.folded: line 2 is not a folded stack",
        ),
        (&["text", "text"], "not an asyncprof profile"),
        (
            &["a.folded", "a.folded", "--per", "second"],
            "folded stacks have only shares",
        ),
        (
            &["a.folded", "a.folded", "--label", "route=/a"],
            "folded stacks have only shares",
        ),
        (
            &["a.folded", "a.folded", "--rules", "rules.toml"],
            "folded stacks have only shares",
        ),
        (
            &["a.folded", "a.folded", "--by", "io"],
            "--by, --per, --label and --rules are for recordings",
        ),
    ] {
        let ran = diff(&folder, args);
        assert_eq!((ran.code, ran.stdout.as_str()), (2, ""), "{args:?}");
        assert!(ran.said()[0].contains(why), "{args:?}: {}", ran.stderr);
    }
}

#[test]
fn folded_stacks_are_drawn() {
    let many: String = (0..2000).map(|n| format!("main;app::few::f{n} 1\n")).collect();
    let folder = folder(&[("a.folded", &format!("main;app::work 6000\n{many}"))]);
    let ran = run(asyncprof(&folder).args(["flamegraph", "-o", "-", "a.folded"]));
    assert_eq!((ran.code, ran.stderr.as_str()), (0, ""));
    for text in [
        "a.folded  ·  8,000 samples",
        "app::work (6,000 samples, 75.0 %)",
        "(other: 2,000 frames) (25.0 %)",
        "2,000 frames too narrow to draw",
    ] {
        assert!(ran.stdout.contains(text), "{text}: {}", ran.stdout);
    }
    let ran = run(asyncprof(&folder).args(["flamegraph", "--by", "io", "a.folded"]));
    assert_eq!(ran.code, 125);
    assert!(
        ran.stderr.contains("are for recordings of asyncprof"),
        "{}",
        ran.stderr
    );
}
