//! The program's own file, for its symbols: they are not loaded with it.

use std::fs::File;
use std::io;
use std::os::fd::AsRawFd;
use std::path::{Path, PathBuf};

use asyncprof_core::region::SYMBOLS_VARIABLE;
use object::LittleEndian;
use object::elf::{FileHeader64, SHT_SYMTAB};
use object::read::elf::{FileHeader, SectionHeader, Sym};

/// A function's symbol.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Function<'a> {
    pub(crate) mangled: &'a [u8],
    /// The file's virtual address.
    pub(crate) address: u64,
    /// In bytes.
    pub(crate) size: u64,
}

/// Size of what the loader's tables name at this address. None if nothing is named there.
pub(crate) fn size_of_symbol(address: u64) -> Option<u64> {
    const RTLD_DL_SYMENT: i32 = 1;
    unsafe extern "C" {
        fn dladdr1(
            address: *const libc::c_void,
            info: *mut libc::Dl_info,
            extra: *mut *mut libc::c_void,
            flags: i32,
        ) -> i32;
    }
    // SAFETY: the loader is asked with valid places; what it points to lives as long as the library.
    unsafe {
        let mut info = std::mem::zeroed::<libc::Dl_info>();
        let mut symbol = std::ptr::null_mut();
        if address == 0
            || dladdr1(address as *const _, &mut info, &mut symbol, RTLD_DL_SYMENT) == 0
            || symbol.is_null()
        {
            return None;
        }
        Some((*symbol.cast::<libc::Elf64_Sym>()).st_size)
    }
}

/// A program file, mapped while we look at it.
pub(crate) struct ElfFile {
    bytes: &'static [u8],
}

impl ElfFile {
    pub(crate) fn open(path: &Path) -> io::Result<ElfFile> {
        let file = File::open(path)?;
        let len = file.metadata()?.len() as usize;
        // SAFETY: a fresh read-only private mapping of the file.
        let bytes = unsafe {
            libc::mmap(
                std::ptr::null_mut(),
                len,
                libc::PROT_READ,
                libc::MAP_PRIVATE,
                file.as_raw_fd(),
                0,
            )
        };
        if bytes == libc::MAP_FAILED {
            return Err(io::Error::last_os_error());
        }
        // SAFETY: mapped until `drop`; a program that is running is not written to (the kernel refuses).
        let bytes = unsafe { std::slice::from_raw_parts(bytes.cast(), len) };
        Ok(ElfFile { bytes })
    }

    /// The separate debug file of this program, if it lies in one of the folders that the environment names: by its
    /// build id, as `.build-id/ab/cdef….debug` or right in the folder.
    pub(crate) fn debug_file(&self) -> Option<ElfFile> {
        let build_id = self.build_id()?;
        let (first, rest) = build_id.split_first()?;
        let hex = |bytes: &[u8]| bytes.iter().map(|byte| format!("{byte:02x}")).collect::<String>();
        let place = format!(".build-id/{}/{}.debug", hex(&[*first]), hex(rest));
        let folders = std::env::var_os(SYMBOLS_VARIABLE)?;
        let is_it = |path: PathBuf| {
            // Opening a pipe waits for its writer.
            let file = path.is_file().then(|| ElfFile::open(&path).ok()).flatten()?;
            (file.build_id() == Some(build_id) && file.functions().is_some()).then_some(file)
        };
        std::env::split_paths(&folders).find_map(|folder| {
            let by_itself = || {
                std::fs::read_dir(&folder)
                    .ok()?
                    .flatten()
                    .find_map(|entry| is_it(entry.path()))
            };
            is_it(folder.join(&place)).or_else(by_itself)
        })
    }

    fn build_id(&self) -> Option<&[u8]> {
        let header = FileHeader64::<LittleEndian>::parse(self.bytes).ok()?;
        let sections = header.sections(LittleEndian, self.bytes).ok()?;
        sections.iter().find_map(|section| {
            let mut notes = section.notes(LittleEndian, self.bytes).ok()??;
            while let Ok(Some(note)) = notes.next() {
                if note.name() == object::elf::ELF_NOTE_GNU
                    && note.n_type(LittleEndian) == object::elf::NT_GNU_BUILD_ID
                {
                    return Some(note.desc());
                }
            }
            None
        })
    }

    /// Every function symbol. None if the file has no symbol table.
    pub(crate) fn functions(&self) -> Option<Vec<Function<'_>>> {
        let header = FileHeader64::<LittleEndian>::parse(self.bytes).ok()?;
        let sections = header.sections(LittleEndian, self.bytes).ok()?;
        let symbols = sections.symbols(LittleEndian, self.bytes, SHT_SYMTAB).ok()?;
        if symbols.is_empty() {
            return None;
        }
        let strings = symbols.strings();
        let functions = symbols
            .iter()
            .filter(|symbol| symbol.st_type() == object::elf::STT_FUNC);
        let functions = functions.filter_map(|symbol| {
            let mangled = symbol.name(LittleEndian, strings).ok()?;
            let (address, size) = (symbol.st_value(LittleEndian), symbol.st_size(LittleEndian));
            Some(Function {
                mangled,
                address,
                size,
            })
        });
        Some(functions.collect())
    }
}

impl Drop for ElfFile {
    fn drop(&mut self) {
        // SAFETY: the mapping of `open`; nothing borrowed from `self` outlives it.
        unsafe { libc::munmap(self.bytes.as_ptr() as *mut libc::c_void, self.bytes.len()) };
    }
}
