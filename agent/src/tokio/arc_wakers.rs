//! Which of tokio's `Arc` wakers is the one that `block_on` of a current-thread scheduler hands out.
//!
//! tokio makes wakers from an `Arc` for two purposes: to wake a current-thread scheduler (a root task), and to tell
//! a `JoinSet` which of its children is done. Both tables hold functions of the same names, but their wake
//! functions call different things: the scheduler's something of `tokio::runtime`, the set's something of
//! `idle_notified_set`.

use std::collections::HashMap;

use crate::elf::Function;
use crate::modules::Module;

/// Names of the program's functions by run-time address.
pub(super) struct Callees<'a> {
    by_address: HashMap<u64, &'a Function<'a>>,
    program: &'a Module,
}

impl<'a> Callees<'a> {
    pub(super) fn new(functions: &'a [Function<'a>], program: &'a Module) -> Callees<'a> {
        let by_address = functions
            .iter()
            .map(|f| (program.bias.wrapping_add(f.address), f))
            .collect();
        Callees { by_address, program }
    }

    /// Whether these two functions (wake and wake_by_ref of one table) wake a scheduler.
    pub(super) fn wake_a_scheduler(&self, functions: [u64; 2]) -> bool {
        let direct: Vec<u64> = functions
            .iter()
            .flat_map(|&function| self.called_by(function))
            .collect();
        // What is called is often only a thin function around the work.
        let indirect: Vec<u64> = direct
            .iter()
            .filter(|&&f| self.names(f, &["util4wake"]))
            .copied()
            .collect();
        let indirect = indirect.iter().flat_map(|&function| self.called_by(function));
        let called: Vec<u64> = direct.iter().copied().chain(indirect).collect();
        let any = |parts: &[&str]| called.iter().any(|&function| self.names(function, parts));
        // A trait's method is named after its type, in a spelling of its own.
        any(&["5tokio7runtime", "tokio..runtime"]) && !any(&["idle_notified_set"])
    }

    fn names(&self, function: u64, parts: &[&str]) -> bool {
        let name = self
            .by_address
            .get(&function)
            .map(|function| String::from_utf8_lossy(function.mangled));
        name.is_some_and(|name| parts.iter().any(|part| name.contains(part)))
    }

    /// Functions that the code of this one calls or jumps to: relative, or through a pointer at a relative place.
    /// Every offset is tried, not only where instructions begin: a chance hit on a function's first byte is as
    /// good as impossible.
    fn called_by(&self, function: u64) -> Vec<u64> {
        let Some(known) = self.by_address.get(&function) else {
            return Vec::new();
        };
        let Some(segment) = self.program.load_segment_at(function) else {
            return Vec::new();
        };
        let end = (function + known.size.min(4096)).min(segment.end);
        // SAFETY: within a loaded segment of code, which nobody writes to.
        let code = unsafe { crate::modules::bytes(&(function..end)) };
        let relative = |at: usize| {
            let bytes = code.get(at..at + 4)?.try_into().ok()?;
            Some((function + at as u64 + 4).wrapping_add_signed(i64::from(i32::from_le_bytes(bytes))))
        };
        let mut called = Vec::new();
        for (at, &opcode) in code.iter().enumerate() {
            match (opcode, code.get(at + 1)) {
                (0xe8 | 0xe9, _) => called.extend(relative(at + 1)),
                (0xff, Some(0x15 | 0x25)) => {
                    let place = relative(at + 2).filter(|place| place % 8 == 0);
                    let mapped = place.filter(|&place| {
                        self.program
                            .load_segment_at(place)
                            .is_some_and(|s| place + 8 <= s.end)
                    });
                    // SAFETY: within a loaded segment; the loader has filled its pointers.
                    called.extend(mapped.map(|place| unsafe { *(place as *const u64) }));
                }
                _ => {}
            }
        }
        called.retain(|function| self.by_address.contains_key(function));
        called
    }
}
