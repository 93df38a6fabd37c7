//! Reads the profile that a command was given.

use std::io::{ErrorKind, Read};
use std::path::Path;

use anyhow::{Result, anyhow};
use asyncprof_core::profile::{LoadError, Profile, ReadError};

/// Loads the profile. The error says what the user can do.
pub(super) fn load(path: &Path) -> Result<Profile> {
    Profile::load(path).map_err(explained)
}

/// Likewise of what is open already.
pub(super) fn load_from(path: &Path, reader: impl Read) -> Result<Profile> {
    Profile::read_from(reader).map_err(|why| {
        explained(LoadError {
            path: path.to_owned(),
            why,
        })
    })
}

fn explained(error: LoadError) -> anyhow::Error {
    let advice = match &error.why {
        ReadError::Io(error) if error.kind() == ErrorKind::NotFound => {
            "record a program first with `asyncprof record -- ./app`, or name the profile to read"
        }
        ReadError::Io(error) if error.kind() == ErrorKind::IsADirectory => "name the profile in that folder",
        // The others say themselves what to do.
        _ => return anyhow!(error),
    };
    anyhow!("{error}; {advice}")
}
