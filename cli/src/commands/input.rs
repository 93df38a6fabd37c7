//! What a command was given: a recording, or folded stacks of another profiler. A file is read once, so a pipe will do.

use std::fs::File;
use std::io::{BufReader, Read};
use std::path::Path;

use anyhow::{Context, Result};
use asyncprof_core::folded::Folded;
use asyncprof_core::profile::{MAGIC, Profile};

use super::load::{load, load_from};

pub(super) enum Content {
    Recording(Box<Profile>),
    Folded(Folded),
}

pub(super) fn read(path: &Path) -> Result<Content> {
    let mut start = Vec::new();
    let opened = File::open(path).and_then(|mut file| {
        Read::by_ref(&mut file).take(1 << 16).read_to_end(&mut start)?;
        Ok(file)
    });
    // The loader of profiles says best what is wrong with a path.
    let Ok(file) = opened else {
        return load(path).map(Box::new).map(Content::Recording);
    };
    if !is_folded(&start) {
        return load_from(path, start.chain(file))
            .map(Box::new)
            .map(Content::Recording);
    }
    let folded = Folded::read(BufReader::with_capacity(1 << 16, start.chain(file)));
    let folded = folded.with_context(|| format!("cannot read {}", path.display()))?;
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
