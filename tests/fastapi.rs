//! Python as people use it: FastAPI with uvicorn and httpx, and the request that waits for two things at once.

use std::process::Command;

use asyncprof_core::view::{Activity, Kind};

use crate::support::fixtures::{python_environment, workspace_root};
use crate::support::observed::{Amount, Shown, shown};
use crate::support::recording::Recording;

fn recorded(script: &str, args: &[&str]) -> Option<(String, Vec<Shown>)> {
    let python = match python_environment() {
        Ok(python) => python,
        Err(why) => {
            eprintln!("skipped: {why}");
            return None;
        }
    };
    let script = workspace_root().join("fixtures/python").join(script);
    let script = script.to_str().expect("a path in UTF-8");
    let recording = Recording::new(&[], &python, &[&[script], args].concat());
    let stdout = String::from_utf8_lossy(&recording.output.stdout).into_owned();
    assert!(recording.output.status.success(), "{}", recording.stderr());
    let profile = recording.profile();
    assert_eq!(profile.quality.events_lost, 0, "{}", recording.stderr());
    Some((stdout, shown(&profile)))
}

/// All that happened below a function.
fn below(all: &[Shown], function: &str) -> Shown {
    let mut sum = all[0].clone();
    sum.activities.clear();
    for path in all
        .iter()
        .filter(|path| path.functions.iter().any(|name| name == function))
    {
        for (&activity, &amount) in &path.activities {
            sum.activities.entry(activity).or_default().add(amount);
        }
    }
    sum
}

fn total(of: &Shown) -> Amount {
    let mut sum = Amount::default();
    of.activities.values().for_each(|&amount| sum.add(amount));
    sum
}

fn assert_mostly(all: &[Shown], function: &str, kind: Kind, share: f64) {
    let found = below(all, function);
    let waits: u64 = found.waits().map(|(_, amount)| amount.ns).sum();
    let of_kind = found.amount(Activity::Waiting(kind)).ns;
    assert!(waits > 0, "{function} never waits: {all:#?}");
    assert!(
        of_kind as f64 >= share * waits as f64,
        "{function}: {:#?}",
        found.activities
    );
}

/// The work that was given to threads is a task of its own, and so long.
fn assert_work(all: &[Shown], function: &str, at_least_ns: u64) {
    let group = format!("[blocking task] {function}");
    let of_group = all.iter().filter(|path| path.group == group);
    let activities = of_group.flat_map(|path| &path.activities);
    let ran = activities.filter(|(activity, _)| **activity != Activity::Scheduled);
    let ran_ns: u64 = ran.map(|(_, amount)| amount.ns).sum();
    assert!(
        ran_ns >= at_least_ns,
        "{function}: {ran_ns} of {at_least_ns} ns: {all:#?}"
    );
}

#[test]
fn a_request_that_waits_for_two_things_at_once() {
    const REQUESTS: usize = 10;
    let Some((stdout, all)) = recorded("article.py", &[&REQUESTS.to_string(), "40", "30"]) else {
        return;
    };
    let truth: serde_json::Value = serde_json::from_str(&stdout).expect("the program prints its truth");
    for (function, kind) in [
        ("call_upstream", Kind::Io),
        ("query_orders", Kind::Blocking),
        ("request", Kind::Join),
    ] {
        let name = format!("article.{function}");
        let took = truth[function].as_array().expect("one figure a request");
        assert_eq!(took.len(), REQUESTS);
        let took_ns: u64 = took.iter().map(|ns| ns.as_u64().expect("nanoseconds")).sum();
        let found_ns = total(&below(&all, &name)).ns;
        // The wrapper that measures is a coroutine around it: the task's first delay and the last steps are not its.
        let off_ns = took_ns.abs_diff(found_ns);
        let bound_ns = took_ns / 50 + 1_000_000 * REQUESTS as u64;
        assert!(off_ns <= bound_ns, "{name}: {found_ns} ns, {took_ns} ns in truth");
        assert_mostly(&all, &name, kind, 0.95);
    }
    assert_mostly(&all, "article.answer", Kind::Timer, 0.95);
    assert_work(&all, "article.run_query", REQUESTS as u64 * 29_000_000);
}

fn service(args: &[&str]) {
    const REQUESTS: u64 = 10;
    let Some((stdout, all)) = recorded("service.py", &[&[REQUESTS.to_string().as_str()], args].concat())
    else {
        return;
    };
    assert_eq!(stdout, "done\n");
    assert_mostly(&all, "service.order", Kind::Join, 0.95);
    assert_mostly(&all, "service.find_order", Kind::Blocking, 0.95);
    assert_mostly(&all, "service.fetch_price", Kind::Io, 0.9);
    assert_mostly(&all, "service.upstream", Kind::Timer, 0.95);
    assert_work(&all, "service.query", REQUESTS * 19_000_000);
    assert_work(&all, "service.plain", REQUESTS * 9_500_000);
    let upstream = below(&all, "service.upstream").amount(Activity::Waiting(Kind::Timer));
    assert_eq!(upstream.episodes, REQUESTS);
    assert!(upstream.ns >= REQUESTS * 29_000_000, "{upstream:?}");
}

#[test]
fn a_fastapi_service() {
    service(&[]);
}

#[test]
fn a_fastapi_service_on_uvloop() {
    service(&["uvloop"]);
}

/// What `scripts/python-venv.sh` prints is an interpreter that has it all.
#[test]
fn the_environment_has_what_is_pinned() {
    if let Ok(python) = python_environment() {
        let pip = Command::new(python)
            .args(["-m", "pip", "freeze"])
            .output()
            .expect("it runs");
        let installed = String::from_utf8_lossy(&pip.stdout).into_owned();
        let pinned = std::fs::read_to_string(workspace_root().join("fixtures/python/requirements.txt"));
        for package in pinned
            .expect("it is there")
            .lines()
            .filter(|line| line.contains("=="))
        {
            assert!(installed.contains(package), "{package}: {installed}");
        }
    }
}
