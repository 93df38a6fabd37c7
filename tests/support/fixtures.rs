//! The programs under `fixtures/`, built when a test first asks for one, and variants of them without symbols.
//! A fixture is a package outside the workspace, with a lock file and a target folder of its own.

use std::collections::HashSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{self, Command};
use std::sync::{Mutex, PoisonError};

/// Builds the program `bin` of `fixtures/<name>` with the cargo profile `profile` (`dev`, `release`, `lto`)
/// and returns its path.
///
/// Within one process each is built once; between processes cargo's own lock and fingerprints see to it that
/// a second build finds its work done.
pub fn fixture(name: &str, profile: &str, bin: &str) -> PathBuf {
    static BUILT: Mutex<Option<HashSet<PathBuf>>> = Mutex::new(None);

    let target = target_dir().join("fixtures").join(name);
    let folder = if profile == "dev" { "debug" } else { profile };
    let program = target.join(folder).join(bin);

    // Held while building: a second test of this process has nothing better to do than wait for it.
    let mut built = BUILT.lock().unwrap_or_else(PoisonError::into_inner);
    if built.get_or_insert_default().insert(program.clone()) {
        build(name, profile, bin, &target);
    }
    program
}

/// A copy without line tables and inlined frames, as `strip = "debuginfo"` leaves it: the symbols remain.
pub fn strip_debug(program: &Path) -> PathBuf {
    strip(program, "--strip-debug")
}

/// A copy without any symbol, as many distributions ship programs.
pub fn strip_all(program: &Path) -> PathBuf {
    strip(program, "--strip-all")
}

/// The program of `no-tokio`, with the C library linked into it. The error says why that cannot be built here.
pub fn static_program() -> Result<PathBuf, String> {
    let folder = target_dir().join("fixtures").join("static");
    let program = folder.join("no-tokio");
    fs::create_dir_all(&folder).expect("the target folder can be written to");
    let fresh = folder.join(format!("no-tokio.{}", unique()));
    let source = workspace_root().join("fixtures/no-tokio/src/main.rs");
    let rustc = Path::new(env!("CARGO")).with_file_name("rustc");
    let mut rustc = Command::new(if rustc.exists() { rustc } else { "rustc".into() });
    rustc.args(["--edition", "2024", "-C", "target-feature=+crt-static", "-o"]);
    let output = rustc
        .arg(&fresh)
        .arg(source)
        .output()
        .map_err(|error| error.to_string())?;
    if !output.status.success() {
        return Err(String::from_utf8_lossy(&output.stderr).into_owned());
    }
    fs::rename(&fresh, &program).expect("both are in one folder");
    Ok(program)
}

/// The release build of `bin` of `fixtures/<name>`, always with the C library linked into it. The error says why that
/// cannot be built here.
pub fn static_fixture(name: &str, bin: &str) -> Result<PathBuf, String> {
    let target = target_dir().join("fixtures").join(name);
    let mut cargo = cargo("rustc", name, "release", bin, &target);
    // The flag goes to the program's own build only: what it links is there.
    let output = cargo.args(["--", "-C", "target-feature=+crt-static"]).output();
    let output = output.map_err(|error| error.to_string())?;
    match output.status.success() {
        true => Ok(target.join("release").join(bin)),
        false => Err(String::from_utf8_lossy(&output.stderr).into_owned()),
    }
}

/// A Python that has the packages of `fixtures/python/requirements.txt`. The error says why there is none.
pub fn python_environment() -> Result<PathBuf, String> {
    static MADE: Mutex<Option<Result<PathBuf, String>>> = Mutex::new(None);
    let mut made = MADE.lock().unwrap_or_else(PoisonError::into_inner);
    let make = || {
        let script = workspace_root().join("scripts/python-venv.sh");
        let output = Command::new(script)
            .env("CARGO_TARGET_DIR", target_dir())
            .output()
            .map_err(|error| error.to_string())?;
        let [told, why] =
            [&output.stdout, &output.stderr].map(|text| String::from_utf8_lossy(text).into_owned());
        if output.status.success() {
            Ok(PathBuf::from(told.trim()))
        } else {
            Err(why)
        }
    };
    made.get_or_insert_with(make).clone()
}

fn build(name: &str, profile: &str, bin: &str, target: &Path) {
    let mut cargo = cargo("build", name, profile, bin, target);
    run(&mut cargo, &format!("build the fixture {name}/{bin}"));
}

fn cargo(command: &str, name: &str, profile: &str, bin: &str, target: &Path) -> Command {
    let manifest = workspace_root().join("fixtures").join(name).join("Cargo.toml");
    let mut cargo = Command::new(env!("CARGO"));
    cargo.args([command, "--quiet", "--locked", "--profile", profile, "--bin", bin]);
    cargo
        .arg("--manifest-path")
        .arg(&manifest)
        .arg("--target-dir")
        .arg(target);
    // A fixture is an ordinary build, whatever flags (loom, coverage) our own tests are built with.
    for flags in [
        "RUSTFLAGS",
        "CARGO_ENCODED_RUSTFLAGS",
        "RUSTC_WRAPPER",
        "RUSTC_WORKSPACE_WRAPPER",
    ] {
        cargo.env_remove(flags);
    }
    cargo
}

/// The copy keeps its file name, in a folder named after the option; it is made anew if `program` is newer.
fn strip(program: &Path, option: &str) -> PathBuf {
    let folder = program.with_file_name(option.trim_start_matches('-'));
    let name = program.file_name().expect("a program has a name");
    let stripped = folder.join(name);
    let modified = |path: &Path| fs::metadata(path).and_then(|metadata| metadata.modified()).ok();
    if modified(&stripped) >= modified(program) {
        return stripped;
    }
    fs::create_dir_all(&folder).expect("the target folder can be written to");
    // Another test process may be running or making the same copy: only whole ones take its name.
    let fresh = folder.join(format!("{}.{}", name.display(), unique()));
    run(
        Command::new("strip")
            .arg(option)
            .arg("-o")
            .arg(&fresh)
            .arg(program),
        "strip a fixture (does the machine have binutils?)",
    );
    fs::rename(&fresh, &stripped).expect("both are in one folder");
    stripped
}

/// Names this very call among all tests of all processes.
fn unique() -> String {
    format!("{}.{:?}", process::id(), std::thread::current().id()).replace(['(', ')'], "")
}

fn run(command: &mut Command, what: &str) {
    let output = command
        .output()
        .unwrap_or_else(|error| panic!("failed to {what}: {error}: {command:?}"));
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(
        output.status.success(),
        "failed to {what}: {}: {command:?}\n{stderr}",
        output.status
    );
}

pub fn workspace_root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .parent()
        .expect("the package lies in the workspace's folder")
}

/// The workspace's target folder, wherever it was put: cargo's folder for tests lies in it.
fn target_dir() -> &'static Path {
    Path::new(env!("CARGO_TARGET_TMPDIR"))
        .parent()
        .expect("it is a folder of the target folder")
}
