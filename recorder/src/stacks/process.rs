//! The stacks of another process's threads, read while they stand still.

use std::ops::Range;

use asyncprof_core::process_info::{ModuleInfo, ProcessInfo, Tap};
use asyncprof_core::stack_table::MAX_FRAMES;
use framehop::x86_64::{CacheX86_64, UnwindRegsX86_64, UnwinderX86_64};
use framehop::{ExplicitModuleSectionInfo, FrameAddress, Module, Unwinder};
use object::{Object, ObjectSegment};

use super::frame_pointer::Functions;
use super::memory;
use super::python::PythonStacks;
use crate::symbolize::{MappedBytes, ObjectFile};

/// A base pointer that is not known: no address of any program.
const UNKNOWN: u64 = 0x5a5a << 48;
/// An address computed from it is at most so far away.
const UNKNOWN_REACH: u64 = 1 << 32;
/// Stacks of polls are read in such pieces.
const PIECE: usize = 4096;

/// A process whose threads' stacks can be read.
pub(super) struct Process {
    pub(super) pid: u32,
    unwinder: UnwinderX86_64<MappedBytes>,
    cache: CacheX86_64,
    functions: Vec<Functions>,
    /// Code of ours: frames in it are left out.
    own_code: Range<u64>,
    addresses: Vec<u64>,
    /// If it is Python that polls.
    pub(super) python: Option<PythonStacks>,
}

impl Process {
    pub(super) fn new(info: &ProcessInfo) -> Process {
        let mut process = Process {
            pid: info.pid,
            unwinder: UnwinderX86_64::new(),
            cache: CacheX86_64::new(),
            functions: Vec::new(),
            own_code: info.own_code.clone(),
            addresses: Vec::new(),
            python: None,
        };
        if let Tap::Asyncio { layout, .. } = &info.tap {
            process.python = Some(PythonStacks::new(info.pid, layout.clone()));
            return process;
        }
        for module in &info.modules {
            // The kernel's own module has no file; files that cannot be read end the stacks that lead through them.
            if let Ok(file) = ObjectFile::open(&module.path) {
                process.add(module, &file);
            }
        }
        process
    }

    fn add(&mut self, module: &ModuleInfo, file: &ObjectFile) {
        let Ok(object) = file.parse() else { return };
        let section = |name| file.bytes_of(&object.section_by_name(name)?);
        let (Some(frames), Some(header)) = (section(".eh_frame"), section(".eh_frame_hdr")) else {
            return;
        };
        let base_svma = object
            .segments()
            .map(|segment| segment.address())
            .min()
            .unwrap_or(0);
        self.functions.push(Functions::new(
            module,
            file,
            &object,
            header.clone(),
            frames.clone(),
        ));
        let sections = ExplicitModuleSectionInfo {
            base_svma,
            eh_frame_svma: Some(frames.0),
            eh_frame: Some(frames.1),
            eh_frame_hdr_svma: Some(header.0),
            eh_frame_hdr: Some(header.1),
            ..Default::default()
        };
        self.unwinder.add_module(Module::new(
            module.path.clone(),
            module.start..module.end,
            module.bias + base_svma,
            sections,
        ));
    }

    /// The stack of a thread that is blocked at `ip`, from there (its address plus one, as if it were a call's) to the
    /// poll whose stack ends at `top`.
    pub(super) fn stack_of(&mut self, sp: u64, ip: u64, top: u64) -> &[u64] {
        self.addresses.clear();
        self.addresses.push(ip + 1);
        let mut memory = StackMemory::new(self.pid, sp..top);
        let mut registers = UnwindRegsX86_64::new(ip, sp, UNKNOWN);
        let mut frame = FrameAddress::from_instruction_pointer(ip);
        while self.addresses.len() < MAX_FRAMES {
            let before = registers;
            let mut next = self.step(frame, &mut registers, &mut memory);
            if next.is_none() {
                // The rule may want the base pointer, which the kernel does not tell.
                let Some(bp) = self
                    .base_pointer(frame, before.sp())
                    .filter(|_| before.bp() == UNKNOWN)
                else {
                    break;
                };
                registers = UnwindRegsX86_64::new(before.ip(), before.sp(), bp);
                next = self.step(frame, &mut registers, &mut memory);
            }
            let Some(return_address) = next.filter(|_| registers.sp() > before.sp()) else {
                break;
            };
            if !self.own_code.contains(&return_address) {
                self.addresses.push(return_address);
            }
            let Some(caller) = FrameAddress::from_return_address(return_address) else {
                break;
            };
            frame = caller;
        }
        &self.addresses
    }

    fn step(
        &mut self,
        frame: FrameAddress,
        registers: &mut UnwindRegsX86_64,
        memory: &mut StackMemory,
    ) -> Option<u64> {
        let mut read = |address: u64| memory.read(address).ok_or(());
        let next = self
            .unwinder
            .unwind_frame(frame, registers, &mut self.cache, &mut read);
        let is_made_up = (UNKNOWN - UNKNOWN_REACH..UNKNOWN + UNKNOWN_REACH).contains(&registers.sp());
        next.ok().flatten().filter(|_| !is_made_up)
    }

    /// Where the function of this frame, whose stack pointer is `sp`, keeps its base pointer.
    fn base_pointer(&self, frame: FrameAddress, sp: u64) -> Option<u64> {
        let address = frame.address_for_lookup();
        let functions = self
            .functions
            .iter()
            .find(|functions| functions.contain(address))?;
        Some(sp + functions.frame_size(address)?)
    }
}

/// A part of another process's memory, read piece by piece.
struct StackMemory {
    pid: u32,
    range: Range<u64>,
    bytes: Vec<u8>,
}

impl StackMemory {
    fn new(pid: u32, range: Range<u64>) -> StackMemory {
        StackMemory {
            pid,
            range,
            bytes: Vec::new(),
        }
    }

    fn read(&mut self, address: u64) -> Option<u64> {
        let offset = usize::try_from(address.checked_sub(self.range.start)?).ok()?;
        let end = address.checked_add(8)?;
        if end > self.range.end {
            return None;
        }
        while self.bytes.len() < offset + 8 {
            self.read_on()?;
        }
        let word = self.bytes[offset..offset + 8].try_into().ok()?;
        Some(u64::from_le_bytes(word))
    }

    fn read_on(&mut self) -> Option<()> {
        let from = self.range.start + self.bytes.len() as u64;
        let len = PIECE.min((self.range.end - from) as usize);
        let old = self.bytes.len();
        self.bytes.resize(old + len, 0);
        let read = memory::read(self.pid, from, &mut self.bytes[old..]);
        self.bytes.truncate(old + read);
        (read > 0).then_some(())
    }
}
