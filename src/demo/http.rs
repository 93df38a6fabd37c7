//! As much HTTP/1.1 over blocking sockets as the two parties outside the shop need.

use std::io::{self, BufRead};

/// The head of a request or an answer: its first line, with the headers passed over. `None` at the end of the
/// connection.
pub(super) fn read_head(from: &mut impl BufRead) -> io::Result<Option<String>> {
    let mut first = String::new();
    if from.read_line(&mut first)? == 0 {
        return Ok(None);
    }
    let mut header = String::new();
    loop {
        header.clear();
        if from.read_line(&mut header)? == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        if header.trim_end().is_empty() {
            return Ok(Some(first.trim_end().to_owned()));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn heads_one_after_the_other() {
        let mut two = &b"GET /a HTTP/1.1\r\nhost: b\r\n\r\nGET /c HTTP/1.1\r\n\r\n"[..];
        assert_eq!(read_head(&mut two).unwrap().as_deref(), Some("GET /a HTTP/1.1"));
        assert_eq!(read_head(&mut two).unwrap().as_deref(), Some("GET /c HTTP/1.1"));
        assert_eq!(read_head(&mut two).unwrap(), None);
        assert!(read_head(&mut &b"GET /a HTTP/1.1\r\nhost"[..]).is_err());
    }
}
