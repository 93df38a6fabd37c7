//! Where the fields of CPython's objects are, as the agent has found out: what it needs to read stacks itself, and what
//! a reader of the process's memory needs to read those of threads that stand still.

use crate::stack_table::MAX_FRAMES;
use serde::{Deserialize, Serialize};

/// All that is needed to read the stack of a thread.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct StackLayout {
    pub frame: FrameLayout,
    pub code: CodeLayout,
    pub text: TextLayout,
    /// Address of the type of code objects.
    pub code_type: u64,
}

/// Offsets in an interpreter's frame: before 3.11 the frame object, since then what lies behind it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FrameLayout {
    pub code: u64,
    pub previous: u64,
    pub position: u64,
    pub unit: Position,
    /// In a thread's state: the innermost frame, or a pointer to what has it at the second offset.
    pub innermost: (u64, Option<u64>),
}

/// Frames followed at most, those of no function included: half made ones may go round in circles.
const MAX_DEPTH: usize = 2 * MAX_FRAMES;
/// Words of a frame, or of a code object, that hold all fields.
pub const FIELD_WORDS: usize = 32;

impl FrameLayout {
    /// Calls `each` with code object and position of a thread's frames, from the innermost one outwards up to `until`, as
    /// long as it says so. `read` fills a buffer from an address, or says that it cannot. False if the way did not lead to
    /// `until`, as when a frame is half made: then what was met is not to be trusted.
    #[inline(always)]
    pub fn walk(
        &self,
        thread_state: u64,
        until: u64,
        read: impl Fn(u64, &mut [u64]) -> bool,
        mut each: impl FnMut(u64, u64) -> bool,
    ) -> bool {
        let word = |address: u64| {
            let mut word = [0];
            read(address, &mut word);
            word[0]
        };
        let (at, then) = self.innermost;
        let mut frame = word(thread_state.wrapping_add(at));
        if let (Some(then), true) = (then, frame != 0) {
            frame = word(frame.wrapping_add(then));
        }
        let mut words = [0; FIELD_WORDS];
        let len = (self.code.max(self.previous).max(self.position) / 8 + 1) as usize;
        let Some(words) = words.get_mut(..len) else {
            return false;
        };
        for _ in 0..MAX_DEPTH {
            if frame == until {
                return true;
            }
            if frame == 0 || !read(frame, words) {
                return false;
            }
            let field = |at: u64| words[at as usize / 8];
            let position = match self.unit {
                Position::Units(_) => half_word(self.position, field),
                Position::Pointer(_) => field(self.position),
            };
            // From 3.14 on the low bits say who counts the reference.
            if !each(field(self.code) & !7, position) {
                return true;
            }
            frame = field(self.previous);
        }
        false
    }
}

/// How a frame says where it is in its code.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Position {
    /// Half a word, a number of units of so many bytes.
    Units(u64),
    /// A pointer; where in the code object it points at byte 0.
    Pointer(u64),
}

impl Position {
    /// The offset in the bytes of this code.
    pub fn bytes_at(self, code: u64, position: u64) -> u64 {
        match self {
            Position::Units(bytes) => (position & 0xffff_ffff).wrapping_mul(bytes),
            Position::Pointer(start) => position.wrapping_sub(code).wrapping_sub(start),
        }
    }
}

/// Offsets in a code object.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CodeLayout {
    pub file: u64,
    pub name: u64,
    /// From 3.11 on.
    pub qualified_name: Option<u64>,
    pub first_line: u64,
    pub line_table: u64,
    pub line_format: LineFormat,
}

impl CodeLayout {
    /// What tells a code object from another one in the same memory: those that follow each other there hardly have the
    /// same name object, file object and line.
    #[inline(always)]
    pub fn identity(&self, field: impl Fn(u64) -> u64) -> u64 {
        let first_line = half_word(self.first_line, &field);
        field(self.file) ^ field(self.name).rotate_left(24) ^ first_line.rotate_left(48)
    }

