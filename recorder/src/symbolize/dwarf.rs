//! The debug information: the chain of inlined functions at an address, with their lines.

use std::borrow::Cow;
use std::sync::Arc;

use addr2line::LookupResult;
use gimli::{EndianSlice, RunTimeEndian};
use object::{Object, ObjectSection};

/// No section of debug information may inflate to more than this.
const MAX_SECTION_BYTES: u64 = 16 << 30;

pub(super) type Reader<'a> = EndianSlice<'a, RunTimeEndian>;

/// The sections, inflated where they were compressed. Outlives the [`Lines`] that read it.
pub(super) struct Sections<'a> {
    sections: gimli::DwarfSections<Cow<'a, [u8]>>,
    endian: RunTimeEndian,
}

/// One function at an address, as the debug information has it.
pub(super) struct Inlined<'l, 'a> {
    /// Linkage name, or the bare name where there is none.
    pub(super) name: Option<&'a [u8]>,
    pub(super) file: Option<&'l str>,
    /// 0 where unknown.
    pub(super) line: u32,
}

impl<'a> Sections<'a> {
    /// None where the file has no debug information.
    pub(super) fn load(object: &object::File<'a>) -> Result<Option<Sections<'a>>, object::Error> {
        if object.section_by_name(".debug_info").is_none() {
            return Ok(None);
        }
        let endian = if object.is_little_endian() {
            RunTimeEndian::Little
        } else {
            RunTimeEndian::Big
        };
        let sections = gimli::DwarfSections::load(|id| match object.section_by_name(id.name()) {
            Some(section) => data(&section),
            None => Ok(Cow::Borrowed(&[][..])),
        })?;
        Ok(Some(Sections { sections, endian }))
    }

    pub(super) fn lines(&self) -> Result<Lines<'_>, gimli::Error> {
        let mut dwarf = self
            .sections
            .borrow(|section| EndianSlice::new(section, self.endian));
        dwarf.populate_abbreviations_cache(gimli::AbbreviationsCacheStrategy::Duplicates);
        let dwarf = Arc::new(dwarf);
        Ok(Lines {
            context: addr2line::Context::from_arc_dwarf(Arc::clone(&dwarf))?,
            dwarf,
        })
    }
}

fn data<'a>(section: &object::Section<'a, '_>) -> Result<Cow<'a, [u8]>, object::Error> {
    let compressed = section.compressed_data()?;
    let mut size = compressed.uncompressed_size;
    if compressed.format != object::CompressionFormat::None {
        // Neither deflate nor zstd as compilers write it expands much more; a damaged size must not reserve it.
        size = size.max(1).saturating_sub(compressed.data.len() as u64 * 2000);
    }
    if size > MAX_SECTION_BYTES {
        return Ok(Cow::Borrowed(&[]));
    }
    compressed.decompress()
}

/// Lines and inlined functions by address; units are read when the first address in them is asked for.
pub(super) struct Lines<'a> {
    context: addr2line::Context<Reader<'a>>,
    dwarf: Arc<gimli::Dwarf<Reader<'a>>>,
}

impl<'a> Lines<'a> {
    /// Innermost first, empty where nothing is known.
    pub(super) fn inlined_at(&self, address: u64) -> Result<Vec<Inlined<'_, 'a>>, gimli::Error> {
        // addr2line asks for the range up to the next address.
        if address == u64::MAX {
            return Ok(Vec::new());
        }
        let mut lookup = self.context.find_frames(address);
        let mut frames = loop {
            match lookup {
                LookupResult::Output(frames) => break frames?,
                // Split debug information in files of its own: what is in this one must do.
                LookupResult::Load { continuation, .. } => {
                    lookup = addr2line::LookupContinuation::resume(continuation, None);
                }
            }
        };
        let mut chain = Vec::new();
        while let Some(frame) = frames.next()? {
            let (file, line) = frame
                .location
                .map_or((None, None), |location| (location.file, location.line));
            let name = frame.function.map(|function| function.name.slice());
            chain.push(Inlined {
                name,
                file,
                line: line.unwrap_or(0),
            });
        }
        Ok(chain)
    }

    /// (path of the root file, crate) for the crates that have code of their own in the program.
    pub(super) fn crate_roots(&self) -> Vec<(String, String)> {
        let mut roots = Vec::new();
        let mut units = self.dwarf.units();
        while let Ok(Some(header)) = units.next() {
            roots.extend(self.dwarf.unit(header).ok().and_then(|unit| crate_root(&unit)));
        }
        roots.sort();
        roots.dedup();
        roots
    }
}

/// rustc names its units like `src/main.rs/@/my_app.4c2faf61c2d5dfd7-cgu.0`.
fn crate_root(unit: &gimli::Unit<Reader<'_>>) -> Option<(String, String)> {
    let name = unit.name?.to_string().ok()?;
    let (root, part) = name.split_once("/@/")?;
    let (name, _) = part.split_once('.').filter(|(_, rest)| rest.contains("-cgu."))?;
    let folder = unit
        .comp_dir
        .and_then(|folder| folder.to_string().ok())
        .unwrap_or_default();
    let root = if root.starts_with('/') {
        root.to_owned()
    } else {
        format!("{folder}/{root}")
    };
    Some((root, name.to_owned()))
}
