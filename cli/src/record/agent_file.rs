//! Puts the agent, which this command carries inside, into a file that the loader can preload.
//!
//! The file stays: a program that outlives the recording hands its environment on to its children, and the loader
//! complains on their standard error about a library that is gone.

use std::ffi::OsStr;
use std::fs;
use std::io::{self, Write};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::OnceLock;
use std::time::Duration;

use anyhow::{Context, Result, bail};

static AGENT: &[u8] = include_bytes!(env!("ASYNCPROF_AGENT"));

/// The agent's file, written if it is not there yet: in the user's cache folder, else in a folder of the user's
/// own among the temporary ones.
pub(super) fn install() -> Result<PathBuf> {
    let mut last = None;
    for dir in candidate_dirs() {
        match install_in(&dir, name()) {
            Ok(path) => return Ok(path),
            Err(error) => last = Some((dir, error)),
        }
    }
    match last {
        Some((dir, error)) => {
            Err(error).with_context(|| format!("cannot write the agent to {}", dir.display()))
        }
        None => bail!("no folder to write the agent to: set XDG_CACHE_HOME or TMPDIR to an absolute path"),
    }
}

fn name() -> &'static str {
    static NAME: OnceLock<String> = OnceLock::new();
    NAME.get_or_init(|| {
        format!(
            "agent-{}-{:016x}.so",
            env!("CARGO_PKG_VERSION"),
            fingerprint(AGENT)
        )
    })
}

fn candidate_dirs() -> impl Iterator<Item = PathBuf> {
    let from = |variable| {
        std::env::var_os(variable)
            .filter(|value| !value.is_empty())
            .map(PathBuf::from)
    };
    let cache = from("XDG_CACHE_HOME").or_else(|| from("HOME").map(|home| home.join(".cache")));
    let user = fs::metadata("/proc/self").map_or(0, |own| own.uid());
    let temporary = std::env::temp_dir().join(format!("asyncprof-{user}"));
    [cache.map(|cache| cache.join("asyncprof")), Some(temporary)]
        .into_iter()
        .flatten()
        // The loader separates preloaded files by blanks and colons and expands `$`.
        .filter(|dir| {
            dir.is_absolute()
                && !dir
                    .as_os_str()
                    .as_bytes()
                    .iter()
                    .any(|byte| b" :$\t\n".contains(byte))
        })
}

fn install_in(dir: &Path, name: &str) -> io::Result<PathBuf> {
    fs::DirBuilder::new().recursive(true).mode(0o755).create(dir)?;
    let metadata = fs::metadata(dir)?;
    if metadata.uid() != fs::metadata("/proc/self")?.uid() || metadata.mode() & 0o022 != 0 {
        return Err(io::Error::new(
            io::ErrorKind::PermissionDenied,
            "the folder can be written to by others",
        ));
    }
    let path = dir.join(name);
    if fs::read(&path).is_ok_and(|content| content == AGENT) {
        return Ok(path);
    }
    let temporary = dir.join(format!("{name}.{}", std::process::id()));
    let written = fs::OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o755)
        .open(&temporary)
        .and_then(|mut file| file.write_all(AGENT))
        .and_then(|()| fs::rename(&temporary, &path));
    if written.is_err() {
        let _ = fs::remove_file(&temporary);
    }
    written?;
    remove_old(dir);
    Ok(path)
}

/// Removes the agents of other builds that nobody has asked for in a long time.
fn remove_old(dir: &Path) {
    const OLD: Duration = Duration::from_secs(30 * 24 * 3600);
    let Ok(entries) = fs::read_dir(dir) else { return };
    for entry in entries.flatten() {
        let is_agent = entry.file_name().as_bytes().starts_with(b"agent-");
        let age = entry
            .metadata()
            .and_then(|metadata| metadata.modified())
            .ok()
            .and_then(|time| time.elapsed().ok());
        if is_agent && age.is_some_and(|age| age > OLD) {
            // Another recording may have been quicker.
            let _ = fs::remove_file(entry.path());
        }
    }
}

/// The value of `LD_PRELOAD` that adds the agent to what is there.
pub(super) fn preload(agent: &Path, inherited: Option<&OsStr>) -> std::ffi::OsString {
    let mut value = agent.as_os_str().to_owned();
    if let Some(inherited) = inherited.filter(|inherited| !inherited.is_empty()) {
        value.push(":");
        value.push(inherited);
    }
    value
}

/// FNV-1a: tells builds apart, nothing more; the content is compared whole.
fn fingerprint(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
        (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3)
    })
}
