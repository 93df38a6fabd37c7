//! An executable or shared library on disk, mapped, as the source of its own symbols.

use std::fs::File;
use std::io;
use std::ops::{Deref, Range};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::SystemTime;

use memmap2::Mmap;
use object::{FileKind, Object, ObjectSection};
use thiserror::Error;

/// Why a file has no symbols for us. Its frames stay without names.
#[derive(Debug, Error)]
pub(crate) enum SymbolError {
    #[error("cannot read {} for its symbols: {source}", path.display())]
    Io { path: PathBuf, source: io::Error },
    #[error("{} is not an ELF file, so it has no symbols to read", path.display())]
    NotElf { path: PathBuf },
    #[error("{} is damaged or cut off, its symbols cannot be read: {reason}", path.display())]
    Damaged { path: PathBuf, reason: String },
}

/// An opened object file. It stays readable when the path is replaced by a newer build.
#[derive(Clone, Debug)]
pub(crate) struct ObjectFile {
    path: PathBuf,
    map: Arc<Mmap>,
    modified: Option<SystemTime>,
}

impl ObjectFile {
    pub(crate) fn open(path: impl AsRef<Path>) -> Result<ObjectFile, SymbolError> {
        let path = path.as_ref();
        let failed = |source| SymbolError::Io {
            path: path.to_owned(),
            source,
        };
        // Before it is opened: opening a pipe waits for its writer.
        if !path.metadata().map_err(failed)?.is_file() {
            return Err(SymbolError::NotElf {
                path: path.to_owned(),
            });
        }
        ObjectFile::from_file(&File::open(path).map_err(failed)?, path)
    }

    /// `path` is only used in messages.
    fn from_file(file: &File, path: &Path) -> Result<ObjectFile, SymbolError> {
        let path = path.to_owned();
        let map = match map(file) {
            Ok(map) => map,
            Err(source) => return Err(SymbolError::Io { path, source }),
        };
        match FileKind::parse(&map[..]) {
            Ok(FileKind::Elf32 | FileKind::Elf64) => {}
            _ => return Err(SymbolError::NotElf { path }),
        }
        let modified = file.metadata().and_then(|meta| meta.modified()).ok();
        let map = Arc::new(map);
        let object = ObjectFile { path, map, modified };
        object.parse()?;
        Ok(object)
    }

    /// Lower-case hex; empty where the file has none.
    pub(crate) fn build_id(&self) -> String {
        let object = self.parse().ok();
        let id = object
            .as_ref()
            .and_then(|object| object.build_id().ok().flatten())
            .unwrap_or_default();
        id.iter().map(|byte| format!("{byte:02x}")).collect()
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// As a program's `.gnu_debuglink` has it.
    pub(super) fn checksum(&self) -> u32 {
        crc32fast::hash(&self.map)
    }

    pub(super) fn modified(&self) -> Option<SystemTime> {
        self.modified
    }

    pub(crate) fn parse(&self) -> Result<object::File<'_>, SymbolError> {
        object::File::parse(&self.map[..]).map_err(|error| self.damaged(error))
    }

    /// A section's addresses in the file's own terms, and its bytes, where they are in the file as they are in memory.
    pub(crate) fn bytes_of<'a>(&self, section: &impl ObjectSection<'a>) -> Option<(Range<u64>, MappedBytes)> {
        let (start, size) = section.file_range()?;
        let end = start.checked_add(size)?;
        let range = usize::try_from(start).ok()?..usize::try_from(end).ok()?;
        self.map.get(range.clone())?;
        let bytes = MappedBytes {
            map: Some(Arc::clone(&self.map)),
            range,
        };
        Some((section.address()..section.address() + size, bytes))
    }

    pub(super) fn damaged(&self, reason: impl ToString) -> SymbolError {
        SymbolError::Damaged {
            path: self.path.clone(),
            reason: reason.to_string(),
        }
    }
}

/// Bytes of a mapped file, which stays mapped as long as they are held; or none.
#[derive(Clone, Debug, Default)]
pub(crate) struct MappedBytes {
    map: Option<Arc<Mmap>>,
    range: Range<usize>,
}

impl Deref for MappedBytes {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        self.map.as_ref().map_or(&[], |map| &map[self.range.clone()])
    }
}

/// The only unsafe code here: mapping keeps a debug binary of hundreds of megabytes out of our memory.
#[allow(unsafe_code)]
fn map(file: &File) -> io::Result<Mmap> {
    // SAFETY: the bytes must not change while they are mapped. They are those of a program file: Linux refuses
    // to write to one that runs (ETXTBSY), and compilers and package managers replace files, they do not
    // rewrite them. All parsers reading the map check their bounds on every access.
    unsafe { Mmap::map(file) }
}
