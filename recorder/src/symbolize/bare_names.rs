//! Whole paths for functions of which the program keeps a bare name and a line only.
//!
//! Programs built with `debug = "line-tables-only"` have no linkage names: an inlined async fn is `{async_fn#0}` and
//! a leaf future's method `poll`. The module follows from the source file's path. The function and its type
//! follow from the source itself, where it is still there, is not newer than the program, and agrees with the name.

use std::collections::HashMap;
use std::fs;
use std::sync::Arc;
use std::time::SystemTime;

use super::source::Source;

/// Larger files are generated; reading them would cost more than their names are worth.
const MAX_SOURCE_BYTES: u64 = 4 << 20;

/// Bare name, file and line.
type Place<'a> = (&'a [u8], Arc<str>, u32);

pub(super) struct BareNames<'a> {
    built: Option<SystemTime>,
    /// Crates by the folder of their root file.
    crates: HashMap<String, String>,
    known: HashMap<Place<'a>, Arc<str>>,
    sources: HashMap<Arc<str>, Option<Source>>,
}

impl<'a> BareNames<'a> {
    /// `built` is when the program was; newer sources are not trusted. `roots` are root files and their crates.
    pub(super) fn new(built: Option<SystemTime>, roots: Vec<(String, String)>) -> BareNames<'a> {
        let mut crates = HashMap::new();
        for (file, name) in roots {
            // A binary beside a library: most of the code is the library's.
            match file.rsplit_once('/') {
                Some((folder, "lib.rs")) => _ = crates.insert(folder.to_owned(), name),
                Some((folder, _)) => _ = crates.entry(folder.to_owned()).or_insert(name),
                None => {}
            }
        }
        BareNames {
            built,
            crates,
            known: HashMap::new(),
            sources: HashMap::new(),
        }
    }

    /// None where not even the module can be told.
    pub(super) fn qualified(&mut self, bare: &'a [u8], file: &Arc<str>, line: u32) -> Option<Arc<str>> {
        let key = (bare, Arc::clone(file), line);
        if let Some(known) = self.known.get(&key) {
            return Some(Arc::clone(known));
        }
        let text = String::from_utf8_lossy(bare);
        // Drop glue has the line of what is dropped, but is no function of that file.
        if text.starts_with("drop_in_place<") {
            return Some(
                self.known
                    .entry(key)
                    .or_insert(format!("core::ptr::{text}").into())
                    .clone(),
            );
        }
        let module = module_path(file, &self.crates)?;
        let built = self.built;
        let source = self
            .sources
            .entry(Arc::clone(file))
            .or_insert_with(|| read_source(file, built));
        let bare = String::from_utf8_lossy(bare);
        let found = source
            .as_ref()
            .and_then(|source| source.path_of(&bare, line, &module));
        let name: Arc<str> = found.unwrap_or_else(|| format!("{module}::{text}")).into();
        self.known.insert(key, Arc::clone(&name));
        Some(name)
    }
}

fn read_source(file: &str, built: Option<SystemTime>) -> Option<Source> {
    let meta = fs::metadata(file).ok()?;
    if !meta.is_file() || meta.len() > MAX_SOURCE_BYTES || meta.modified().ok()? > built? {
        return None;
    }
    Some(Source::parse(&fs::read_to_string(file).ok()?))
}

/// `…/tokio-1.54.1/src/time/sleep.rs` is `tokio::time::sleep`, by the layout that cargo prescribes.
fn module_path(file: &str, crates: &HashMap<String, String>) -> Option<String> {
    let mut parts: Vec<&str> = file
        .strip_suffix(".rs")?
        .split('/')
        .filter(|part| !part.is_empty())
        .collect();
    let source_folder = parts.iter().rposition(|part| *part == "src").filter(|at| *at > 0);
    let in_package = match source_folder {
        Some(at) if at + 1 < parts.len() => at,
        // Examples, tests and single files: a crate each, named after the file.
        _ => return Some(crate_name(parts.pop()?)),
    };
    let folder = format!("/{}", parts[..=in_package].join("/"));
    let mut root = crates
        .get(&folder)
        .cloned()
        .or_else(|| package_name(&folder))
        .unwrap_or_else(|| crate_name(parts[in_package - 1]));
    let mut path = parts.split_off(in_package + 1);
    if path[0] == "bin" && path.len() > 1 {
        root = crate_name(path[1]);
        path.drain(..2);
    }
    if path.last() == Some(&"mod") || path == ["main"] || path == ["lib"] {
        path.pop();
    }
    Some(
        [root.as_str()]
            .into_iter()
            .chain(path)
            .collect::<Vec<_>>()
            .join("::"),
    )
}

/// The package's own word, if it is still there: its folder may have any name.
fn package_name(source_folder: &str) -> Option<String> {
    let manifest = fs::read_to_string(format!("{source_folder}/../Cargo.toml")).ok()?;
    let mut lines = manifest.lines().map(str::trim);
    lines.find(|line| *line == "[package]")?;
    let name = lines
        .take_while(|line| !line.starts_with('['))
        .find_map(|line| line.strip_prefix("name")?.trim_start().strip_prefix('='))?;
    Some(crate_name(name.trim().trim_matches('"')))
}

/// Packages in the registry's folder have their version behind the name.
fn crate_name(package: &str) -> String {
    let is_version = |at: &usize| package[at + 1..].starts_with(|first: char| first.is_ascii_digit());
    let name_end = package
        .match_indices('-')
        .map(|(at, _)| at)
        .find(is_version)
        .unwrap_or(package.len());
    package[..name_end].replace('-', "_")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn modules_follow_from_paths() {
        let root = |file: &str, name: &str| (file.to_owned(), name.to_owned());
        let roots = vec![
            root("/home/u/core/src/lib.rs", "my_core"),
            root("/home/u/core/src/main.rs", "my_tool"),
        ];
        let crates = BareNames::new(None, roots).crates;
        let library = "/rustc/59807616e1/library/core/src/future/poll_fn.rs";
        for (file, module) in [
            ("/r/tokio-1.54.1/src/time/sleep.rs", "tokio::time::sleep"),
            ("/r/tokio-1.54.1/src/net/tcp/mod.rs", "tokio::net::tcp"),
            ("/r/async-channel-2.0.0-rc.1/src/lib.rs", "async_channel"),
            (library, "core::future::poll_fn"),
            ("/home/u/core/src/deep/mod.rs", "my_core::deep"),
            ("/home/u/my-app/src/main.rs", "my_app"),
            ("/home/u/src/my-app/src/bin/load.rs", "load"),
            ("/home/u/my-app/src/bin/load/main.rs", "load"),
            ("/home/u/my-app/examples/echo.rs", "echo"),
        ] {
            assert_eq!(module_path(file, &crates).as_deref(), Some(module), "{file}");
        }
        assert_eq!(module_path("/usr/src/glibc/malloc.c", &crates), None);
    }

    #[test]
    fn a_package_says_its_name_itself() {
        let own = concat!(env!("CARGO_MANIFEST_DIR"), "/src");
        assert_eq!(package_name(own).as_deref(), Some("asyncprof_recorder"));
        assert_eq!(package_name("/nowhere/src"), None);
    }
}
