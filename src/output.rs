//! Where profiles go: one file, or a ring of files of bounded number.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use asyncprof_core::profile::{Profile, check_writable};

use crate::Error;

#[derive(Clone, Debug)]
pub(crate) struct Output {
    path: PathBuf,
    ring: Option<Ring>,
}

#[derive(Clone, Copy, Debug)]
struct Ring {
    window: Duration,
    files: usize,
}

impl Output {
    /// One file, or, with a window, one for each, of which so many are kept.
    pub(crate) fn new(path: PathBuf, window: Option<Duration>, files: usize) -> Output {
        // The program may go to another folder meanwhile.
        let path = std::path::absolute(&path).unwrap_or(path);
        let ring = window.map(|window| Ring { window, files });
        Output { path, ring }
    }

    pub(crate) fn window(&self) -> Option<Duration> {
        self.ring.map(|ring| ring.window)
    }

    /// # Errors
    /// If the profile could not be written as things stand now.
    pub(crate) fn check(&self) -> Result<(), Error> {
        let checked = match self.path.file_name() {
            Some(_) => check_writable(&self.path),
            None => Err(io::Error::other("it names no file")),
        };
        checked.map_err(|why| self.failed(&self.path, why))
    }

    /// Writes a profile: the whole, or the part that has just ended. Returns its path.
    pub(crate) fn write(&self, profile: &Profile) -> Result<PathBuf, Error> {
        let Some(ring) = self.ring else {
            return self.save(profile, self.path.clone());
        };
        let written = self.save(profile, self.dated(SystemTime::now()))?;
        self.remove_oldest(ring.files);
        Ok(written)
    }

    /// Writes the profile so far of a recording that goes on.
    pub(crate) fn write_so_far(&self, profile: &Profile) -> Result<PathBuf, Error> {
        self.save(profile, self.path.clone())
    }

    fn save(&self, profile: &Profile, path: PathBuf) -> Result<PathBuf, Error> {
        match profile.save(&path) {
            Ok(()) => Ok(path),
            Err(error) => Err(self.failed(&path, io::Error::other(error.why))),
        }
    }

    fn failed(&self, path: &Path, why: io::Error) -> Error {
        Error::Output {
            path: path.to_owned(),
            why,
        }
    }

    /// `asyncprof.data` at that time is `asyncprof-20261123T001500Z.data`.
    fn dated(&self, time: SystemTime) -> PathBuf {
        let (stem, extension) = self.stem_and_extension();
        self.path
            .with_file_name(format!("{stem}-{}{extension}", date(time)))
    }

    fn stem_and_extension(&self) -> (String, String) {
        let text = |part: Option<&std::ffi::OsStr>| part.unwrap_or_default().to_string_lossy().into_owned();
        let extension = self.path.extension().map_or_else(String::new, |extension| {
            format!(".{}", extension.to_string_lossy())
        });
        (text(self.path.file_stem()), extension)
    }

    /// What cannot be removed, or was by another, stays as it is.
    fn remove_oldest(&self, keep: usize) {
        let (stem, extension) = self.stem_and_extension();
        let is_dated = |name: &str| {
            let date = name
                .strip_prefix(&format!("{stem}-"))
                .and_then(|rest| rest.strip_suffix(extension.as_str()));
            date.is_some_and(is_date)
        };
        let folder = self.path.parent().unwrap_or(Path::new("."));
        let entries = fs::read_dir(folder).into_iter().flatten().flatten();
        let mut names: Vec<String> = entries
            .filter_map(|entry| entry.file_name().into_string().ok())
            .filter(|name| is_dated(name))
            .collect();
        // Dates sort as text.
        names.sort_unstable();
        let too_many = names.len().saturating_sub(keep);
        for name in &names[..too_many] {
            let _ = fs::remove_file(folder.join(name));
        }
    }
}

/// `20261123T001500Z`
fn date(time: SystemTime) -> String {
    let seconds = time
        .duration_since(SystemTime::UNIX_EPOCH)
        .unwrap_or_default()
        .as_secs();
    let (days, second) = (seconds / 86_400, seconds % 86_400);
    let (year, month, day) = civil(days);
    let (hour, minute, second) = (second / 3600, second / 60 % 60, second % 60);
    format!("{year:04}{month:02}{day:02}T{hour:02}{minute:02}{second:02}Z")
}

fn is_date(text: &str) -> bool {
    let pattern = "00000000T000000Z";
    let fits = |(byte, wanted): (u8, u8)| {
        if wanted == b'0' {
            byte.is_ascii_digit()
        } else {
            byte == wanted
        }
    };
    text.len() == pattern.len() && text.bytes().zip(pattern.bytes()).all(fits)
}

/// The date that many days after 1970-01-01.
fn civil(mut days: u64) -> (u64, u64, u64) {
    let is_leap =
        |year: u64| year.is_multiple_of(4) && (!year.is_multiple_of(100) || year.is_multiple_of(400));
    let mut year = 1970;
    loop {
        let length = 365 + u64::from(is_leap(year));
        if days < length {
            break;
        }
        days -= length;
        year += 1;
    }
    let february = 28 + u64::from(is_leap(year));
    let lengths = [31, february, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31];
    let mut month = 0;
    while days >= lengths[month] {
        days -= lengths[month];
        month += 1;
    }
    (year, month as u64 + 1, days + 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates() {
        let at = |seconds| date(SystemTime::UNIX_EPOCH + Duration::from_secs(seconds));
        assert_eq!(at(0), "19700101T000000Z");
        assert_eq!(at(951_782_399), "20000228T235959Z");
        assert_eq!(at(951_782_400), "20000229T000000Z");
        assert_eq!(at(1_795_392_900), "20261123T001500Z");
        assert!(is_date(&at(1_795_392_900)));
        assert!(!is_date("20261123T001500"));
        assert!(!is_date("2026112xT001500Z"));
    }

    #[test]
    fn the_oldest_files_are_removed_and_no_others() {
        let folder = std::env::temp_dir().join(format!("asyncprof-ring-{}", std::process::id()));
        fs::create_dir_all(&folder).unwrap();
        let output = Output::new(folder.join("a.data"), Some(Duration::from_secs(1)), 2);
        let others = [
            "a.data",
            "a-b.data",
            "a-20000101T000000Z.data.old",
            "b-20000101T000000Z.data",
        ];
        let dated = (0..4).map(|at| output.dated(SystemTime::UNIX_EPOCH + Duration::from_secs(at)));
        let dated: Vec<PathBuf> = dated.collect();
        for path in others
            .iter()
            .map(|name| folder.join(name))
            .chain(dated.iter().cloned())
        {
            fs::write(path, "").unwrap();
        }
        output.remove_oldest(2);
        let exist: Vec<bool> = dated.iter().map(|path| path.exists()).collect();
        assert_eq!(exist, [false, false, true, true]);
        assert!(others.iter().all(|name| folder.join(name).exists()));
        fs::remove_dir_all(&folder).unwrap();
    }
}
