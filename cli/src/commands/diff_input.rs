//! What `diff` compares: recordings, or folded stacks of other profilers.

use std::path::PathBuf;

use anyhow::{Result, bail};
use asyncprof_core::diff::Run;
use asyncprof_core::folded::Folded;
use asyncprof_core::profile::Profile;

use super::input::{Content, read};

/// Names and contents of the base and of the new side.
pub(super) enum Sides {
    Recordings(Vec<(String, Run)>, Vec<(String, Run)>),
    Folded(Vec<(String, Folded)>, Vec<(String, Folded)>),
}

/// `add` makes of a recording what is kept of it: two at a time may be too much.
pub(super) fn load_sides(
    base: &[PathBuf],
    new: &[PathBuf],
    mut add: impl FnMut(&str, Profile) -> Result<Run>,
) -> Result<Sides> {
    let mut runs = [Vec::new(), Vec::new()];
    let mut folded = [Vec::new(), Vec::new()];
    for (side, paths) in [base, new].into_iter().enumerate() {
        for path in paths {
            let name = path.display().to_string();
            match read(path)? {
                Content::Recording(profile) => {
                    let run = add(&name, *profile)?;
                    runs[side].push((name, run));
                }
                Content::Folded(stacks) => folded[side].push((name, stacks)),
            }
        }
    }
    let (first_folded, first_run) = (folded.iter().flatten().next(), runs.iter().flatten().next());
    if let (Some((folded, _)), Some((run, _))) = (first_folded, first_run) {
        bail!(
            "{folded} holds folded stacks and {run} does not: these measure different things and cannot be compared"
        );
    }
    let is_folded = first_folded.is_some();
    let ([base, new], [folded_base, folded_new]) = (runs, folded);
    Ok(match is_folded {
        true => Sides::Folded(folded_base, folded_new),
        false => Sides::Recordings(base, new),
    })
}
