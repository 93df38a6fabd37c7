//! The interpreters to test with: those that pyenv has.

use std::collections::BTreeMap;
use std::env;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

use asyncprof_core::profile::{Profile, Row, Waker};
use asyncprof_core::view::{Activity, Analysis, Kind, Rules};

use super::fixtures::{python_environment, workspace_root};
use super::recording::Recording;
use super::run::text;

/// Minor versions that the tap knows.
const KNOWN: std::ops::RangeInclusive<u32> = 8..=15;

#[derive(Clone, Debug)]
pub struct Python {
    /// As in "3.12.1".
    pub version: String,
    pub minor: u32,
    pub program: PathBuf,
}

/// All that were found, oldest first; says once which versions are missing.
pub fn pythons() -> &'static [Python] {
    static FOUND: OnceLock<Vec<Python>> = OnceLock::new();
    FOUND.get_or_init(|| {
        let root = env::var_os("PYENV_ROOT")
            .map(PathBuf::from)
            .or_else(|| Some(Path::new(&env::var_os("HOME")?).join(".pyenv")));
        let versions = root.and_then(|root| fs::read_dir(root.join("versions")).ok());
        let mut found: Vec<Python> = versions
            .into_iter()
            .flatten()
            .filter_map(|entry| python(&entry.ok()?.path()))
            .collect();
        found.sort_by_key(|python| python.minor);
        let missing = KNOWN.filter(|minor| found.iter().all(|python| python.minor != *minor));
        let missing: Vec<String> = missing.map(|minor| format!("3.{minor}")).collect();
        if !missing.is_empty() {
            eprintln!(
                "skipped, as pyenv does not have them: Python {}",
                missing.join(", ")
            );
        }
        found
    })
}

fn python(folder: &Path) -> Option<Python> {
    let version = folder.file_name()?.to_str()?.to_owned();
    let mut parts = version.split('.');
    let (major, minor) = (parts.next()?, parts.next()?.parse().ok()?);
    let program = folder.join("bin/python3");
    (major == "3" && KNOWN.contains(&minor) && program.exists()).then_some(Python {
        version,
        minor,
        program,
    })
}

/// The one that has the packages of `fixtures/python/requirements.txt`. The error says why there is none.
pub fn python_with_packages() -> Result<Python, String> {
    let program = python_environment()?;
    let asked = Command::new(&program)
        .args(["-c", "import platform; print(platform.python_version(), end='')"])
        .output();
    let version = asked.map_err(|error| error.to_string())?.stdout;
    let version = String::from_utf8(version).map_err(|error| error.to_string())?;
    let minor = version.split('.').nth(1).and_then(|minor| minor.parse().ok());
    Ok(Python {
        minor: minor.ok_or_else(|| format!("{} is of version {version:?}", program.display()))?,
        version,
        program,
    })
}

/// A program of `fixtures/python`.
pub fn script(name: &str) -> String {
    let path = workspace_root().join("fixtures/python").join(name);
    path.to_str().expect("test paths are UTF-8").to_owned()
}

/// Records a program of `fixtures/python`.
pub fn recorded(python: &Python, program: &str, args: &[&str]) -> Recording {
    let program = script(program);
    let args: Vec<&str> = [program.as_str()]
        .into_iter()
        .chain(args.iter().copied())
        .collect();
    Recording::new(&["-q"], text(&python.program), &args)
}

/// Nothing was lost, seen late or left untold.
pub fn assert_whole(profile: &Profile, of: &str) {
    let quality = &profile.quality;
    let lacks = [
        quality.events_lost,
        quality.tasks_seen_late,
        quality.wakes_unseen,
        quality.waits_split,
    ];
    assert_eq!(lacks, [0; 4], "{of}");
}

/// Episodes and time of the rows that `is_meant`.
pub fn sum(profile: &Profile, is_meant: impl Fn(&Row) -> bool) -> (u64, u64) {
    let rows = profile.rows.iter().filter(|row| is_meant(row));
    rows.fold((0, 0), |(episodes, ns), row| {
        (episodes + row.stats.episodes, ns + row.stats.total_ns)
    })
}

/// Names of the functions in a row's stack.
pub fn functions<'a>(profile: &'a Profile, row: &Row) -> Vec<&'a str> {
    let frames = profile.stack(row.stack).iter();
    let functions = frames.flat_map(|frame| &profile.frame(*frame).functions);
    functions.map(|function| profile.string(function.name)).collect()
}

/// How many waits there are in this function, of each kind and ended by tasks of each name.
pub fn waits(profile: &Profile, function: &str) -> BTreeMap<(Kind, String), u64> {
    let mut waits = BTreeMap::new();
    for (row, activity) in Analysis::new(profile, &Rules::default()).rows(false) {
        let Activity::Waiting(kind) = activity else {
            continue;
        };
        if functions(profile, row).contains(&function) {
            let ender = match profile.wakers[row.waker.index()] {
                Waker::Task { group, .. } => profile.string(profile.group(group).name),
                Waker::Thread { .. } => "(no task)",
                Waker::Unknown => "(unknown)",
            };
            *waits.entry((kind, ender.to_owned())).or_default() += row.stats.episodes;
        }
    }
    waits
}

/// As of [`waits`].
pub fn expected(waits: &[(Kind, &str, u64)]) -> BTreeMap<(Kind, String), u64> {
    let waits = waits
        .iter()
        .map(|&(kind, ender, number)| ((kind, ender.to_owned()), number));
    waits.collect()
}
