//! From code addresses to the functions that stand there, with file and line.

mod bare_names;
mod demangle;
mod dwarf;
mod elf_symbols;
mod object_file;
mod source;
mod symbolizer;
mod tokens;

pub(crate) use object_file::{MappedBytes, ObjectFile};
pub(crate) use symbolizer::DebugInfo;

#[cfg(test)]
mod tests;
