//! The object files mapped into this process.

use std::ffi::{CStr, OsStr, c_int, c_void};
use std::os::unix::ffi::OsStrExt;
use std::path::PathBuf;
use std::slice;
use std::sync::OnceLock;

use asyncprof_core::process_info::ModuleInfo;

/// One mapped object, as the loader describes it.
#[derive(Debug)]
pub(crate) struct Module {
    pub(crate) path: PathBuf,
    /// Run-time address minus the file's virtual address.
    pub(crate) bias: u64,
    pub(crate) segments: Vec<libc::Elf64_Phdr>,
}

impl Module {
    /// Run-time address range of the first segment of this type (and, if asked, with these flags).
    pub(crate) fn segment(&self, kind: u32, flags: u32) -> Option<std::ops::Range<u64>> {
        let segment = self
            .segments
            .iter()
            .find(|s| s.p_type == kind && s.p_flags & flags == flags)?;
        Some(self.range_of(segment))
    }

    pub(crate) fn range_of(&self, segment: &libc::Elf64_Phdr) -> std::ops::Range<u64> {
        let start = self.bias.wrapping_add(segment.p_vaddr);
        start..start + segment.p_memsz
    }

    /// The loaded segment that holds this address.
    pub(crate) fn load_segment_at(&self, address: u64) -> Option<std::ops::Range<u64>> {
        self.segments
            .iter()
            .filter(|segment| segment.p_type == libc::PT_LOAD)
            .map(|segment| self.range_of(segment))
            .find(|range| range.contains(&address))
    }

    /// The word at this address, if it is one of a loaded segment that can be read.
    #[cfg(not(feature = "preload"))]
    pub(crate) fn word(&self, address: u64) -> Option<u64> {
        let segment = self.load_segment_at(address)?;
        if !address.is_multiple_of(8) || address + 8 > segment.end {
            return None;
        }
        // SAFETY: an aligned word of a loaded segment.
        Some(unsafe { (address as *const u64).read_volatile() })
    }

    /// Run-time address ranges that are loaded and not writable: code and constants without pointers.
    pub(crate) fn constant_segments(&self) -> impl Iterator<Item = std::ops::Range<u64>> {
        let constant = |s: &&libc::Elf64_Phdr| {
            s.p_type == libc::PT_LOAD && s.p_flags & (libc::PF_R | libc::PF_W) == libc::PF_R
        };
        self.segments
            .iter()
            .filter(constant)
            .map(|segment| self.range_of(segment))
    }

    /// From the first to the last address loaded.
    pub(crate) fn extent(&self) -> Option<std::ops::Range<u64>> {
        let loaded = || {
            self.segments
                .iter()
                .filter(|s| s.p_type == libc::PT_LOAD)
                .map(|s| self.range_of(s))
        };
        Some(loaded().map(|range| range.start).min()?..loaded().map(|range| range.end).max()?)
    }

    pub(crate) fn info(&self) -> Option<ModuleInfo> {
        let extent = self.extent()?;
        let path = self.path.to_string_lossy().into_owned();
        Some(ModuleInfo {
            path,
            start: extent.start,
            end: extent.end,
            bias: self.bias,
        })
    }
}

/// # Safety
/// The range is mapped, readable and not written to for the life of the process.
pub(crate) unsafe fn bytes(range: &std::ops::Range<u64>) -> &'static [u8] {
    // SAFETY: the caller's promise.
    unsafe { slice::from_raw_parts(range.start as *const u8, (range.end - range.start) as usize) }
}

/// Whether the program has no loader that could be asked, or preload anything into it.
pub fn is_static_program() -> bool {
    static IS_STATIC: OnceLock<bool> = OnceLock::new();
    *IS_STATIC.get_or_init(|| {
        let modules = mapped();
        let program = modules.first();
        program.is_some_and(|program| {
            program
                .segments
                .iter()
                .all(|segment| segment.p_type != libc::PT_INTERP)
        })
    })
}

/// All objects mapped now, the program itself first.
pub(crate) fn mapped() -> Vec<Module> {
    let mut modules: Vec<Module> = Vec::new();
    // SAFETY: `collect` is called during this call only, with the pointer given here.
    unsafe { libc::dl_iterate_phdr(Some(collect), (&raw mut modules).cast()) };
    if let Some(program) = modules.first_mut()
        && let Ok(path) = std::env::current_exe()
    {
        program.path = path;
    }
    modules
}

unsafe extern "C" fn collect(info: *mut libc::dl_phdr_info, _size: usize, modules: *mut c_void) -> c_int {
    // SAFETY: the loader passes a valid description for the duration of the call, and our own vector.
    let (info, modules) = unsafe { (&*info, &mut *modules.cast::<Vec<Module>>()) };
    if info.dlpi_phdr.is_null() {
        return 0;
    }
    // SAFETY: the loader's array of this many headers; the name is null or a C string.
    let (segments, name) = unsafe {
        let name = if info.dlpi_name.is_null() {
            c""
        } else {
            CStr::from_ptr(info.dlpi_name)
        };
        (
            slice::from_raw_parts(info.dlpi_phdr, usize::from(info.dlpi_phnum)),
            name,
        )
    };
    let path = PathBuf::from(OsStr::from_bytes(name.to_bytes()));
    modules.push(Module {
        path,
        bias: info.dlpi_addr,
        segments: segments.to_vec(),
    });
    0
}
