//! Where a recording goes: the profile and its picture, or just the one file that was asked for.

use std::borrow::Cow;
use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use asyncprof_core::profile::{Profile, check_writable};
use asyncprof_core::view::Rules;

use crate::render::{FlamegraphOptions, flamegraph};

/// The profile's file where none is named.
pub(crate) const DEFAULT_PROFILE: &str = "asyncprof.data";
const DEFAULT_PICTURE: &str = "flamegraph.svg";

/// Something to tell the user about a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Said {
    pub(super) text: String,
    /// To be told even if the user wants quiet.
    pub(super) is_trouble: bool,
}

/// The files to write.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Outputs {
    pub(super) profile: Option<PathBuf>,
    pub(super) picture: Option<PathBuf>,
}

/// How the picture is drawn.
#[derive(Clone, Copy, Debug)]
pub(super) struct Look<'a> {
    pub(super) rules: &'a Rules,
    /// The stacks stand on the labels of this key.
    pub(super) by_label: Option<&'a str>,
}

impl Outputs {
    /// `-o x.svg` asks for the picture only, `-o` anything else for the profile only, no `-o` for both.
    pub(super) fn new(asked: Option<&Path>) -> Outputs {
        match asked {
            None => Outputs {
                profile: Some(DEFAULT_PROFILE.into()),
                picture: Some(DEFAULT_PICTURE.into()),
            },
            Some(path)
                if path
                    .extension()
                    .is_some_and(|extension| extension.eq_ignore_ascii_case("svg")) =>
            {
                Outputs {
                    profile: None,
                    picture: Some(path.into()),
                }
            }
            Some(path) => Outputs {
                profile: Some(path.into()),
                picture: None,
            },
        }
    }

    /// Why one of the files could not be written as things stand now, to be said before a long recording.
    pub(super) fn doubt(&self) -> Option<String> {
        self.paths().find_map(|path| {
            let why = check_writable(path).err()?;
            Some(format!("{} cannot be written: {why}", path.display()))
        })
    }

    fn paths(&self) -> impl Iterator<Item = &PathBuf> {
        self.profile.iter().chain(&self.picture)
    }

    /// Writes the files; what cannot be written where it was asked for goes to the folder for temporary files.
    /// Returns a sentence for each file written or not, and whether all that was recorded is in some file.
    pub(super) fn write(&self, profile: &Profile, look: Look<'_>) -> (Vec<Said>, bool) {
        let mut said = Vec::new();
        let mut saved = true;
        let profile_written = self.profile.as_ref().map(|path| {
            let save = |path: &Path| profile.save(path).map_err(anyhow::Error::from);
            write_or_rescue(path, DEFAULT_PROFILE, "profile", &mut said, save)
        });
        let picture_written = self.picture.as_ref().map(|path| {
            write_or_rescue(path, DEFAULT_PICTURE, "flame graph", &mut said, |path| {
                draw(profile, look, path)
            })
        });
        if profile_written == Some(false) {
            saved = false;
        }
        if picture_written == Some(false) && profile_written.is_none() {
            // The picture was all that was asked for: keep what it would have been drawn from.
            let save = |path: &Path| profile.save(path).map_err(anyhow::Error::from);
            saved = write_or_rescue(
                &rescue_path(DEFAULT_PROFILE),
                DEFAULT_PROFILE,
                "profile",
                &mut said,
                save,
            );
        }
        (said, saved)
    }
}

fn rescue_path(name: &str) -> PathBuf {
    std::env::temp_dir().join(format!("asyncprof-{}-{name}", std::process::id()))
}

fn draw(profile: &Profile, look: Look<'_>, path: &Path) -> Result<()> {
    let mut profile = Cow::Borrowed(profile);
    if let Some(key) = look.by_label {
        profile.to_mut().group_by_label(key);
    }
    let mut svg = Vec::new();
    let options = FlamegraphOptions {
        rules: look.rules.clone(),
        ..FlamegraphOptions::default()
    };
    flamegraph(&profile, &options, &mut svg)?;
    write_picture(path, &svg)
}

/// Writes a picture in one step: an old one stays until the new one is whole.
pub(crate) fn write_picture(path: &Path, svg: &[u8]) -> Result<()> {
    let in_place = fs::metadata(path).is_ok_and(|metadata| !metadata.is_file());
    if in_place {
        let written = fs::OpenOptions::new()
            .write(true)
            .open(path)
            .and_then(|mut file| file.write_all(svg));
        return written.with_context(|| format!("cannot write {}", path.display()));
    }
    let temporary = with_suffix(path, &format!(".{}.tmp", std::process::id()));
    let write = || -> std::io::Result<()> {
        // New, so that nobody can have put a link to another file there.
        let mut file = fs::File::create_new(&temporary)?;
        let written = file.write_all(svg).and_then(|()| fs::rename(&temporary, path));
        if written.is_err() {
            let _ = fs::remove_file(&temporary);
        }
        written
    };
    write().with_context(|| format!("cannot write {}", path.display()))
}

fn with_suffix(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(suffix);
    name.into()
}

/// Renames the picture of an earlier recording: it would be taken for this one's. Returns its new name.
fn set_aside(picture: &Path) -> Option<PathBuf> {
    let aside = with_suffix(picture, ".old");
    let is_file = fs::symlink_metadata(picture).is_ok_and(|metadata| metadata.is_file());
    (is_file && fs::rename(picture, &aside).is_ok()).then_some(aside)
}

fn write_or_rescue(
    path: &Path,
    name: &str,
    what: &str,
    said: &mut Vec<Said>,
    write: impl Fn(&Path) -> Result<()>,
) -> bool {
    let Err(error) = write(path) else {
        said.push(Said {
            text: format!("{what}: {}", path.display()),
            is_trouble: false,
        });
        return true;
    };
    // No picture of nothing is no loss. Why there is nothing is said once, by the caller.
    if error.is::<crate::render::EmptyProfile>() {
        let earlier = set_aside(path).map_or_else(String::new, |aside| {
            format!("; the earlier {} is now {}", path.display(), aside.display())
        });
        said.push(Said {
            text: format!("no {what}, as there is nothing to draw{earlier}"),
            is_trouble: false,
        });
        return true;
    }
    let mut trouble = |text| {
        said.push(Said {
            text,
            is_trouble: true,
        })
    };
    let rescue = rescue_path(name);
    match write(&rescue) {
        Ok(()) => {
            trouble(format!(
                "{error:#}; the {what} is saved to {} instead",
                rescue.display()
            ));
            true
        }
        Err(second) => {
            trouble(format!(
                "the {what} is lost: {error:#}, and {second:#}; make room, or set TMPDIR to a folder that can be \
                 written to"
            ));
            false
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_ending_of_the_path_tells_what_is_asked_for() {
        assert_eq!(
            Outputs::new(Some("a.SVG".as_ref())),
            Outputs {
                profile: None,
                picture: Some("a.SVG".into())
            }
        );
        assert_eq!(
            Outputs::new(Some("a.data".as_ref())),
            Outputs {
                profile: Some("a.data".into()),
                picture: None
            }
        );
        let both = Outputs {
            profile: Some("asyncprof.data".into()),
            picture: Some("flamegraph.svg".into()),
        };
        assert_eq!(Outputs::new(None), both);
    }

    #[test]
    fn a_missing_folder_is_doubted_before_the_recording() {
        let outputs = Outputs::new(Some("no/such/folder/x.data".as_ref()));
        assert!(
            outputs
                .doubt()
                .unwrap()
                .starts_with("no/such/folder/x.data cannot be written: ")
        );
    }
}
