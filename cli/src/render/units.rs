//! Numbers for people: `1.23 s`, `45.6 ms`, `12.3 %`.

/// A duration with three significant digits.
pub(crate) fn duration(ns: u64) -> String {
    const UNITS: [(f64, &str); 6] = [
        (1.0, "ns"),
        (1e3, "µs"),
        (1e6, "ms"),
        (1e9, "s"),
        (60e9, "min"),
        (3600e9, "h"),
    ];
    if ns == 0 {
        return "0 s".to_owned();
    }
    let ns = ns as f64;
    // 999.7 µs is 1 ms, not 1000 µs; seconds go on to 120, minutes to 120.
    let unit = match ns {
        _ if ns < 999.5 => 0,
        _ if ns < 999.5e3 => 1,
        _ if ns < 999.5e6 => 2,
        _ if ns < 119.5e9 => 3,
        _ if ns < 7170e9 => 4,
        _ => 5,
    };
    let (scale, name) = UNITS[unit];
    let value = ns / scale;
    let digits = if unit == 0 || value >= 99.95 {
        0
    } else if value >= 9.995 {
        1
    } else {
        2
    };
    format!("{value:.digits$} {name}")
}

/// A share (0 to 1) with one decimal.
pub(crate) fn percent(part: u64, whole: u64) -> String {
    let share = if whole == 0 {
        0.0
    } else {
        part as f64 / whole as f64 * 100.0
    };
    if part > 0 && share < 0.05 {
        "<0.1 %".to_owned()
    } else {
        format!("{share:.1} %")
    }
}

/// `1,234,567`.
pub(crate) fn count(number: u64) -> String {
    let digits = number.to_string();
    let mut out = String::with_capacity(digits.len() * 4 / 3);
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            out.push(',');
        }
        out.push(digit);
    }
    out
}

/// `1 task`, `2 tasks`.
pub(crate) fn counted(number: u64, noun: &str) -> String {
    format!("{} {noun}{}", count(number), if number == 1 { "" } else { "s" })
}

/// The start of the text, at most `max` characters.
pub(crate) fn head(text: &str, max: usize) -> String {
    match text.chars().count() > max {
        true => text.chars().take(max - 1).chain(['…']).collect(),
        false => text.to_owned(),
    }
}

/// The end of the text, at most `max` characters: of a path, what says most.
pub(crate) fn tail(text: &str, max: usize) -> String {
    let length = text.chars().count();
    match length > max {
        true => ['…']
            .into_iter()
            .chain(text.chars().skip(length - max + 1))
            .collect(),
        false => text.to_owned(),
    }
}

/// The text without control characters, which could drive a terminal and are forbidden in XML.
pub(crate) fn printable(text: &str) -> String {
    let forbidden = |c: char| {
        c.is_control()
            || matches!(c, '\u{fffe}' | '\u{ffff}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
    };
    text.chars()
        .map(|c| if forbidden(c) { '\u{fffd}' } else { c })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations() {
        for (ns, text) in [
            (0, "0 s"),
            (999, "999 ns"),
            (1_000, "1.00 µs"),
            (45_600_000, "45.6 ms"),
            (999_700, "1.00 ms"),
            (1_234_000_000, "1.23 s"),
            (59_990_000_000, "60.0 s"),
            (150_000_000_000, "2.50 min"),
            (7_200_000_000_000, "2.00 h"),
        ] {
            assert_eq!(duration(ns), text);
        }
    }

    #[test]
    fn other_numbers() {
        assert_eq!(percent(1, 3), "33.3 %");
        assert_eq!(percent(1, 1_000_000), "<0.1 %");
        assert_eq!(percent(0, 0), "0.0 %");
        assert_eq!(count(1_234_567), "1,234,567");
        assert_eq!(counted(1, "task"), "1 task");
        assert_eq!(head("abcdefghij", 5), "abcd…");
        assert_eq!(tail("abcdefghij", 5), "…ghij");
        assert_eq!(printable("a\u{1b}[31m"), "a\u{fffd}[31m");
    }
}
