//! A small program built for one test, and the addresses of its functions.

use crate::symbolize::symbolizer::SymbolFunction;
use std::path::PathBuf;
use std::process::Command;
use std::{env, fs};

use object::{Object, ObjectSymbol};

use super::super::*;

pub(super) struct Program {
    dir: PathBuf,
    pub(super) path: PathBuf,
    pub(super) object: ObjectFile,
}

impl Program {
    /// Compiles `awaits.rs` with these flags; `name` must be the test's own.
    pub(super) fn build(name: &str, flags: &[&str]) -> Program {
        let dir = env::temp_dir().join(format!("asyncprof-symbols-{}-{name}", std::process::id()));
        fs::create_dir_all(&dir).unwrap();
        fs::write(dir.join(super::FILE), include_str!("awaits.rs.in")).unwrap();
        let rustc = env::var_os("RUSTC").unwrap_or_else(|| "rustc".into());
        let mut command = Command::new(rustc);
        command
            .current_dir(&dir)
            .args(["--edition=2024", "-o", "awaits"])
            .args(flags)
            .arg(super::FILE);
        // On stable the older mangling has no flag of its own any more.
        command.arg("-Zunstable-options").env("RUSTC_BOOTSTRAP", "1");
        let output = command.output().expect("rustc runs");
        assert!(
            output.status.success(),
            "{}",
            String::from_utf8_lossy(&output.stderr)
        );
        let path = dir.join("awaits");
        let object = ObjectFile::open(&path).unwrap();
        Program { dir, path, object }
    }

    /// Every address of the functions whose demangled name holds `part` as a segment of its path.
    pub(super) fn addresses_in(&self, part: &str) -> Vec<u64> {
        let object = self.object.parse().unwrap();
        let mut addresses = Vec::new();
        for symbol in object.symbols() {
            let name = format!(
                "{:#}",
                rustc_demangle::demangle(symbol.name().unwrap_or_default())
            );
            let in_program = name.contains("awaits") && !name.contains("drop_in_place");
            if in_program && name.contains(part) && symbol.kind() == object::SymbolKind::Text {
                addresses.extend(symbol.address()..symbol.address() + symbol.size());
            }
        }
        assert!(!addresses.is_empty(), "no function {part}");
        addresses.sort_unstable();
        addresses
    }

    pub(super) fn chains_in(&self, part: &str) -> Vec<Vec<SymbolFunction>> {
        self.object.symbolize(&self.addresses_in(part)).unwrap().chains
    }

    pub(super) fn debug_info(&self) -> DebugInfo {
        self.object.symbolize(&[]).unwrap().debug_info
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.dir);
    }
}
