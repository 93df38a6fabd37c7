//! Native stacks of the calling thread, from the program's own unwind tables: no frame pointers needed, no
//! allocation, and nothing read but the part of the stack between the tap and a known upper end.

use std::ops::Range;
use std::sync::OnceLock;

use asyncprof_core::stack_table::MAX_FRAMES;
use framehop::x86_64::{CacheX86_64, UnwindRegsX86_64, UnwinderX86_64};
use framehop::{
    ExplicitModuleSectionInfo, FrameAddress, Module as UnwindModule, MustNotAllocateDuringUnwind, Unwinder,
};

use crate::modules::{Module, bytes};

/// Rules found so far; one per thread.
pub(crate) type Cache = CacheX86_64<MustNotAllocateDuringUnwind>;

struct Stacks {
    unwinder: UnwinderX86_64<&'static [u8], MustNotAllocateDuringUnwind>,
    /// Our own code: a return address in it is a poll tap's, the end of a task's stack.
    own_code: Range<u64>,
}

static STACKS: OnceLock<Stacks> = OnceLock::new();

/// Bytes of stack that must be left for a capture: one with an empty cache takes 14 KiB.
pub(crate) const STACK_NEEDED: u64 = 24 << 10;

/// Where the registers stood when a tap was called: `sp` points to the return address.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Entry {
    pub(crate) sp: u64,
    pub(crate) bp: u64,
}

/// Makes the unwind tables of these objects known. Once, before any capture.
pub(crate) fn prepare(modules: &[Module]) {
    let mut unwinder = UnwinderX86_64::new();
    let mut own_code = 0..0;
    let here = prepare as *const () as u64;
    for module in modules {
        let Some(extent) = module.extent() else { continue };
        if extent.contains(&here) {
            own_code = module.load_segment_at(here).unwrap_or(extent.clone());
        }
        if let Some(sections) = unwind_sections(module) {
            let name = module.path.to_string_lossy().into_owned();
            unwinder.add_module(UnwindModule::new(name, extent, module.bias, sections));
        }
    }
    let _ = STACKS.set(Stacks { unwinder, own_code });
}

fn unwind_sections(module: &Module) -> Option<ExplicitModuleSectionInfo<&'static [u8]>> {
    let header = module.segment(libc::PT_GNU_EH_FRAME, 0)?;
    // `.eh_frame` lies after its header in every linker's layout or elsewhere in a loaded segment; its start is
    // encoded in the header: version 1, then three encodings, then (pc-relative, 4 bytes signed) the pointer.
    // SAFETY: the loader has mapped this segment for the life of the process.
    let header_bytes = unsafe { bytes(&header) };
    if header_bytes.len() < 8 || header_bytes[0] != 1 || header_bytes[1] != 0x1b {
        return None;
    }
    let offset = i32::from_le_bytes(header_bytes[4..8].try_into().ok()?);
    let start = header
        .start
        .wrapping_add(4)
        .wrapping_add_signed(i64::from(offset));
    let frames = start..module.load_segment_at(start)?.end;
    // SAFETY: as above; the range ends with its loaded segment.
    let frame_bytes = unsafe { bytes(&frames) };
    let in_file = |range: &Range<u64>| range.start - module.bias..range.end - module.bias;
    Some(ExplicitModuleSectionInfo {
        base_svma: module.extent()?.start - module.bias,
        eh_frame_hdr_svma: Some(in_file(&header)),
        eh_frame_hdr: Some(header_bytes),
        eh_frame_svma: Some(in_file(&frames)),
        eh_frame: Some(frame_bytes),
        ..Default::default()
    })
}

/// The return addresses from the tap's caller outwards, leaf first, up to the nearest poll tap, the end of the
/// thread's stack at `top`, or the first frame without unwind information.
pub(crate) fn capture(cache: &mut Cache, entry: Entry, top: u64, frames: &mut [u64; MAX_FRAMES]) -> usize {
    let Some(stacks) = STACKS.get() else { return 0 };
    let mut read_stack = |address: u64| {
        if address < entry.sp || address.checked_add(8).is_none_or(|end| end > top) || address & 7 != 0 {
            return Err(());
        }
        // SAFETY: between the tap's own frame and the upper end of this thread's stack everything is mapped.
        Ok(unsafe { (address as *const u64).read() })
    };
    let Ok(mut return_address) = read_stack(entry.sp) else {
        return 0;
    };
    let mut registers = UnwindRegsX86_64::new(return_address, entry.sp + 8, entry.bp);
    let mut len = 0;
    while len < MAX_FRAMES && !stacks.own_code.contains(&return_address) {
        frames[len] = return_address;
        len += 1;
        let Some(frame) = FrameAddress::from_return_address(return_address) else {
            break;
        };
        match stacks
            .unwinder
            .unwind_frame(frame, &mut registers, cache, &mut read_stack)
        {
            Ok(Some(next)) => return_address = next,
            _ => break,
        }
    }
    len
}
