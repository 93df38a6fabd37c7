//! Programs that record themselves, without the command.

use std::path::Path;
use std::process::Command;

use asyncprof_core::profile::Profile;

use super::recording::Folder;
use super::run::{Ran, run};

/// A run in a folder of its own, in which it writes `a.data`.
pub struct Alone {
    pub ran: Ran,
    pub folder: Folder,
}

impl Alone {
    pub fn new(program: &Path, mode: &str) -> Alone {
        Alone::with(program, mode, &[])
    }

    pub fn with(program: &Path, mode: &str, environment: &[(&str, &str)]) -> Alone {
        let folder = Folder::new();
        let mut command = Command::new(program);
        command.arg(mode).arg(folder.path().join("a.data"));
        command.env("WAITS_TRUTH", folder.path().join("truth"));
        command.env_remove("RUST_BACKTRACE");
        command.envs(environment.iter().copied());
        Alone {
            ran: run(&mut command),
            folder,
        }
    }

    pub fn profile(&self) -> Profile {
        load(&self.folder.path().join("a.data"), &self.ran)
    }

    /// The run as it should be, and its profile.
    pub fn good(&self, stdout: &str) -> Profile {
        assert_eq!(
            (self.ran.code, self.ran.stdout.as_str(), self.ran.stderr.as_str()),
            (0, stdout, "")
        );
        self.profile()
    }
}

pub fn load(path: &Path, ran: &Ran) -> Profile {
    Profile::load(path).unwrap_or_else(|error| panic!("{error}\n{}{}", ran.stdout, ran.stderr))
}