    /// Words of a code object that hold its identity, and its type.
    #[inline]
    pub fn identity_words(&self) -> usize {
        ((self.file.max(self.name).max(self.first_line) / 8 + 1) as usize).min(FIELD_WORDS)
    }
}

/// How a code object says which line its bytes are of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum LineFormat {
    /// Before 3.10: pairs of increments, of bytes and of lines.
    Lnotab,
    /// 3.10: ranges of bytes, each with an increment of lines before it.
    Ranges,
    /// From 3.11 on: entries of variable length.
    Locations,
}

/// How texts are stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TextLayout {
    /// Marks texts of ASCII only, and those whose characters are where we look for them.
    pub ascii_mark: u32,
    pub compact_mark: u32,
    /// From this bit on: how many bytes each character has.
    pub width_shift: u32,
    /// Where the characters begin, of ASCII texts and of others.
    pub ascii_start: u64,
    pub other_start: u64,
}

/// Where the characters of a text are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Characters {
    pub start: u64,
    /// In bytes, of each.
    pub width: u64,
    pub are_ascii: bool,
}

impl TextLayout {
    /// Of a text with this [state](TEXT_STATE); None if they are elsewhere.
    pub fn characters(&self, state: u32) -> Option<Characters> {
        let are_ascii = state & self.ascii_mark != 0;
        let width = u64::from(state >> self.width_shift & 7);
        (state & self.compact_mark != 0 && matches!(width, 1 | 2 | 4)).then_some(Characters {
            start: if are_ascii {
                self.ascii_start
            } else {
                self.other_start
            },
            width,
            are_ascii,
        })
    }
}

impl Characters {
    /// From their bytes. What is no character (half of one, as in names of files that are no text) has a stand-in.
    pub fn decode(self, bytes: &[u8]) -> impl Iterator<Item = char> {
        let number = |bytes: &[u8]| {
            bytes
                .iter()
                .rev()
                .fold(0, |number, &byte| number << 8 | u32::from(byte))
        };
        bytes
            .chunks_exact(self.width as usize)
            .map(move |bytes| char::from_u32(number(bytes)).unwrap_or(char::REPLACEMENT_CHARACTER))
    }
}

/// Of every object: its type. The same in all versions that have the interpreter's lock.
pub const TYPE: u64 = 8;
/// Of texts, byte strings and lists: length.
pub const LEN: u64 = 16;
/// Of texts: the half word that has the mark.
pub const TEXT_STATE: u64 = 32;
/// Of byte strings: the bytes.
pub const BYTES: u64 = 32;

/// The half word at this address, with a way to read words at multiples of eight.
#[inline(always)]
pub fn half_word(address: u64, read: impl FnOnce(u64) -> u64) -> u64 {
    read(address & !7) >> ((address & 4) * 8) & 0xffff_ffff
}

#[cfg(test)]
mod tests {
    use super::*;

    const LAYOUT: TextLayout = TextLayout {
        ascii_mark: 1 << 6,
        compact_mark: 1 << 5,
        width_shift: 2,
        ascii_start: 40,
        other_start: 56,
    };

    #[test]
    fn characters_of_any_width() {
        for (state, start, bytes, text) in [
            (0b110_0100, 40, &b"ab"[..], "ab"),
            (0b010_0100, 56, b"\xe9x", "éx"),
            (0b010_1000, 56, b"\xb1\x03x\0", "αx"),
            (0b011_0000, 56, b"\0\xf6\x01\0x\0\0\0", "😀x"),
            (0b010_1000, 56, b"\x00\xdcx\0", "\u{fffd}x"),
        ] {
            let characters = LAYOUT.characters(state).unwrap();
            assert_eq!(characters.start, start);
            assert_eq!(characters.decode(bytes).collect::<String>(), text);
        }
        assert_eq!(
            LAYOUT.characters(0b100_0100),
            None,
            "its characters are elsewhere"
        );
        assert_eq!(
            LAYOUT.characters(0b010_1100),
            None,
            "no character has three bytes"
        );
    }
}
