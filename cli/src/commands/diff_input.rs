//! What `diff` compares: recordings, or folded stacks of other profilers. Each file is read once, so pipes will do.

use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use asyncprof_core::diff::Folded;
use asyncprof_core::profile::{MAGIC, Profile};

use super::load::{load, load_from};

/// Names and contents of the base and of the new side.
pub(super) enum Sides {
    Recordings(Vec<(String, Profile)>, Vec<(String, Profile)>),
    Folded(Vec<(String, Folded)>, Vec<(String, Folded)>),
}

pub(super) fn load_sides(base: &[PathBuf], new: &[PathBuf]) -> Result<Sides> {
    let mut profiles = [Vec::new(), Vec::new()];
    let mut folded = [Vec::new(), Vec::new()];
    for (side, paths) in [base, new].into_iter().enumerate() {
        for path in paths {
            let name = path.display().to_string();
            match read(path)? {
                Content::Recording(profile) => profiles[side].push((name, profile)),
                Content::Folded(stacks) => folded[side].push((name, stacks)),
            }
        }
    }
    let (first_folded, first_profile) = (folded.iter().flatten().next(), profiles.iter().flatten().next());
    if let (Some((folded, _)), Some((profile, _))) = (first_folded, first_profile) {
        bail!(
            "{folded} holds folded stacks and {profile} does not: these measure different things and cannot be compared"
        );
    }
    let is_folded = first_folded.is_some();
    let ([base, new], [folded_base, folded_new]) = (profiles, folded);
    Ok(match is_folded {
        true => Sides::Folded(folded_base, folded_new),
        false => Sides::Recordings(base, new),
    })
}

enum Content {
    Recording(Profile),
    Folded(Folded),
}

fn read(path: &Path) -> Result<Content> {
    let mut start = Vec::new();
    let opened = File::open(path).and_then(|mut file| {
        Read::by_ref(&mut file).take(1 << 16).read_to_end(&mut start)?;
        Ok(file)
    });
    // The loader of profiles says best what is wrong with a path.
    let Ok(mut file) = opened else {
        return load(path).map(Content::Recording);
    };
    if !is_folded(&start) {
        return load_from(path, start.chain(file)).map(Content::Recording);
    }
    let cannot_read = || format!("cannot read {}", path.display());
    file.read_to_end(&mut start).with_context(cannot_read)?;
    let folded = Folded::parse(&String::from_utf8_lossy(&start)).with_context(cannot_read)?;
    Ok(Content::Folded(folded))
}

/// Whether the first line ends in a number.
fn is_folded(start: &[u8]) -> bool {
    if start.starts_with(&MAGIC) {
        return false;
    }
    let start = String::from_utf8_lossy(start);
    let first = start.lines().find(|line| !line.trim().is_empty());
    let number = first.and_then(|line| line.trim().rsplit_once(char::is_whitespace));
    number.is_some_and(|(_, number)| number.parse::<f64>().is_ok())
}
