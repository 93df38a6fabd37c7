//! The Python functions that a blocked thread is in, read from outside.

use std::collections::HashMap;

use asyncprof_core::named_frame::NamedFrame;
use asyncprof_core::python::{
    BYTES, CodeLayout, LEN, Position, StackLayout, TEXT_STATE, TYPE, TextLayout, half_word,
};
use asyncprof_core::stack_table::{MAX_FRAMES, StackTable};

use super::memory::{read, words};
use super::python_lines::line_at;

/// Frames followed at most, those of no function included.
const MAX_DEPTH: usize = 2 * MAX_FRAMES;
/// Words of a frame that are looked at.
const FRAME_WORDS: usize = 16;
/// Names and tables beyond this length are not read.
const MAX_LEN: u64 = 1 << 20;

/// A process in which Python runs.
pub(super) struct PythonStacks {
    pid: u32,
    layout: StackLayout,
    /// By code object, place in it, and what tells it from another in the same memory.
    known: HashMap<(u64, u64, u64), u64>,
}

impl PythonStacks {
    pub(super) fn new(pid: u32, layout: StackLayout) -> PythonStacks {
        PythonStacks {
            pid,
            layout,
            known: HashMap::new(),
        }
    }

    /// The frames of the step that a thread is in, leaf first. At the upper end of the step's stack, `top`, lie the
    /// thread's state and the frame that called the step.
    pub(super) fn stack_of(&mut self, top: u64, table: &StackTable<'_>) -> Vec<u64> {
        let mut frames = Vec::new();
        let Some([thread_state, until]) = words::<2>(self.pid, top) else {
            return frames;
        };
        let mut frame = self.innermost(thread_state).unwrap_or(0);
        for _ in 0..MAX_DEPTH {
            if frame == 0 || frame == until || frames.len() == MAX_FRAMES {
                break;
            }
            let Some(fields) = words::<FRAME_WORDS>(self.pid, frame) else {
                break;
            };
            let field = |at: u64| fields.get(at as usize / 8).copied().unwrap_or(0);
            let layout = &self.layout.frame;
            let code = field(layout.code) & !7;
            let position = match layout.unit {
                Position::Units(_) => half_word(layout.position, field),
                Position::Pointer(_) => field(layout.position),
            };
            frame = field(layout.previous);
            frames.extend(self.named(code, position, table));
        }
        frames
    }

    fn innermost(&self, thread_state: u64) -> Option<u64> {
        let (at, then) = self.layout.frame.innermost;
        let [place] = words::<1>(self.pid, thread_state + at)?;
        match then {
            None => Some(place),
            Some(then) => Some(words::<1>(self.pid, place + then)?[0]),
        }
    }

    /// None if that is no function's code.
    fn named(&mut self, code: u64, position: u64, table: &StackTable<'_>) -> Option<u64> {
        let CodeLayout {
            file,
            name,
            qualified_name,
            first_line,
            line_table,
            line_format,
        } = self.layout.code;
        let word = |at: u64| Some(words::<1>(self.pid, code + at)?[0]);
        if code == 0 || word(TYPE)? != self.layout.code_type {
            return None;
        }
        let (file, name) = (word(file)?, word(qualified_name.unwrap_or(name))?);
        let first_line = half_word(first_line, |at| word(at).unwrap_or(0)) as u32;
        let identity = file ^ name.rotate_left(24) ^ u64::from(first_line).rotate_left(48);
        if let Some(&known) = self.known.get(&(code, position, identity)) {
            return Some(known);
        }
        let lines = self.bytes(word(line_table)?)?;
        let byte = self.layout.frame.unit.bytes_at(code, position);
        let frame = NamedFrame {
            file: &self.text(file)?,
            function: &self.text(name)?,
            line: line_at(line_format, &lines, first_line, byte),
        };
        let frame = frame.intern(table);
        if frame != 0 {
            self.known.insert((code, position, identity), frame);
        }
        Some(frame).filter(|&frame| frame != 0)
    }

    /// The content of a byte string.
    fn bytes(&self, object: u64) -> Option<Vec<u8>> {
        let [len] = words::<1>(self.pid, object + LEN)?;
        self.read(object + BYTES, len)
    }

    /// A text; a stand-in for one that is not ASCII.
    fn text(&self, object: u64) -> Option<String> {
        let TextLayout { ascii_mark, bytes } = self.layout.text;
        let [state] = words::<1>(self.pid, object + TEXT_STATE)?;
        if state as u32 & ascii_mark == 0 {
            return Some("?".into());
        }
        let [len] = words::<1>(self.pid, object + LEN)?;
        String::from_utf8(self.read(object + bytes, len)?).ok()
    }

    fn read(&self, address: u64, len: u64) -> Option<Vec<u8>> {
        let mut bytes = vec![0; usize::try_from(len.min(MAX_LEN)).ok()?];
        (read(self.pid, address, &mut bytes) == bytes.len()).then_some(bytes)
    }
}
