//! `--symbols DIR`: the names of stripped programs.

use std::path::PathBuf;

use anyhow::{Result, anyhow};
use asyncprof_core::profile::Profile;
use asyncprof_recorder::{DebugFiles, add_names};
use clap::Args;

#[derive(Debug, Args)]
pub(super) struct SymbolsArg {
    /// Take names and lines of stripped programs from their debug files in this folder, by build id; may be repeated
    #[arg(long = "symbols", value_name = "DIR")]
    folders: Vec<PathBuf>,
}

impl SymbolsArg {
    pub(super) fn load(&self) -> Result<DebugFiles> {
        DebugFiles::in_folders(&self.folders)
            .map_err(|(folder, error)| anyhow!("cannot read the folder {}: {error}", folder.display()))
    }

    /// The profile with the names that the debug files add.
    pub(super) fn name(&self, mut profile: Profile) -> Result<Profile> {
        add_names(&mut profile, &self.load()?);
        Ok(profile)
    }

    pub(super) fn folders(&self) -> &[PathBuf] {
        &self.folders
    }
}
