//! Separate debug files, as distributions and `objcopy --only-keep-debug` make them: a stripped program's names.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use object::{Object, ObjectSymbol};

use super::object_file::ObjectFile;

/// Folders with debug files. A file belongs to a program if both have the same build id, or, where they have none, if
/// the program names the file and its checksum.
#[derive(Clone, Debug, Default)]
pub struct DebugFiles {
    folders: Vec<PathBuf>,
    /// The object files that lie right in the folders, with their build ids.
    files: Vec<(String, ObjectFile)>,
}

impl DebugFiles {
    /// Files are looked for in these folders, and in their `.build-id/ab/cdef….debug`.
    ///
    /// # Errors
    /// Where one of them is no folder that can be read.
    pub fn in_folders(folders: &[PathBuf]) -> Result<DebugFiles, (PathBuf, io::Error)> {
        let mut files = Vec::new();
        for folder in folders {
            let entries = fs::read_dir(folder).map_err(|error| (folder.clone(), error))?;
            let paths = entries.flatten().map(|entry| entry.path());
            let opened = paths.filter_map(|path| ObjectFile::open(path).ok());
            files.extend(opened.filter(has_names).map(|file| (file.build_id(), file)));
        }
        Ok(DebugFiles {
            folders: folders.to_vec(),
            files,
        })
    }

    /// The debug file of the program with this build id.
    pub(crate) fn of_build_id(&self, build_id: &str) -> Option<ObjectFile> {
        let (first, rest) = build_id.split_at_checked(2)?;
        let place = Path::new(".build-id").join(first).join(format!("{rest}.debug"));
        let in_its_place = self.folders.iter().find_map(|folder| {
            let file = ObjectFile::open(folder.join(&place)).ok()?;
            (file.build_id() == build_id).then_some(file)
        });
        let by_itself = || {
            let known = self.files.iter().find(|(known, _)| known == build_id)?;
            Some(known.1.clone())
        };
        in_its_place.or_else(by_itself)
    }

    /// The debug file of this program.
    pub(crate) fn of(&self, program: &ObjectFile) -> Option<ObjectFile> {
        let build_id = program.build_id();
        if !build_id.is_empty() {
            return self.of_build_id(&build_id);
        }
        let object = program.parse().ok()?;
        let (name, checksum) = object.gnu_debuglink().ok().flatten()?;
        let name = Path::new(std::str::from_utf8(name).ok()?).file_name()?;
        let mut named = self
            .files
            .iter()
            .filter(|(_, file)| file.path().file_name() == Some(name));
        let (_, file) = named.find(|(_, file)| file.checksum() == checksum)?;
        Some(file.clone())
    }
}

/// A stripped program beside its debug file has the same build id.
fn has_names(file: &ObjectFile) -> bool {
    file.parse().is_ok_and(|object| {
        object.has_debug_symbols() || object.symbols().any(|symbol| symbol.is_definition())
    })
}
