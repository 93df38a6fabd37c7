//! Rust source as words and punctuation: just enough to see where items begin and end.

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Token<'s> {
    pub(super) text: &'s str,
    pub(super) line: u32,
}

impl Token<'_> {
    pub(super) fn is_word(&self) -> bool {
        self.text.starts_with(is_word_char)
    }
}

/// Comments, lifetimes, and string and character literals are left out.
pub(super) fn tokens(source: &str) -> Vec<Token<'_>> {
    let mut found = Vec::new();
    let (mut rest, mut line) = (source, 1);
    while let Some(first) = rest.chars().next() {
        let (len, keep) = match first {
            '/' if rest.starts_with("//") => (rest.find('\n').unwrap_or(rest.len()), false),
            '/' if rest.starts_with("/*") => (block_comment(rest), false),
            '"' => (string(rest), false),
            '\'' => (quote(rest), false),
            _ if raw_string(rest).is_some() => (raw_string(rest).unwrap_or(1), false),
            _ if is_word_char(first) => (rest.find(|c| !is_word_char(c)).unwrap_or(rest.len()), true),
            _ => (first.len_utf8(), !first.is_whitespace()),
        };
        let (text, after) = rest.split_at(len);
        if keep {
            found.push(Token { text, line });
        }
        line += text.matches('\n').count() as u32;
        rest = after;
    }
    found
}

fn is_word_char(c: char) -> bool {
    c.is_alphanumeric() || c == '_'
}

fn block_comment(rest: &str) -> usize {
    let (mut depth, mut at) = (0, 0);
    let bytes = rest.as_bytes();
    while at < bytes.len() {
        match &bytes[at..bytes.len().min(at + 2)] {
            b"/*" => (depth, at) = (depth + 1, at + 2),
            b"*/" => (depth, at) = (depth - 1, at + 2),
            _ => at += 1,
        }
        if depth == 0 {
            break;
        }
    }
    at
}

fn string(rest: &str) -> usize {
    let mut escaped = false;
    for (at, c) in rest.char_indices().skip(1) {
        match c {
            _ if escaped => escaped = false,
            '\\' => escaped = true,
            '"' => return at + 1,
            _ => {}
        }
    }
    rest.len()
}

/// A character literal as a whole; of a lifetime the quote and the name.
fn quote(rest: &str) -> usize {
    let mut chars = rest.char_indices().skip(1);
    let second = chars.next().map(|(_, c)| c);
    let third = chars.next();
    match (second, third) {
        (Some('\\'), Some((at, escaped))) => {
            let from = at + escaped.len_utf8();
            rest[from..].find('\'').map_or(rest.len(), |end| from + end + 1)
        }
        (Some(_), Some((at, '\''))) => at + 1,
        _ => 1 + rest[1..].find(|c| !is_word_char(c)).unwrap_or(rest.len() - 1),
    }
}

fn raw_string(rest: &str) -> Option<usize> {
    let after = ["br", "cr", "r"]
        .iter()
        .find_map(|prefix| rest.strip_prefix(prefix))?;
    let hashes = after.len() - after.trim_start_matches('#').len();
    let content = after[hashes..].strip_prefix('"')?;
    let end = format!("\"{}", "#".repeat(hashes));
    let len = content.find(&end).map_or(content.len(), |at| at + end.len());
    Some(rest.len() - content.len() + len)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn literals_and_comments_are_left_out() {
        let source = "a/*{/*}*/\n{*/ \"}\\\"}\"\nb r#\"}\"}\"# '}' '\\'' 'static c // }\nbr\"}\" d_1 =";
        let found: Vec<_> = tokens(source)
            .iter()
            .map(|token| (token.text, token.line))
            .collect();
        assert_eq!(found, [("a", 1), ("b", 3), ("c", 3), ("d_1", 4), ("=", 4)]);
    }

    proptest! {
        #[test]
        fn any_text_has_tokens(text in "[a-z'\"\\\\/*#r{}é\n]{0,60}") {
            tokens(&text);
        }
    }
}
