//! Texts that the program gives us (labels, names), each written once into the region and a number ever after.
//!
//! The table is one of [words](crate::stack_table): a text is its length in bytes and then the bytes, eight to a word.

use crate::stack_table::{MAX_FRAMES, StackTable};

/// Longer texts are cut, and end with `…`.
pub const MAX_TEXT_BYTES: usize = 256;
/// What stands for texts that found no room.
pub const ELLIPSIS: &str = "…";

const WORDS: usize = 1 + MAX_TEXT_BYTES / 8;
const _: () = assert!(WORDS <= MAX_FRAMES && MAX_TEXT_BYTES.is_multiple_of(8));

#[derive(Clone, Copy, Debug)]
pub struct TextTable<'a>(StackTable<'a>);

impl<'a> TextTable<'a> {
    pub(crate) fn new(words: StackTable<'a>) -> TextTable<'a> {
        TextTable(words)
    }

    /// The number of the text; 0, which reads as `…`, if there is no room for it.
    pub fn intern(&self, text: &str) -> u32 {
        let mut bytes = [0; MAX_TEXT_BYTES];
        let len = if text.len() <= MAX_TEXT_BYTES {
            bytes[..text.len()].copy_from_slice(text.as_bytes());
            text.len()
        } else {
            let cut = text.floor_char_boundary(MAX_TEXT_BYTES - ELLIPSIS.len());
            let len = cut + ELLIPSIS.len();
            bytes[..cut].copy_from_slice(&text.as_bytes()[..cut]);
            bytes[cut..len].copy_from_slice(ELLIPSIS.as_bytes());
            len
        };
        let mut words = [0; WORDS];
        words[0] = len as u64;
        let chunks = bytes[..len.next_multiple_of(8)].as_chunks::<8>().0;
        for (word, chunk) in words[1..].iter_mut().zip(chunks) {
            *word = u64::from_le_bytes(*chunk);
        }
        self.0.intern(&words[..1 + chunks.len()])
    }

    /// The text of that number, its control characters made visible; `…` for a number of none.
    pub fn read(&self, number: u32) -> String {
        let mut words = Vec::new();
        self.0.read(number, &mut words);
        let Some((&len, words)) = words.split_first() else {
            return ELLIPSIS.to_owned();
        };
        let bytes: Vec<u8> = words.iter().flat_map(|word| word.to_le_bytes()).collect();
        // Another process has written it: the length may be anything.
        let text = String::from_utf8_lossy(&bytes[..bytes.len().min(len as usize)]);
        let mut visible = String::with_capacity(text.len());
        for character in text.chars() {
            if character.is_control() {
                visible.extend(character.escape_default());
            } else {
                visible.push(character);
            }
        }
        visible
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::AtomicU64;

    use proptest::prelude::*;

    use super::*;
    use crate::stack_table::StackControl;

    fn with_table<R>(arena: usize, use_it: impl FnOnce(TextTable<'_>) -> R) -> R {
        let words = |n: usize| (0..n).map(|_| AtomicU64::new(0)).collect::<Vec<_>>();
        let (control, index, arena) = (StackControl::new(), words(256), words(arena));
        use_it(TextTable::new(StackTable::new(&control, &index, &arena)))
    }

    proptest! {
        #[test]
        fn texts_read_back(texts in prop::collection::vec("\\PC{0,60}", 0..20)) {
            with_table(1 << 14, |table| {
                let numbers: Vec<u32> = texts.iter().map(|text| table.intern(text)).collect();
                for (text, number) in texts.iter().zip(numbers) {
                    assert_eq!(&table.read(number), text);
                    assert_eq!(table.intern(text), number);
                }
            });
        }

        #[test]
        fn any_words_read_without_harm(stack in prop::collection::vec(any::<u64>(), 1..40)) {
            with_table(1 << 14, |table| table.read(table.0.intern(&stack)));
        }
    }

    #[test]
    fn what_is_too_long_is_cut_and_says_so() {
        with_table(1 << 14, |table| {
            let long = "ä".repeat(1 << 20);
            let read = table.read(table.intern(&long));
            assert!(read.len() <= MAX_TEXT_BYTES && read.ends_with("ä…"), "{read}");
            let whole = "x".repeat(MAX_TEXT_BYTES);
            assert_eq!(table.read(table.intern(&whole)), whole);
        });
    }

    #[test]
    fn control_characters_become_visible() {
        with_table(1 << 14, |table| {
            assert_eq!(table.read(table.intern("a\n\u{1b}[1m")), "a\\n\\u{1b}[1m");
        });
    }

    #[test]
    fn without_room_it_is_an_ellipsis() {
        with_table(8, |table| {
            let numbers: Vec<u32> = (0..9).map(|n| table.intern(&format!("text {n}"))).collect();
            assert_eq!(table.read(numbers[0]), "text 0");
            assert_eq!(table.read(numbers[8]), ELLIPSIS);
        });
    }
}
