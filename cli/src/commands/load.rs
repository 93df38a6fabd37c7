//! Reads the profile that a command was given.

use std::io::ErrorKind;
use std::path::Path;

use anyhow::{Result, anyhow};
use asyncprof_core::profile::{Profile, ReadError};
use asyncprof_recorder::{DebugFiles, add_names};

/// Loads the profile, with what names are in these debug files. The error says what the user can do.
pub(super) fn load(path: &Path, debug_files: &DebugFiles) -> Result<Profile> {
    let loaded = Profile::load(path).map(|mut profile| {
        add_names(&mut profile, debug_files);
        profile
    });
    loaded.map_err(|error| {
        let advice = match &error.why {
            ReadError::Io(error) if error.kind() == ErrorKind::NotFound => {
                "record a program first with `asyncprof record -- ./app`, or name the profile to read"
            }
            ReadError::Io(error) if error.kind() == ErrorKind::IsADirectory => {
                "name the profile in that folder"
            }
            // The others say themselves what to do.
            _ => return anyhow!(error),
        };
        anyhow!("{error}; {advice}")
    })
}
