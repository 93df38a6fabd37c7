//! From code addresses to the functions that stand there, with file and line.

mod bare_names;
mod debug_files;
mod demangle;
mod dwarf;
mod elf_symbols;
mod object_file;
mod source;
mod symbolizer;
mod tokens;

pub use debug_files::DebugFiles;
pub(crate) use object_file::{MappedBytes, ObjectFile};
pub(crate) use symbolizer::{DebugInfo, SymbolFunction};

#[cfg(test)]
mod tests;
