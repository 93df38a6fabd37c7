//! Profiles as files: saving loses nothing that was there before, whatever fails on the way.

use std::fs::{self, File, OpenOptions};
use std::io;
use std::path::{Path, PathBuf};

use thiserror::Error;

use super::file::{ReadError, WriteError};
use super::model::Profile;

/// Why a profile was not saved. What was at the path before is still there.
#[derive(Debug, Error)]
#[error("cannot save the profile to {}: {why}", path.display())]
pub struct SaveError {
    pub path: PathBuf,
    pub why: WriteError,
}

/// Why a profile file was not loaded.
#[derive(Debug, Error)]
#[error("cannot read {}: {why}", path.display())]
pub struct LoadError {
    pub path: PathBuf,
    pub why: ReadError,
}

impl Profile {
    /// Writes the profile to `path` in one step; a profile that was there is kept as `<path>.old`.
    ///
    /// What is not a regular file (a pipe, `/dev/stdout`) is written to directly.
    pub fn save(&self, path: impl AsRef<Path>) -> Result<(), SaveError> {
        let path = path.as_ref();
        self.save_at(path).map_err(|why| SaveError {
            path: path.to_owned(),
            why,
        })
    }

    pub fn load(path: impl AsRef<Path>) -> Result<Profile, LoadError> {
        let path = path.as_ref();
        let read = || Profile::read_from(File::open(path)?);
        read().map_err(|why| LoadError {
            path: path.to_owned(),
            why,
        })
    }

    fn save_at(&self, path: &Path) -> Result<(), WriteError> {
        match fs::metadata(path) {
            Ok(meta) if meta.is_dir() => Err(io::Error::from(io::ErrorKind::IsADirectory).into()),
            Ok(meta) if !meta.is_file() || is_open_file(path) => {
                self.write_to(OpenOptions::new().append(true).open(path)?)
            }
            // Through a symbolic link, so that it stays one.
            Ok(_) => self.replace(&fs::canonicalize(path)?, true),
            Err(error) if error.kind() == io::ErrorKind::NotFound => self.replace(path, false),
            Err(error) => Err(error.into()),
        }
    }

    fn replace(&self, path: &Path, keep_old: bool) -> Result<(), WriteError> {
        let (new, file) = Temporary::create(path)?;
        self.write_to(&file)?;
        // Some file systems tell of a full disk only now.
        file.sync_all()?;
        drop(file);
        if !keep_old {
            return Ok(fs::rename(&new.0, path)?);
        }
        let old = Temporary::second_name(path)?;
        fs::rename(&new.0, path)?;
        if let Err(error) = fs::rename(&old.0, with_suffix(path, ".old")) {
            fs::rename(&old.0, path)?;
            return Err(error.into());
        }
        Ok(())
    }
}

/// Whether a file could be saved there, as things stand now: to be asked before a long recording.
///
/// # Errors
/// Why not.
pub fn check_writable(path: &Path) -> io::Result<()> {
    match fs::metadata(path) {
        Ok(metadata) if metadata.is_dir() => Err(io::Error::other("it is a folder")),
        // Devices and pipes show what they take when written to.
        Ok(metadata) if !metadata.is_file() => Ok(()),
        _ => Temporary::create(path).map(drop),
    }
}

/// Whether the path names a file that is already open, such as our standard output. That may well be a regular
/// file, but it is not ours to rename, and what it holds already stays.
fn is_open_file(path: &Path) -> bool {
    ["/dev/stdout", "/dev/stderr", "/dev/fd", "/proc"]
        .iter()
        .any(|open| path.starts_with(open))
}

/// A file beside the target, removed when dropped unless it was renamed.
struct Temporary(PathBuf);

impl Temporary {
    fn create(beside: &Path) -> io::Result<(Temporary, File)> {
        Temporary::at_free_name(beside, |path| {
            OpenOptions::new().write(true).create_new(true).open(path)
        })
    }

    /// A second name for the file itself or, where the file system has no such thing, a copy of it.
    fn second_name(of: &Path) -> io::Result<Temporary> {
        let linked = Temporary::at_free_name(of, |path| fs::hard_link(of, path));
        if let Ok((temporary, ())) = linked {
            return Ok(temporary);
        }
        let (temporary, mut copy) = Temporary::create(of)?;
        io::copy(&mut File::open(of)?, &mut copy)?;
        copy.sync_all()?;
        Ok(temporary)
    }

    fn at_free_name<T>(beside: &Path, make: impl Fn(&Path) -> io::Result<T>) -> io::Result<(Temporary, T)> {
        let pid = std::process::id();
        let mut attempt = 0;
        loop {
            let path = with_suffix(beside, &format!(".{pid}-{attempt}.tmp"));
            match make(&path) {
                Ok(made) => return Ok((Temporary(path), made)),
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists && attempt < 100 => attempt += 1,
                Err(error) => return Err(error),
            }
        }
    }
}

impl Drop for Temporary {
    fn drop(&mut self) {
        // Gone already where it was renamed.
        let _ = fs::remove_file(&self.0);
    }
}

fn with_suffix(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(suffix);
    name.into()
}

#[cfg(test)]
#[path = "save_tests.rs"]
mod tests;
