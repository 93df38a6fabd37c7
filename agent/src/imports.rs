//! The C library's functions that we stand before: where the originals are, and, where this library is linked into
//! the program and not preloaded, how ours come into their place.

use std::ffi::CStr;

use crate::modules;

/// The definition of this name that comes after ours in the loader's order: the C library's, or another allocator's.
/// 0 if there is none, or no loader to ask. Ask early: later the loader's lock may be held by a thread that a forked
/// child does not have.
pub(crate) fn next_definition(name: &CStr) -> usize {
    if modules::is_static_program() {
        return 0;
    }
    // SAFETY: a C string; the loader may be asked at any time.
    unsafe { libc::dlsym(libc::RTLD_NEXT, name.as_ptr()) as usize }
}

#[cfg(not(feature = "preload"))]
pub(crate) use linked::replace;

#[cfg(not(feature = "preload"))]
mod linked {
    use std::ops::Range;

    use super::*;
    use crate::modules::Module;
    use crate::{panic_tap, patch, sampling, tokio};

    /// Puts our functions into the slots through which the program calls the C library's. A statically linked one has
    /// none: there tasks begin at their first poll, and a panic counts as a result.
    pub(crate) fn replace(program: &Module) {
        let functions = [
            (c"posix_memalign", tokio::posix_memalign as *const () as u64),
            (
                c"_Unwind_RaiseException",
                panic_tap::_Unwind_RaiseException as *const () as u64,
            ),
            (c"sigaction", sampling::tap::sigaction as *const () as u64),
            (c"signal", sampling::tap::signal as *const () as u64),
        ];
        let Some(imports) = Imports::of(program) else {
            return;
        };
        for (name, ours) in functions {
            let original = next_definition(name) as u64;
            if original == 0 {
                continue;
            }
            for slot in imports.slots(name.to_bytes()) {
                // SAFETY: an aligned word of a loaded segment.
                let is_bound = unsafe { (slot as *const u64).read_volatile() } == original;
                // One that holds something else is bound at its first call, or to somebody else's function.
                if is_bound {
                    // SAFETY: the slot of a function of this type.
                    let _ = unsafe { imports.put(slot, ours) };
                }
            }
        }
    }

    /// The program's table of imported functions, as the loader sees it.
    struct Imports<'a> {
        program: &'a Module,
        symbols: u64,
        strings: Range<u64>,
        relocations: [Range<u64>; 2],
    }

    const ENTRY_LEN: u64 = 24;

    impl<'a> Imports<'a> {
        fn of(program: &'a Module) -> Option<Imports<'a>> {
            const DT_PLTRELSZ: u64 = 2;
            const DT_STRTAB: u64 = 5;
            const DT_SYMTAB: u64 = 6;
            const DT_RELA: u64 = 7;
            const DT_RELASZ: u64 = 8;
            const DT_STRSZ: u64 = 10;
            const DT_JMPREL: u64 = 23;
            let dynamic = program.segment(libc::PT_DYNAMIC, 0)?;
            let words = |at: u64| program.word(at).zip(program.word(at + 8));
            let value = |wanted: u64| {
                let entries = dynamic.clone().step_by(16).map_while(words);
                let mut entries = entries.take_while(|&(tag, _)| tag != 0);
                entries.find(|&(tag, _)| tag == wanted).map(|(_, value)| value)
            };
            // The loader may or may not have relocated the pointers of this table.
            let place = |wanted| {
                let value: u64 = value(wanted)?;
                let candidates = [value, value.wrapping_add(program.bias)];
                candidates
                    .into_iter()
                    .find(|&address| program.load_segment_at(address).is_some())
            };
            let range = |start: Option<u64>, len: Option<u64>| {
                start.zip(len).map_or(0..0, |(start, len)| start..start + len)
            };
            Some(Imports {
                program,
                symbols: place(DT_SYMTAB)?,
                strings: range(place(DT_STRTAB), value(DT_STRSZ)),
                relocations: [
                    range(place(DT_RELA), value(DT_RELASZ)),
                    range(place(DT_JMPREL), value(DT_PLTRELSZ)),
                ],
            })
        }

        /// Places of pointers to the function of this name.
        fn slots(&self, name: &[u8]) -> Vec<u64> {
            const GLOB_DAT: u64 = 6;
            const JUMP_SLOT: u64 = 7;
            let entries = self
                .relocations
                .iter()
                .flat_map(|range| range.clone().step_by(ENTRY_LEN as usize));
            let slots = entries.filter_map(|entry| {
                let (offset, info) = (self.program.word(entry)?, self.program.word(entry + 8)?);
                let is_pointer = matches!(info & 0xffff_ffff, GLOB_DAT | JUMP_SLOT);
                let slot = self.program.bias.wrapping_add(offset);
                (is_pointer && slot.is_multiple_of(8) && self.is_named(info >> 32, name)).then_some(slot)
            });
            slots.filter(|&slot| self.program.word(slot).is_some()).collect()
        }

        fn is_named(&self, symbol: u64, name: &[u8]) -> bool {
            let Some(word) = self.program.word(self.symbols + symbol * ENTRY_LEN) else {
                return false;
            };
            let start = self.strings.start + (word & 0xffff_ffff);
            let end = start + name.len() as u64 + 1;
            let segment = self.program.load_segment_at(start);
            if end > self.strings.end || segment.is_none_or(|segment| end > segment.end) {
                return false;
            }
            // SAFETY: within a loaded segment, in a table that is not written to.
            let text = unsafe { crate::modules::bytes(&(start..end)) };
            text.strip_suffix(&[0]) == Some(name)
        }

        /// # Safety
        /// `slot` is the place of a pointer to a function of `value`'s type.
        unsafe fn put(&self, slot: u64, value: u64) -> std::io::Result<()> {
            let protected = self.program.segment(libc::PT_GNU_RELRO, 0);
            let range = protected.filter(|range| range.contains(&slot)).unwrap_or(0..0);
            // SAFETY: the caller's promise; outside of what the loader has protected the slot is writable as it is.
            unsafe { patch::write_words(range, &[(slot, value)]) }
        }
    }
}
