//! Plain columns for a terminal: numbers to the right, text to the left, colour as an afterthought.

/// One cell: its text, how to align it, and a terminal colour for it.
pub(crate) struct Cell {
    text: String,
    right: bool,
    color: Option<u8>,
}

pub(crate) fn left(text: impl Into<String>) -> Cell {
    Cell {
        text: text.into(),
        right: false,
        color: None,
    }
}

pub(crate) fn right(text: impl Into<String>) -> Cell {
    Cell {
        text: text.into(),
        right: true,
        color: None,
    }
}

impl Cell {
    pub(crate) fn colored(mut self, color: u8) -> Cell {
        self.color = Some(color);
        self
    }
}

/// Rows as lines, indented by two, two spaces between columns, none at the end.
pub(crate) fn lines(rows: &[Vec<Cell>], color: bool) -> String {
    let columns = rows.iter().map(Vec::len).max().unwrap_or(0);
    let width = |cell: &Cell| cell.text.chars().count();
    let widths: Vec<usize> = (0..columns)
        .map(|at| {
            rows.iter()
                .filter_map(|row| row.get(at))
                .map(width)
                .max()
                .unwrap_or(0)
        })
        .collect();
    let mut out = String::new();
    for row in rows {
        let mut line = String::new();
        for (cell, &column) in row.iter().zip(&widths) {
            let padding = " ".repeat(column - width(cell));
            let text = match cell.color {
                Some(number) if color => format!("\u{1b}[38;5;{number}m{}\u{1b}[0m", cell.text),
                _ => cell.text.clone(),
            };
            line.push_str("  ");
            line.push_str(&if cell.right {
                format!("{padding}{text}")
            } else {
                format!("{text}{padding}")
            });
        }
        out.push_str(line.trim_end());
        out.push('\n');
    }
    out
}

/// A bar of at most `width` characters, in eighths.
pub(crate) fn bar(part: u64, whole: u64, width: usize) -> String {
    if whole == 0 {
        return String::new();
    }
    let eighths = (part as f64 / whole as f64 * width as f64 * 8.0).round() as usize;
    let eighths = if part > 0 { eighths.max(1) } else { 0 };
    let rest = [' ', '▏', '▎', '▍', '▌', '▋', '▊', '▉'][eighths % 8];
    format!("{}{rest}", "█".repeat(eighths / 8)).trim_end().to_owned()
}
