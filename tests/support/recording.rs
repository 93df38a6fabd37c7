//! Runs a program alone and under `asyncprof record`, each in a folder of its own.

use std::ffi::OsStr;
use std::fs;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::atomic::{AtomicUsize, Ordering};

use asyncprof_core::profile::Profile;

/// An empty folder, removed when dropped.
#[derive(Debug)]
pub struct Folder(PathBuf);

impl Folder {
    pub fn new() -> Folder {
        static COUNT: AtomicUsize = AtomicUsize::new(0);
        let number = COUNT.fetch_add(1, Ordering::Relaxed);
        let path =
            Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("run-{}-{number}", std::process::id()));
        fs::create_dir_all(&path).unwrap();
        Folder(path)
    }

    pub fn path(&self) -> &Path {
        &self.0
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// The command under test, in this folder.
pub fn asyncprof(folder: &Folder) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_asyncprof"));
    command.current_dir(folder.path()).env_remove("RUST_BACKTRACE");
    // A shell starts what runs in the background with interrupts ignored, `nohup` with hang-ups, and the tests may run
    // there.
    //
    // SAFETY: `signal` may be called between fork and exec.
    unsafe {
        command.pre_exec(|| {
            for signal in [libc::SIGHUP, libc::SIGINT, libc::SIGQUIT, libc::SIGTERM] {
                libc::signal(signal, libc::SIG_DFL);
            }
            Ok(())
        })
    };
    command
}

/// What came of recording a program.
pub struct Recording {
    pub output: Output,
    pub folder: Folder,
}

impl Recording {
    /// `asyncprof record OPTIONS -- PROGRAM ARGS`.
    pub fn new(options: &[&str], program: impl AsRef<OsStr>, args: &[&str]) -> Recording {
        let folder = Folder::new();
        let mut command = asyncprof(&folder);
        command.arg("record").args(options);
        command.arg("--").arg(program).args(args);
        Recording::of(command, folder)
    }

    /// With rings of another size than usual: small ones lose events.
    pub fn with_ring_words(words: usize, program: impl AsRef<OsStr>, args: &[&str]) -> Recording {
        let folder = Folder::new();
        let mut command = asyncprof(&folder);
        command.args(["record", "--"]).arg(program).args(args);
        command.env("ASYNCPROF_TEST_RING_WORDS", words.to_string());
        Recording::of(command, folder)
    }

    fn of(mut command: Command, folder: Folder) -> Recording {
        command.env("WAITS_TRUTH", folder.path().join("truth"));
        let output = command.output().unwrap();
        Recording { output, folder }
    }

    /// The profile, read back from its file.
    pub fn profile(&self) -> Profile {
        match Profile::load(self.folder.path().join("asyncprof.data")) {
            Ok(profile) => profile,
            Err(error) => panic!("{error}\n{}", self.stderr()),
        }
    }

    pub fn stderr(&self) -> String {
        String::from_utf8_lossy(&self.output.stderr).into_owned()
    }
}
