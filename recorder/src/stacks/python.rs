//! The Python functions that a blocked thread is in, read from outside.

use std::collections::HashMap;

use asyncprof_core::named_frame::NamedFrame;
use asyncprof_core::python::{BYTES, LEN, StackLayout, TEXT_STATE, TYPE, half_word};
use asyncprof_core::stack_table::{MAX_FRAMES, StackTable};

use super::memory::{read, read_words, words};
use super::python_lines::line_at;

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
        let (pid, layout) = (self.pid, self.layout.frame);
        let read = |address, words: &mut [u64]| read_words(pid, address, words);
        let is_whole = layout.walk(thread_state, until, read, |code, position| {
            frames.extend(self.named(code, position, table));
            frames.len() < MAX_FRAMES
        });
        if !is_whole {
            frames.clear();
        }
        frames
    }

    /// None if that is no function's code.
    fn named(&mut self, code: u64, position: u64, table: &StackTable<'_>) -> Option<u64> {
        let layout = self.layout.code;
        let word = |at: u64| Some(words::<1>(self.pid, code + at)?[0]);
        if code == 0 || word(TYPE)? != self.layout.code_type {
            return None;
        }
        let identity = layout.identity(|at| word(at).unwrap_or(0));
        if let Some(&known) = self.known.get(&(code, position, identity)) {
            return Some(known);
        }
        let first_line = half_word(layout.first_line, |at| word(at).unwrap_or(0)) as u32;
        let lines = self.bytes(word(layout.line_table)?)?;
        let byte = self.layout.frame.unit.bytes_at(code, position);
        let frame = NamedFrame {
            file: &self.text(word(layout.file)?)?,
            function: &self.text(word(layout.qualified_name.unwrap_or(layout.name))?)?,
            line: line_at(layout.line_format, &lines, first_line, byte),
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

    fn text(&self, object: u64) -> Option<String> {
        let [state] = words::<1>(self.pid, object + TEXT_STATE)?;
        let Some(characters) = self.layout.text.characters(state as u32) else {
            return Some("?".into());
        };
        let [len] = words::<1>(self.pid, object + LEN)?;
        let bytes = self.read(object + characters.start, len.checked_mul(characters.width)?)?;
        Some(characters.decode(&bytes).collect())
    }

    fn read(&self, address: u64, len: u64) -> Option<Vec<u8>> {
        let mut bytes = vec![0; usize::try_from(len.min(MAX_LEN)).ok()?];
        (read(self.pid, address, &mut bytes) == bytes.len()).then_some(bytes)
    }
}
