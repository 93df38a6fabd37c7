//! What `diff` compares: recordings, or folded stacks of other profilers.

use std::path::PathBuf;

use anyhow::{Result, bail};
use asyncprof_core::folded::Folded;
use asyncprof_core::profile::Profile;

use super::input::{Content, read};

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
                Content::Recording(profile) => profiles[side].push((name, *profile)),
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
