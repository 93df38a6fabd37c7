//! Folded stacks of other profilers as the sides of `diff`.

use std::fs::{self, File};
use std::io::Read;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use asyncprof_core::diff::Folded;
use asyncprof_core::profile::MAGIC;

/// The sides if all files are folded stacks, None if none is.
pub(super) fn load_folded(base: &[PathBuf], new: &[PathBuf]) -> Result<Option<[Vec<Folded>; 2]>> {
    let (folded, profiles): (Vec<&PathBuf>, Vec<&PathBuf>) =
        base.iter().chain(new).partition(|path| is_folded(path));
    match (folded.first(), profiles.first()) {
        (None, _) => Ok(None),
        (Some(folded), Some(profile)) => bail!(
            "{} holds folded stacks and {} does not: these measure different things and cannot be compared",
            folded.display(),
            profile.display()
        ),
        (Some(_), None) => Ok(Some([side(base)?, side(new)?])),
    }
}

fn side(paths: &[PathBuf]) -> Result<Vec<Folded>> {
    let parse = |path: &PathBuf| {
        let text = fs::read(path).with_context(|| format!("cannot read {}", path.display()))?;
        Folded::parse(&String::from_utf8_lossy(&text))
            .with_context(|| format!("cannot read {}", path.display()))
    };
    paths.iter().map(parse).collect()
}

/// Whether the first line ends in a number. A pipe is not asked: what is read of it is gone.
fn is_folded(path: &Path) -> bool {
    let is_file = fs::metadata(path).is_ok_and(|metadata| metadata.is_file());
    let mut start = Vec::new();
    let read = File::open(path)
        .ok()
        .filter(|_| is_file)
        .and_then(|file| file.take(1 << 16).read_to_end(&mut start).ok());
    if read.is_none() || start.starts_with(&MAGIC) {
        return false;
    }
    let start = String::from_utf8_lossy(&start);
    let first = start.lines().find(|line| !line.trim().is_empty());
    let number = first.and_then(|line| line.trim().rsplit_once(char::is_whitespace));
    number.is_some_and(|(_, number)| number.parse::<f64>().is_ok())
}
