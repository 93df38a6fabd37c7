//! Which tokio a program holds, told from the source paths in its panic messages, and what we know of it.

use std::collections::BTreeMap;
use std::fmt;

use memchr::memmem::Finder;

use crate::modules::Module;

/// First and last minor version of tokio 1 whose task layout we know. Before 1.23 the task's table has another
/// order (no `schedule`, no task id).
const KNOWN_MINORS: std::ops::RangeInclusive<u32> = 23..=54;

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Version {
    major: u32,
    minor: u32,
    patch: u32,
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}.{}", self.major, self.minor, self.patch)
    }
}

impl Version {
    /// The tokio in this program; None where no trace of one is found. Of several the most mentioned.
    pub(crate) fn in_program(program: &Module) -> Option<Version> {
        let finder = Finder::new(b"/tokio-");
        let mut mentions = BTreeMap::<Version, usize>::new();
        for range in program.constant_segments() {
            // SAFETY: the loader has mapped it, readable and not writable, for the life of the process.
            let bytes = unsafe { crate::modules::bytes(&range) };
            for at in finder.find_iter(bytes) {
                let text = &bytes[at + finder.needle().len()..];
                if let Some(version) = parse(&text[..text.len().min(32)]) {
                    *mentions.entry(version).or_default() += 1;
                }
            }
        }
        mentions
            .into_iter()
            .max_by_key(|&(version, count)| (count, version))
            .map(|(version, _)| version)
    }

    pub(crate) fn is_known(self) -> bool {
        self.major == 1 && KNOWN_MINORS.contains(&self.minor)
    }

    /// The versions we know, for messages.
    pub(crate) fn known() -> String {
        format!("1.{} to 1.{}", KNOWN_MINORS.start(), KNOWN_MINORS.end())
    }

    /// Low bits that are free in a task's address: tasks are 128-byte aligned since some version between 1.29
    /// and 1.38, before that as the allocator aligns. Of a version that we do not know we take as little for granted.
    pub(crate) fn task_tag_mask(self) -> u64 {
        if self.is_known() && self.minor >= 38 {
            127
        } else {
            7
        }
    }
}

/// `1.54.1/src/…`
fn parse(text: &[u8]) -> Option<Version> {
    let end = text.iter().position(|&byte| byte == b'/')?;
    if !text[end..].starts_with(b"/src/") {
        return None;
    }
    let mut parts = std::str::from_utf8(&text[..end]).ok()?.split(['.', '-', '+']);
    let mut number = || parts.next()?.parse().ok();
    Some(Version {
        major: number()?,
        minor: number()?,
        patch: number()?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn version_from_a_source_path() {
        let version = parse(b"1.54.1/src/runtime/task").unwrap();
        assert_eq!(version.to_string(), "1.54.1");
        assert!(version.is_known());
        assert_eq!(version.task_tag_mask(), 127);
        assert!(!parse(b"1.20.6/src/x").unwrap().is_known());
        assert!(!parse(b"2.30.0/src/x").unwrap().is_known());
        assert_eq!(parse(b"1.99.0/src/x").unwrap().task_tag_mask(), 7);
        for other in [
            "util-0.7.1/src/",
            "1.54.1/lib",
            "1.54",
            "macros-2.7.2/src/",
            "x.y.z/src/",
        ] {
            assert_eq!(parse(other.as_bytes()), None, "{other}");
        }
    }
}
