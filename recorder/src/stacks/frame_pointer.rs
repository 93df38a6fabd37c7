//! Frame sizes of functions that keep a base pointer, told by their first instructions.
//!
//! The kernel tells a blocked thread's stack and instruction pointer, but not its base pointer, by which functions
//! with frame pointers (those of Rust's standard library) are to be unwound. Their frames are of one shape:
//! `push rbp; mov rbp, rsp`, more pushes, and one subtraction from the stack pointer. So the base pointer lies above
//! the stack pointer by what these have taken.

use std::ops::Range;

use asyncprof_core::process_info::ModuleInfo;
use gimli::{BaseAddresses, EhFrame, EhFrameHdr, EndianSlice, LittleEndian, UnwindSection};
use object::{Object, ObjectSection, SectionKind};

use crate::symbolize::{MappedBytes, ObjectFile};

/// Bytes of code that a function's first instructions take at most.
const PROLOGUE_LEN: u64 = 64;

/// A section's addresses in the file's own terms, and its bytes.
pub(super) type Section = (Range<u64>, MappedBytes);

/// A module's code and where its functions start.
#[derive(Debug)]
pub(super) struct Functions {
    range: Range<u64>,
    bias: u64,
    frames: Section,
    header: Section,
    code: Vec<Section>,
}

impl Functions {
    pub(super) fn new(
        module: &ModuleInfo,
        file: &ObjectFile,
        object: &object::File<'_>,
        header: Section,
        frames: Section,
    ) -> Functions {
        let code = object
            .sections()
            .filter(|section| section.kind() == SectionKind::Text)
            .filter_map(|section| file.bytes_of(&section));
        Functions {
            range: module.start..module.end,
            bias: module.bias,
            frames,
            header,
            code: code.collect(),
        }
    }

    pub(super) fn contain(&self, address: u64) -> bool {
        self.range.contains(&address)
    }

    /// From the stack pointer to the base pointer, in the body of the function at this run-time address.
    pub(super) fn frame_size(&self, address: u64) -> Option<u64> {
        let start = self.start_of(address.checked_sub(self.bias)?)?;
        let (range, code) = self.code.iter().find(|(range, _)| range.contains(&start))?;
        let at = start - range.start;
        let end = (at + PROLOGUE_LEN).min(code.len() as u64);
        frame_size(code.get(at as usize..end as usize)?)
    }

    /// Where the function that holds this address of the file starts, by the table of unwind information.
    fn start_of(&self, address: u64) -> Option<u64> {
        let bases = BaseAddresses::default()
            .set_eh_frame_hdr(self.header.0.start)
            .set_eh_frame(self.frames.0.start);
        let header = EhFrameHdr::new(&self.header.1, LittleEndian)
            .parse(&bases, 8)
            .ok()?;
        let frames: EhFrame<EndianSlice<'_, LittleEndian>> = EhFrame::new(&self.frames.1, LittleEndian);
        let entry = header
            .table()?
            .fde_for_address(&frames, &bases, address, EhFrame::cie_from_offset);
        Some(entry.ok()?.initial_address())
    }
}

/// What the first instructions of a function take from the stack after the base pointer was set; None if they are not
/// of the usual shape.
fn frame_size(code: &[u8]) -> Option<u64> {
    const ENDBR64: [u8; 4] = [0xf3, 0x0f, 0x1e, 0xfa];
    const PUSH_RBP: [u8; 1] = [0x55];
    const MOV_RBP_RSP: [[u8; 3]; 2] = [[0x48, 0x89, 0xe5], [0x48, 0x8b, 0xec]];
    let code = code.strip_prefix(&ENDBR64).unwrap_or(code);
    let code = code.strip_prefix(&PUSH_RBP)?;
    let mut code = MOV_RBP_RSP.iter().find_map(|mov| code.strip_prefix(mov))?;
    let mut size = 0;
    loop {
        (size, code) = match code {
            // push r8 to r15; push rax to rdi
            [0x41, 0x50..=0x57, rest @ ..] | [0x50..=0x57, rest @ ..] => (size + 8, rest),
            // sub rsp, a byte or four
            [0x48, 0x83, 0xec, taken, ..] => return Some(size + u64::from(*taken)),
            [0x48, 0x81, 0xec, a, b, c, d, ..] => {
                return Some(size + u64::from(u32::from_le_bytes([*a, *b, *c, *d])));
            }
            // and rsp, …: aligned, so not told by the code alone.
            [0x48, 0x83 | 0x81, 0xe4, ..] => return None,
            _ => return Some(size),
        };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_usual_prologues() {
        let lock_contended = [
            0x55, 0x48, 0x89, 0xe5, 0x41, 0x57, 0x41, 0x56, 0x41, 0x54, 0x53, 0x48, 0x83, 0xec, 0x20, 0x48,
            0x89,
        ];
        assert_eq!(frame_size(&lock_contended), Some(4 * 8 + 0x20));
        let large = [0x55, 0x48, 0x89, 0xe5, 0x53, 0x48, 0x81, 0xec, 0x28, 0x01, 0, 0];
        assert_eq!(frame_size(&large), Some(8 + 0x128));
        let with_landing_pad = [0xf3, 0x0f, 0x1e, 0xfa, 0x55, 0x48, 0x89, 0xe5, 0xc3];
        assert_eq!(frame_size(&with_landing_pad), Some(0));
        let aligned = [0x55, 0x48, 0x89, 0xe5, 0x48, 0x83, 0xe4, 0xe0];
        assert_eq!(frame_size(&aligned), None);
        assert_eq!(frame_size(&[0x53, 0x50]), None, "no base pointer");
        assert_eq!(frame_size(&[]), None);
    }
}
