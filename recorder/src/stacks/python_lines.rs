//! Which line a place in a Python function's code is of.

use asyncprof_core::python::LineFormat;

/// The line of the instruction at `byte`; 0 if it is of none.
pub(super) fn line_at(format: LineFormat, table: &[u8], first_line: u32, byte: u64) -> u32 {
    let line = match format {
        LineFormat::Lnotab => Some(lnotab(table, byte)),
        LineFormat::Ranges => ranges(table, byte),
        LineFormat::Locations => locations(table, byte),
    };
    let line = line.and_then(|delta| u32::try_from(i64::from(first_line) + delta).ok());
    line.unwrap_or(0)
}

/// Lines after the first.
fn lnotab(table: &[u8], byte: u64) -> i64 {
    let (mut at, mut line) = (0, 0);
    for pair in table.chunks_exact(2) {
        at += u64::from(pair[0]);
        if at > byte {
            break;
        }
        line += i64::from(pair[1] as i8);
    }
    line
}

fn ranges(table: &[u8], byte: u64) -> Option<i64> {
    let (mut end, mut line) = (0, 0);
    for pair in table.chunks_exact(2) {
        end += u64::from(pair[0]);
        let delta = pair[1] as i8;
        let has_line = delta != i8::MIN;
        if has_line {
            line += i64::from(delta);
        }
        if byte < end {
            return has_line.then_some(line);
        }
    }
    None
}

/// Entries begin with a byte whose top bit is set: four bits of kind, and three of length in units of two bytes.
fn locations(table: &[u8], byte: u64) -> Option<i64> {
    const NO_LINE: u8 = 15;
    const LONG: u8 = 14;
    const NO_COLUMNS: u8 = 13;
    const ONE_LINE: u8 = 10;
    let (mut end, mut line) = (0, 0);
    let starts = table.iter().enumerate().filter(|(_, first)| **first & 0x80 != 0);
    for (at, first) in starts {
        let kind = first >> 3 & 15;
        end += u64::from(first & 7) * 2 + 2;
        line += match kind {
            LONG | NO_COLUMNS => signed(&table[at + 1..]),
            ONE_LINE..NO_COLUMNS => i64::from(kind - ONE_LINE),
            _ => 0,
        };
        if byte < end {
            return (kind != NO_LINE).then_some(line);
        }
    }
    None
}

/// A number in groups of six bits, the lowest first; the lowest bit is the sign.
fn signed(bytes: &[u8]) -> i64 {
    const MORE: u8 = 0x40;
    let mut value = 0_u64;
    for (at, byte) in bytes.iter().take(10).enumerate() {
        value |= u64::from(byte & 0x3f) << (at * 6);
        if byte & MORE == 0 {
            break;
        }
    }
    let magnitude = (value >> 1) as i64;
    if value & 1 == 0 { magnitude } else { -magnitude }
}
#[cfg(test)]
mod tests {
    use super::*;

    /// The tables of one function (of first line 302) as its compilers made them, with the line of each two bytes as
    /// the interpreters themselves tell it.
    #[test]
    fn lines_as_the_interpreters_tell_them() {
        let old = "304 305 305 305 303 303 307 307 307 307 308 308 309 308 308 308 311 310";
        let new = "302 304 305 305 305 305 305 305 305 305 305 305 303 303 307 307 307 307 307 308 308 308 308 308 308 \
                   309 308 308 308 308 308 308 307 311 310";
        for (format, table, lines) in [
            (
                LineFormat::Lnotab,
                &[0, 2, 2, 1, 6, 254, 4, 4, 8, 1, 4, 1, 2, 255, 6, 3, 2, 255][..],
                old,
            ),
            (
                LineFormat::Ranges,
                &[2, 2, 6, 1, 4, 254, 8, 4, 4, 1, 2, 1, 6, 255, 2, 3, 2, 255],
                old,
            ),
            (
                LineFormat::Locations,
                &[
                    128, 0, 224, 8, 9, 220, 8, 9, 136, 33, 139, 4, 240, 5, 3, 9, 6, 128, 65, 240, 8, 0, 14,
                    15, 242, 0, 2, 5, 17, 136, 1, 220, 8, 13, 136, 97, 216, 14, 15, 245, 3, 1, 9, 17, 240, 3,
                    2, 5, 17, 240, 8, 0, 9, 10, 240, 3, 2, 5, 6,
                ],
                new,
            ),
        ] {
            for (at, line) in lines.split_whitespace().enumerate() {
                let found = line_at(format, table, 302, at as u64 * 2);
                assert_eq!(found.to_string(), line, "{format:?} {at}");
            }
        }
    }

    #[test]
    fn any_bytes_have_some_line() {
        for format in [LineFormat::Lnotab, LineFormat::Ranges, LineFormat::Locations] {
            for byte in [0, 255, u64::MAX] {
                line_at(format, &[0xff; 7], u32::MAX, byte);
                line_at(format, &[0xf0], 1, byte);
                line_at(format, &[], 1, byte);
            }
        }
    }
}
