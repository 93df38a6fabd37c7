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
use crate::sampling::Interrupted;
use crate::stack_memo::StackMemo;
use crate::unwind_rules::{Base, Rules, Step, TableUnwinder};

/// What framehop remembers; one per thread.
pub(crate) type Cache = CacheX86_64<MustNotAllocateDuringUnwind>;

struct Stacks {
    unwinder: TableUnwinder,
    /// Our own code, as far as it calls the program's: a return address in it is a tap's, the end of a task's stack.
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

/// Makes the unwind tables of these objects known, once, before any capture. Returns where our own code lies.
pub(crate) fn prepare(modules: &[Module]) -> Range<u64> {
    let own_code = own_code(modules);
    let _ = STACKS.set(Stacks::of(modules, own_code.clone()));
    own_code
}

/// The whole library that was preloaded.
#[cfg(feature = "preload")]
pub(crate) fn own_code(modules: &[Module]) -> Range<u64> {
    let here = own_code as *const () as u64;
    let segment = modules.iter().find_map(|module| module.load_segment_at(here));
    segment.unwrap_or(0..0)
}

/// Within a program the section in which lie those of our functions that call the program's.
#[cfg(not(feature = "preload"))]
pub(crate) fn own_code(_modules: &[Module]) -> Range<u64> {
    unsafe extern "C" {
        // Made by the linker, for any section whose name is an identifier.
        #[link_name = "__start_asyncprof_taps"]
        static START: u8;
        #[link_name = "__stop_asyncprof_taps"]
        static END: u8;
    }
    (&raw const START) as u64..(&raw const END) as u64
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
pub(crate) fn capture(
    rules: &mut Rules,
    cache: &mut Cache,
    entry: Entry,
    top: u64,
    frames: &mut [u64; MAX_FRAMES],
) -> usize {
    let Some(stacks) = STACKS.get() else { return 0 };
    stacks.capture(rules, cache, entry, top, frames)
}

/// Makes known the stack that was just captured.
///
/// # Safety
/// From `entry.sp` to `top` all is the calling thread's stack.
pub(crate) unsafe fn remember(
    memo: &mut StackMemo,
    rules: &mut Rules,
    cache: &mut Cache,
    entry: Entry,
    top: u64,
    number: u32,
) {
    let Some(stacks) = STACKS.get() else { return };
    let rule_of = |address| rules.get(&stacks.unwinder, cache, address);
    // SAFETY: the caller's promise.
    unsafe { memo.learn(rule_of, &stacks.own_code, entry, top, number) }
}

/// As [`capture`], from wherever a signal has interrupted the thread; the innermost address plus one, as if it were a
/// call's.
pub(crate) fn capture_at(
    rules: &mut Rules,
    cache: &mut Cache,
    at: Interrupted,
    top: u64,
    frames: &mut [u64; MAX_FRAMES],
) -> usize {
    let Some(stacks) = STACKS.get() else { return 0 };
    stacks.capture_at(rules, cache, at, top, frames)
}

/// Reads words of the calling thread's stack from `sp`, where it stands, to `top`, an end of it.
fn stack_reader(sp: u64, top: u64) -> impl FnMut(u64) -> Result<u64, ()> {
    move |address: u64| {
        if address < sp || address.checked_add(8).is_none_or(|end| end > top) || address & 7 != 0 {
            return Err(());
        }
        // SAFETY: between where the stack stands and its upper end everything is mapped.
        Ok(unsafe { (address as *const u64).read() })
    }
}

/// A caller's frame, at the address that its callee returns to.
#[derive(Clone, Copy)]
struct Frame {
    return_address: u64,
    sp: u64,
    bp: u64,
}

impl Stacks {
    fn of(modules: &[Module], own_code: Range<u64>) -> Stacks {
        let mut unwinder = UnwinderX86_64::new();
        for module in modules {
            if let (Some(extent), Some(sections)) = (module.extent(), unwind_sections(module)) {
                let name = module.path.to_string_lossy().into_owned();
                unwinder.add_module(UnwindModule::new(name, extent, module.bias, sections));
            }
        }
        Stacks { unwinder, own_code }
    }

    fn capture(
        &self,
        rules: &mut Rules,
        cache: &mut Cache,
        entry: Entry,
        top: u64,
        frames: &mut [u64; MAX_FRAMES],
    ) -> usize {
        let mut read_stack = stack_reader(entry.sp, top);
        let Ok(return_address) = read_stack(entry.sp) else {
            return 0;
        };
        let frame = Frame {
            return_address,
            sp: entry.sp + 8,
            bp: entry.bp,
        };
        self.walk(rules, cache, frame, &mut read_stack, 0, frames)
    }

    /// Walks from a frame outwards and returns the number of frames in all. Frames of our own code end the walk, or
    /// (`len` is not 0: a sample's) are left out.
    #[inline]
    fn walk(
        &self,
        rules: &mut Rules,
        cache: &mut Cache,
        from: Frame,
        read_stack: &mut impl FnMut(u64) -> Result<u64, ()>,
        mut len: usize,
        frames: &mut [u64; MAX_FRAMES],
    ) -> usize {
        let skips_own = len > 0;
        let Frame {
            mut return_address,
            mut sp,
            mut bp,
        } = from;
        while len < MAX_FRAMES {
            if !self.own_code.contains(&return_address) {
                frames[len] = return_address;
                len += 1;
            } else if !skips_own {
                break;
            }
            let rule = rules.get(&self.unwinder, cache, return_address);
            let offset_from = |register: u64, offset: i32| register.wrapping_add_signed(i64::from(offset));
            let caller_sp = match rule.step {
                Step::FromSp => offset_from(sp, rule.sp),
                Step::FromBp => offset_from(bp, rule.sp),
                Step::Complex | Step::Unknown => {
                    let mut registers = UnwindRegsX86_64::new(return_address, sp, bp);
                    let Some(frame) = FrameAddress::from_return_address(return_address) else {
                        break;
                    };
                    let unwound = self
                        .unwinder
                        .unwind_frame(frame, &mut registers, cache, read_stack);
                    let Ok(Some(next)) = unwound else { break };
                    (return_address, sp, bp) = (next, registers.sp(), registers.bp());
                    continue;
                }
            };
            // Stacks grow downwards: a caller's frame lies above.
            if caller_sp <= sp {
                break;
            }
            let caller_bp = match rule.base {
                Base::Kept => Ok(bp),
                Base::AtSp => read_stack(offset_from(sp, rule.bp)),
                Base::AtBp => read_stack(offset_from(bp, rule.bp)),
            };
            let (Ok(next), Ok(caller_bp)) = (read_stack(caller_sp - 8), caller_bp) else {
                break;
            };
            (return_address, sp, bp) = (next, caller_sp, caller_bp);
        }
        len
    }

    /// As `capture`, from wherever a signal has interrupted the thread.
    fn capture_at(
        &self,
        rules: &mut Rules,
        cache: &mut Cache,
        at: Interrupted,
        top: u64,
        frames: &mut [u64; MAX_FRAMES],
    ) -> usize {
        let Entry { sp, bp } = at.entry;
        let mut read_stack = stack_reader(sp, top);
        if self.own_code.contains(&at.ip) {
            return 0;
        }
        // As if it were a return address: readers look at the byte before.
        frames[0] = at.ip + 1;
        let mut registers = UnwindRegsX86_64::new(at.ip, sp, bp);
        let frame = FrameAddress::from_instruction_pointer(at.ip);
        let unwound = self
            .unwinder
            .unwind_frame(frame, &mut registers, cache, &mut read_stack);
        let Ok(Some(return_address)) = unwound else {
            return 1;
        };
        let frame = Frame {
            return_address,
            sp: registers.sp(),
            bp: registers.bp(),
        };
        self.walk(rules, cache, frame, &mut read_stack, 1, frames)
    }
}

#[cfg(test)]
mod tests {
    use std::arch::naked_asm;

    use super::*;

    /// All that is needed to capture in a test, whose own code is not to be left out.
    struct Capture {
        stacks: Stacks,
        rules: Box<Rules>,
        cache: Cache,
        seen: Vec<Vec<u64>>,
        memo: Box<StackMemo>,
        /// By number, less one.
        remembered: Vec<Vec<u64>>,
    }

    impl Capture {
        fn new() -> Capture {
            let stacks = Stacks::of(&crate::modules::mapped(), 0..0);
            // SAFETY: zeros are an empty table, and an empty memo.
            let (rules, memo) = unsafe { (Box::new(std::mem::zeroed()), Box::new(std::mem::zeroed())) };
            Capture {
                stacks,
                rules,
                cache: Cache::new_in(),
                seen: Vec::new(),
                memo,
                remembered: Vec::new(),
            }
        }

        /// As if `expected[end]` were the poll tap's. Whether it was known before.
        fn remember(&mut self, entry: Entry, top: u64, expected: &[u64], end: usize) -> bool {
            // SAFETY: this thread's stack.
            let known = unsafe { self.memo.recognise(entry, top) };
            if let Some(number) = known {
                assert!(expected.starts_with(&self.remembered[number as usize - 1]));
                return true;
            }
            self.remembered.push(expected[..=end].to_vec());
            let number = self.remembered.len() as u32;
            let own_code = expected[end]..expected[end] + 1;
            let Capture {
                stacks,
                rules,
                cache,
                memo,
                ..
            } = self;
            let rule_of = |address| rules.get(&stacks.unwinder, cache, address);
            // SAFETY: as above.
            let again = unsafe {
                memo.learn(rule_of, &own_code, entry, top, number);
                memo.recognise(entry, top)
            };
            assert_eq!(again, Some(number));
            false
        }

        /// The same stack as framehop alone unwinds it.
        fn by_framehop(&mut self, entry: Entry, top: u64) -> Vec<u64> {
            let mut read = |address: u64| {
                let inside = (entry.sp..top).contains(&address);
                // SAFETY: within this thread's stack.
                inside
                    .then(|| unsafe { (address as *const u64).read() })
                    .ok_or(())
            };
            let mut address = read(entry.sp).unwrap();
            let mut registers = UnwindRegsX86_64::new(address, entry.sp + 8, entry.bp);
            let mut frames = Vec::new();
            while frames.len() < MAX_FRAMES {
                frames.push(address);
                let Some(frame) = FrameAddress::from_return_address(address) else {
                    break;
                };
                match self
                    .stacks
                    .unwinder
                    .unwind_frame(frame, &mut registers, &mut self.cache, &mut read)
                {
                    Ok(Some(next)) => address = next,
                    _ => break,
                }
            }
            frames
        }
    }

    #[unsafe(naked)]
    extern "C" fn here(_capture: &mut Capture) {
        naked_asm!("mov rsi, rsp", "mov rdx, rbp", "jmp {compare}", compare = sym compare)
    }

    extern "C" fn compare(capture: &mut Capture, sp: u64, bp: u64) {
        let top = crate::thread_pointer::own_stack().end;
        let entry = Entry { sp, bp };
        let expected = capture.by_framehop(entry, top);
        let mut frames = [0; MAX_FRAMES];
        for _ in 0..2 {
            let Capture {
                stacks, rules, cache, ..
            } = capture;
            let len = stacks.capture(rules, cache, entry, top, &mut frames);
            assert_eq!(frames[..len], expected);
        }
        let is_known = capture.remember(entry, top, &expected, 6);
        assert!(is_known || !capture.seen.contains(&expected));
        capture.seen.push(expected);
    }

    /// Frames of several kinds: recursion, a large one, a dynamic call, one with arguments in memory.
    fn descend(capture: &mut Capture, depth: usize, call: &dyn Fn(&mut Capture, usize)) -> usize {
        let buffer = std::hint::black_box([depth; 100]);
        if depth.is_multiple_of(3) {
            here(capture);
        }
        if depth > 0 {
            call(capture, depth - 1);
        }
        std::hint::black_box(buffer)[depth % 100]
    }

    #[test]
    fn remembered_rules_unwind_as_framehop_does() {
        let mut capture = Capture::new();
        fn again(capture: &mut Capture, depth: usize) {
            let mut result = None;
            // Through a function of the standard library's, which has base pointers.
            std::sync::Once::new().call_once(|| result = Some(descend(capture, depth, &again)));
            assert_eq!(result, Some(depth));
        }
        again(&mut capture, 12);
        assert_eq!(capture.seen.len(), 5);
        assert!(capture.seen.iter().all(|stack| stack.len() > 8));
        assert!(capture.seen[4].len() > capture.seen[0].len());
    }
}
