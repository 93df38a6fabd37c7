//! Builds what is compared, each build in a target folder of its own.

use std::env;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, ensure};

use crate::contestant::{Contestant, Language};

/// How the loads are built.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Build {
    /// The profiler that is linked in, or none.
    pub feature: &'static str,
    pub is_unstable: bool,
}

#[derive(Debug)]
pub struct Programs {
    benches: PathBuf,
    asyncprof_target: PathBuf,
    python: Option<PathBuf>,
}

impl Programs {
    /// All that the contestants need, and asyncprof itself; a Python only if one is wanted.
    pub fn build(contestants: &[&Contestant], with_python: bool) -> Result<Programs> {
        let benches = Path::new(env!("CARGO_MANIFEST_DIR"))
            .parent()
            .context("benches/ has this folder")?;
        let root = benches.parent().context("benches/ lies in the repository")?;
        let python = with_python.then(|| environment(root)).transpose()?;
        let programs = Programs {
            python,
            benches: benches.to_owned(),
            asyncprof_target: env::var_os("CARGO_TARGET_DIR")
                .map_or_else(|| root.join("target"), PathBuf::from),
        };
        cargo(
            root,
            &programs.asyncprof_target,
            "",
            &["--package", "asyncprof-cli"],
        )?;
        let mut built = Vec::new();
        for build in contestants
            .iter()
            .filter(|contestant| contestant.language == Language::Rust)
            .map(|contestant| contestant.build)
        {
            if built.contains(&build) {
                continue;
            }
            built.push(build);
            let flags = if build.is_unstable {
                "--cfg tokio_unstable"
            } else {
                ""
            };
            let arguments = ["--package", "loads", "--features", build.feature];
            let arguments = if build.feature.is_empty() {
                &arguments[..2]
            } else {
                &arguments
            };
            cargo(benches, &programs.folder(build), flags, arguments)?;
        }
        Ok(programs)
    }

    pub fn load(&self, build: Build, name: &str) -> PathBuf {
        self.folder(build).join("release").join(name)
    }

    pub fn asyncprof(&self) -> PathBuf {
        self.asyncprof_target.join("release/asyncprof")
    }

    /// The interpreter with the packages that its loads need.
    pub fn python(&self) -> PathBuf {
        self.python.clone().unwrap_or_default()
    }

    pub fn script(&self, name: &str) -> PathBuf {
        self.benches.join("python").join(name)
    }

    fn folder(&self, build: Build) -> PathBuf {
        let unstable = if build.is_unstable { "-unstable" } else { "" };
        self.benches
            .join(format!("target/loads{unstable}-{}", build.feature))
    }
}

fn environment(root: &Path) -> Result<PathBuf> {
    let output = Command::new(root.join("scripts/python-venv.sh"))
        .args(["", "benches/python/requirements.txt"])
        .stderr(std::process::Stdio::inherit())
        .output()?;
    ensure!(output.status.success(), "no Python for the loads in Python");
    Ok(PathBuf::from(String::from_utf8_lossy(&output.stdout).trim()))
}

fn cargo(folder: &Path, target: &Path, flags: &str, arguments: &[&str]) -> Result<()> {
    eprintln!("building {}", target.display());
    let mut cargo = Command::new(env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    cargo.args(["build", "--quiet", "--release", "--target-dir"]);
    cargo.arg(target).args(arguments).current_dir(folder);
    let status = cargo.env("RUSTFLAGS", flags).status()?;
    ensure!(status.success(), "{} did not build", folder.display());
    Ok(())
}
