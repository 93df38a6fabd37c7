//! Where the tables of wakers point to once they are patched: for each table four entries of its own.
//!
//! A waker's function is given its data pointer only, which does not tell the table. So each table has an entry that
//! loads the table's number and jumps to what is the same for all.

use std::arch::naked_asm;

use super::tables::MAX_WAKER_TABLES;
use super::waker_taps::{clone_tap, drop_tap, wake_by_ref_tap, wake_tap};

/// `mov ecx, imm32` and `jmp rel32`.
const ENTRY_LEN: u64 = 10;

/// Entries for all tables, one after the other; each jumps to the tap with the data pointer, the stack pointer at
/// its return address, the frame pointer and the number of its table.
macro_rules! entries {
    ($entries:ident, $tap:ident) => {
        #[unsafe(naked)]
        unsafe extern "C-unwind" fn $entries() {
            /// All that the entries have in common.
            #[unsafe(naked)]
            unsafe extern "C-unwind" fn common() {
                naked_asm!("mov rsi, rsp", "mov rdx, rbp", "jmp {tap}", tap = sym $tap)
            }
            naked_asm!(
                ".set .Lasyncprof_table, 0",
                ".rept {tables}",
                ".byte 0xb9",
                ".long .Lasyncprof_table",
                ".byte 0xe9",
                ".long {common} - . - 4",
                ".set .Lasyncprof_table, .Lasyncprof_table + 1",
                ".endr",
                tables = const MAX_WAKER_TABLES,
                common = sym common,
            )
        }
    };
}

entries!(clones, clone_tap);
entries!(wakes, wake_tap);
entries!(wakes_by_ref, wake_by_ref_tap);
entries!(drops, drop_tap);

/// The entries of table number `n`, in the order of the table.
pub(super) fn of_table(n: usize) -> [u64; 4] {
    assert!(n < MAX_WAKER_TABLES);
    [
        clones as *const (),
        wakes as *const (),
        wakes_by_ref as *const (),
        drops as *const (),
    ]
    .map(|entries| entries as u64 + n as u64 * ENTRY_LEN)
}

/// The number of the table that this entry clones for; None if it is no entry of ours.
pub(super) fn table_of_clone(entry: u64) -> Option<usize> {
    let from_first = entry.checked_sub(clones as *const () as u64)?;
    let n = (from_first / ENTRY_LEN) as usize;
    (n < MAX_WAKER_TABLES && from_first.is_multiple_of(ENTRY_LEN)).then_some(n)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn entries_load_their_table_and_jump_to_their_tap() {
        let mut targets_of_first = None;
        for n in [0, 1, 255, 256, MAX_WAKER_TABLES - 1] {
            let entries = of_table(n);
            assert_eq!(table_of_clone(entries[0]), Some(n));
            assert_eq!(table_of_clone(entries[0] + 1), None);
            assert_eq!(table_of_clone(entries[1]), None);
            let targets = entries.map(|entry| {
                // SAFETY: code of this library.
                let code = unsafe { *(entry as *const [u8; 10]) };
                let number = u32::from_le_bytes(code[1..5].try_into().unwrap());
                assert_eq!((code[0], number as usize, code[5]), (0xb9, n, 0xe9));
                let jump = i32::from_le_bytes(code[6..].try_into().unwrap());
                (entry + ENTRY_LEN).wrapping_add_signed(i64::from(jump))
            });
            let mut distinct = targets.to_vec();
            distinct.sort_unstable();
            distinct.dedup();
            assert_eq!(distinct.len(), 4);
            assert!(targets_of_first.is_none_or(|first| first == targets));
            targets_of_first = Some(targets);
        }
    }
}
