//! Frames that have no machine address: interpreted functions, named where they are met.
//!
//! In a stack such a frame is a word with its top bit set, and below that the number of its *record*. Records lie in the
//! same table as stacks, as words: line and lengths, then the bytes of the file's and the function's names.

use crate::stack_table::{MAX_FRAMES, StackTable};

/// No code is up there.
const NAMED: u64 = 1 << 63;
/// A record is as long as a stack at most.
const MAX_BYTES: usize = (MAX_FRAMES - 1) * 8;
const MAX_FUNCTION: usize = 400;
const LEN_MASK: u64 = 0xffff;

/// What a record holds. Longer names are cut: a file's at its start, a function's at its end.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct NamedFrame<'a> {
    /// As the runtime names it; empty if there is none.
    pub file: &'a str,
    pub function: &'a str,
    /// 0 where unknown.
    pub line: u32,
}

impl NamedFrame<'_> {
    /// Enters the record and returns the frame's word; 0 if the table is full.
    pub fn intern(self, table: &StackTable<'_>) -> u64 {
        let function = &self.function[..self.function.floor_char_boundary(MAX_FUNCTION)];
        let room = MAX_BYTES - function.len();
        let file = &self.file[self.file.ceil_char_boundary(self.file.len().saturating_sub(room))..];
        let (file_len, bytes_len) = (file.len(), file.len() + function.len());
        let mut bytes = [0; MAX_BYTES];
        bytes[..file_len].copy_from_slice(file.as_bytes());
        bytes[file_len..bytes_len].copy_from_slice(function.as_bytes());
        let mut words = [0; MAX_FRAMES];
        words[0] = u64::from(self.line) | (file_len as u64) << 32 | (function.len() as u64) << 48;
        let len = 1 + bytes_len.div_ceil(8);
        for (word, bytes) in words[1..len].iter_mut().zip(bytes.as_chunks().0) {
            *word = u64::from_le_bytes(*bytes);
        }
        match table.intern(&words[..len]) {
            0 => 0,
            number => NAMED | u64::from(number),
        }
    }
}

/// The number of the record behind a stack's word; None for a machine address.
pub fn record_of(word: u64) -> Option<u32> {
    (word & NAMED != 0).then_some(word as u32)
}

/// A record, read back.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Named {
    pub file: String,
    pub function: String,
    pub line: u32,
}

impl Named {
    /// Of the words of a record; whatever else they are gives some name, too.
    pub fn decode(words: &[u64]) -> Named {
        let first = words.first().copied().unwrap_or(0);
        let bytes: Vec<u8> = words.iter().skip(1).flat_map(|word| word.to_le_bytes()).collect();
        let file_len = (first >> 32 & LEN_MASK) as usize;
        let function_len = (first >> 48 & LEN_MASK) as usize;
        let text = |from: usize, len: usize| {
            let bytes = bytes.get(from..(from + len).min(bytes.len()));
            String::from_utf8_lossy(bytes.unwrap_or_default()).into_owned()
        };
        Named {
            file: text(0, file_len),
            function: text(file_len, function_len),
            line: first as u32,
        }
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;
    use crate::stack_table::StackControl;
    use crate::sync::AtomicU64;
    use proptest::prelude::*;

    fn read_back(frame: NamedFrame<'_>) -> Named {
        let words = |n: usize| (0..n).map(|_| AtomicU64::new(0)).collect::<Vec<_>>();
        let (control, index, arena) = (StackControl::new(), words(64), words(1024));
        let table = StackTable::new(&control, &index, &arena);
        let word = frame.intern(&table);
        assert_eq!(word, frame.intern(&table));
        let mut words = Vec::new();
        table.read(record_of(word).unwrap(), &mut words);
        Named::decode(&words)
    }

    proptest! {
        #[test]
        fn a_record_reads_back(file in ".{0,80}", function in ".{0,80}", line: u32) {
            let named = read_back(NamedFrame { file: &file, function: &function, line });
            prop_assert_eq!(named, Named { file, function, line });
        }

        #[test]
        fn long_names_are_cut(file in "[aä]{300,900}", function in "[zß]{100,900}") {
            let named = read_back(NamedFrame { file: &file, function: &function, line: 7 });
            prop_assert!(file.ends_with(&named.file) && !named.file.is_empty());
            prop_assert!(function.starts_with(&named.function) && !named.function.is_empty());
            prop_assert_eq!(named.line, 7);
        }

        #[test]
        fn any_words_decode(words in prop::collection::vec(any::<u64>(), 0..9)) {
            Named::decode(&words);
        }
    }

    #[test]
    fn machine_addresses_are_no_records() {
        assert_eq!(record_of(0x7fff_ffff_ffff), None);
        assert_eq!(record_of(0), None);
    }
}
