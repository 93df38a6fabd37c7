//! Builds the agent, so that the command can carry it inside: one file to install.

use std::env;
use std::path::{Path, PathBuf};
use std::process::Command;

fn main() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"))
        .parent()
        .expect("cli/ lies in the workspace")
        .to_owned();
    for source in ["agent", "profiler-core", "Cargo.toml", "Cargo.lock"] {
        println!("cargo::rerun-if-changed={}", root.join(source).display());
    }
    let variable = |name| env::var(name).unwrap_or_else(|_| panic!("cargo sets {name} for build scripts"));
    let (target, host) = (variable("TARGET"), variable("HOST"));
    // A folder of its own: cargo holds the lock of the main one while this runs.
    let target_dir = PathBuf::from(variable("OUT_DIR")).join("agent");

    let mut cargo = Command::new(variable("CARGO"));
    cargo.current_dir(&root).args([
        "build",
        "--profile",
        "agent",
        "--package",
        "asyncprof-agent",
        "--features",
        "preload",
    ]);
    cargo.arg("--target-dir").arg(&target_dir);
    // The agent is always optimised and never instrumented, whatever the command is built with.
    for wrapper in [
        "RUSTC_WRAPPER",
        "RUSTC_WORKSPACE_WRAPPER",
        "RUSTFLAGS",
        "CARGO_ENCODED_RUSTFLAGS",
    ] {
        cargo.env_remove(wrapper);
    }
    let mut built = target_dir.clone();
    if target != host {
        cargo.args(["--target", &target]);
        built.push(&target);
    }
    let status = cargo
        .status()
        .unwrap_or_else(|error| panic!("cargo could not be run to build the agent: {error}"));
    assert!(status.success(), "the agent did not build: {status}");
    println!(
        "cargo::rustc-env=ASYNCPROF_AGENT={}",
        built.join("agent/libasyncprof_agent.so").display()
    );
}
