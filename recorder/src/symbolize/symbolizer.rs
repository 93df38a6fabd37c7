//! Addresses to functions: debug information first, the symbol table where that has no name or no path.

use std::collections::HashMap;
use std::ops::Range;
use std::sync::Arc;

use object::{Object, ObjectSection, ObjectSegment, SectionKind};

use super::bare_names::BareNames;
use super::demangle::Names;
use super::dwarf::{Inlined, Lines, Sections};
use super::elf_symbols::SymbolTable;
use super::object_file::{ObjectFile, SymbolError};

/// One function at an address.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct SymbolFunction {
    /// Demangled, without hash, otherwise as the compiler wrote it (`app::handle::{{closure}}`).
    pub(crate) name: Arc<str>,
    pub(crate) file: Option<Arc<str>>,
    /// The line being executed; for a caller the line of the call or the `.await`. 0 where unknown.
    pub(crate) line: u32,
}

/// What is known of a list of addresses of one file.
#[derive(Debug)]
pub(crate) struct Symbols {
    /// For each address the functions there, outermost first, the innermost inlined one last; empty where none
    /// was found.
    pub(crate) chains: Vec<Vec<SymbolFunction>>,
    pub(crate) debug_info: DebugInfo,
}

/// Whether lines and inlined functions could be known.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum DebugInfo {
    Read,
    /// The program was built without, or stripped.
    Absent,
    /// Addresses that need the damaged part have their name from the symbol table only.
    Damaged(String),
}

impl ObjectFile {
    /// `addresses` are the file's own (without load bias), ascending for speed, each looked up exactly: for a
    /// return address pass the one before it.
    pub(crate) fn symbolize(&self, addresses: &[u64]) -> Result<Symbols, SymbolError> {
        let object = self.parse()?;
        let table = SymbolTable::new(&object);
        let mut debug_info = DebugInfo::Read;
        let sections = Sections::load(&object).unwrap_or_else(|error| {
            debug_info = DebugInfo::Damaged(error.to_string());
            None
        });
        let lines = match sections.as_ref().map(Sections::lines) {
            Some(Ok(lines)) => Some(lines),
            Some(Err(error)) => {
                debug_info = DebugInfo::Damaged(error.to_string());
                None
            }
            None if debug_info == DebugInfo::Read => {
                debug_info = DebugInfo::Absent;
                None
            }
            None => None,
        };
        let roots = lines.as_ref().map(Lines::crate_roots).unwrap_or_default();
        let mut symbolizer = Symbolizer {
            table,
            lines,
            debug_info,
            names: Names::default(),
            bare_names: BareNames::new(self.modified(), roots),
            files: HashMap::new(),
        };
        let code = code_ranges(&object);
        let is_code = |address| code.iter().any(|range| range.contains(&address));
        let chain = |&address: &u64| {
            if is_code(address) {
                symbolizer.chain_at(address)
            } else {
                Vec::new()
            }
        };
        let chains = addresses.iter().map(chain).collect();
        Ok(Symbols {
            chains,
            debug_info: symbolizer.debug_info,
        })
    }
}

/// Debug information keeps the functions that the linker threw away, at addresses near 0 where no code is.
fn code_ranges(object: &object::File<'_>) -> Vec<Range<u64>> {
    let range = |start: u64, size: u64| start..start.saturating_add(size);
    let sections = object
        .sections()
        .filter(|section| section.kind() == SectionKind::Text);
    let sections: Vec<_> = sections
        .map(|section| range(section.address(), section.size()))
        .collect();
    if !sections.is_empty() {
        return sections;
    }
    let segments = object
        .segments()
        .filter(|segment| segment.permissions().executable());
    segments
        .map(|segment| range(segment.address(), segment.size()))
        .collect()
}

struct Symbolizer<'a> {
    table: SymbolTable<'a>,
    lines: Option<Lines<'a>>,
    debug_info: DebugInfo,
    names: Names<'a>,
    bare_names: BareNames<'a>,
    files: HashMap<String, Arc<str>>,
}

impl<'a> Symbolizer<'a> {
    fn chain_at(&mut self, address: u64) -> Vec<SymbolFunction> {
        let lines = self.lines.take();
        let mut inlined = match lines.as_ref().map(|lines| lines.inlined_at(address)) {
            Some(Ok(inlined)) => inlined,
            Some(Err(error)) => {
                self.debug_info = DebugInfo::Damaged(error.to_string());
                Vec::new()
            }
            None => Vec::new(),
        };
        if inlined.is_empty() {
            inlined.push(Inlined {
                name: None,
                file: None,
                line: 0,
            });
        }
        let mut chain: Vec<SymbolFunction> = Vec::with_capacity(inlined.len());
        for (at, inlined) in inlined.iter().rev().enumerate() {
            // Line tables alone hold no paths: the outermost function's is in the symbol table.
            let name = inlined.name.map(|raw| self.names.get(raw));
            let in_table = at == 0 && !name.as_ref().is_some_and(|name| name.is_whole);
            let from_table = if in_table {
                self.table.name_at(address)
            } else {
                None
            };
            let file = inlined
                .file
                .filter(|file| !file.is_empty())
                .map(|file| self.file(file));
            let name = match (from_table, name, &file, inlined.name) {
                (Some(raw), ..) => self.names.get(raw).text,
                (None, Some(name), Some(file), Some(raw)) if !name.is_whole => self
                    .bare_names
                    .qualified(raw, file, inlined.line)
                    .unwrap_or(name.text),
                (None, Some(name), ..) => name.text,
                (None, None, ..) => continue,
            };
            chain.push(SymbolFunction {
                name,
                file,
                line: inlined.line,
            });
        }
        drop(inlined);
        self.lines = lines;
        chain
    }

    fn file(&mut self, file: &str) -> Arc<str> {
        if let Some(known) = self.files.get(file) {
            return Arc::clone(known);
        }
        let kept: Arc<str> = file.into();
        self.files.insert(file.to_owned(), Arc::clone(&kept));
        kept
    }
}
