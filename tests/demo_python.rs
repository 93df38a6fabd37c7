//! `asyncprof demo --python`: the same service on asyncio, where a Python has what it needs.

use std::path::Path;

use crate::support::fixtures::python_environment;
use crate::support::pythons::pythons;
use crate::support::recording::{Folder, asyncprof};
use crate::support::run::{Ran, report, run, text, waits_in};

fn demo(folder: &Folder, python: Option<&Path>, virtual_environment: &str) -> Ran {
    let mut demo = asyncprof(folder);
    demo.args([
        "demo",
        "--duration",
        "2s",
        "--rate",
        "10",
        "--slow-upstream",
        "20ms",
    ]);
    demo.arg("--python")
        .args(python)
        .env("VIRTUAL_ENV", virtual_environment);
    run(&mut demo)
}

fn assert_recorded(folder: &Folder, demo: &Ran) {
    assert_eq!(demo.code, 0, "{}", demo.stderr);
    assert!(
        demo.stdout.starts_with("20 requests (0 failed), median "),
        "{}",
        demo.stdout
    );
    assert!(demo.stderr.contains("asyncio (CPython "), "{}", demo.stderr);
    assert!(folder.path().join("flamegraph.svg").exists());
    let report = report(folder);
    let (orders, both_ns) = waits_in(&report, "shop.get_order");
    let (queries, _) = waits_in(&report, "shop.load_stock");
    let (_, upstream_ns) = waits_in(&report, "shop.fetch_price");
    assert_eq!((orders, queries), (20, 20));
    // The upstream's least delay, and what was added to it.
    assert!(upstream_ns >= 20 * 55_000_000, "{upstream_ns}");
    assert!(both_ns >= 20 * 55_000_000, "{both_ns}");
    assert_eq!(report["command"][1], "demo/shop.py", "{}", report["command"]);
}

#[test]
fn it_is_recorded_and_drawn() {
    let python = match python_environment() {
        Ok(python) => python,
        Err(why) => return eprintln!("skipped: {why}"),
    };
    let folder = Folder::new();
    assert_recorded(&folder, &demo(&folder, Some(&python), ""));

    let environment = python.ancestors().nth(2).expect("bin/python in a folder");
    let folder = Folder::new();
    assert_recorded(&folder, &demo(&folder, None, text(environment)));
}

#[test]
fn what_is_missing_is_said() {
    for python in pythons() {
        let demo = demo(&Folder::new(), Some(&python.program), "");
        let program = text(&python.program);
        let says = match python.minor {
            ..9 => format!(
                "{program} is Python {}; the demo needs 3.9 or later",
                python.version
            ),
            _ => format!("\n  {program} -m pip install fastapi uvicorn httpx\n"),
        };
        assert!(demo.stderr.contains(&says), "{}", demo.stderr);
        assert_eq!((demo.code, demo.stdout.as_str()), (125, ""));
    }
    for (no_python, says) in [
        ("./nowhere", "./nowhere: not found; install Python"),
        ("true", "true is no Python that the demo can run on"),
        ("/", "/ cannot be run: "),
    ] {
        let demo = demo(&Folder::new(), Some(Path::new(no_python)), "");
        assert_eq!(demo.code, 125, "{no_python}");
        assert!(demo.stderr.contains(says), "{}", demo.stderr);
    }
}
