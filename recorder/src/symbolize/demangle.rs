//! Names as the compiler wrote them, without hashes, each demangled once.

use std::collections::HashMap;
use std::sync::Arc;

/// Names by their form in the file.
#[derive(Default)]
pub(super) struct Names<'a> {
    known: HashMap<&'a [u8], Name>,
}

#[derive(Clone)]
pub(super) struct Name {
    /// Rust names of both manglings as paths; what is not mangled, or not by Rust, as it is.
    pub(super) text: Arc<str>,
    /// Whether it was mangled: then it holds the whole path.
    pub(super) is_whole: bool,
}

impl<'a> Names<'a> {
    pub(super) fn get(&mut self, raw: &'a [u8]) -> Name {
        self.known
            .entry(raw)
            .or_insert_with(|| Name::new(&String::from_utf8_lossy(raw)))
            .clone()
    }
}

impl Name {
    fn new(raw: &str) -> Name {
        match rustc_demangle::try_demangle(raw) {
            Ok(name) => Name {
                text: format!("{name:#}").into(),
                is_whole: true,
            },
            Err(_) => Name {
                text: raw.into(),
                is_whole: raw.starts_with("_Z"),
            },
        }
    }
}
