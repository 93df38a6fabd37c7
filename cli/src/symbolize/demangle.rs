//! Names as the compiler wrote them, without hashes, each demangled once.

use std::borrow::Cow;
use std::collections::HashMap;
use std::sync::Arc;

/// Demangled names by mangled name.
#[derive(Default)]
pub(super) struct Names<'a> {
    known: HashMap<&'a [u8], Arc<str>>,
}

impl<'a> Names<'a> {
    /// Rust names of both manglings come back as paths; what is not mangled, or not by Rust, as it is.
    pub(super) fn demangled(&mut self, raw: &'a [u8]) -> Arc<str> {
        Arc::clone(self.known.entry(raw).or_insert_with(|| {
            let raw = String::from_utf8_lossy(raw);
            match rustc_demangle::try_demangle(&raw) {
                Ok(name) => format!("{name:#}").into(),
                Err(_) => raw.into(),
            }
        }))
    }
}

/// Whether the name carries its whole path.
pub(super) fn is_mangled(raw: &[u8]) -> bool {
    let raw: Cow<'_, str> = String::from_utf8_lossy(raw);
    raw.starts_with("_Z") || rustc_demangle::try_demangle(&raw).is_ok()
}
