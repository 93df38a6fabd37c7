//! The symbol table: which function an address belongs to where there is no debug information.

use object::{Object, ObjectSection, ObjectSymbol, SymbolIndex, SymbolKind};

/// The functions of `.symtab` and `.dynsym` by address. Names are fetched on a hit only.
pub(super) struct SymbolTable<'a> {
    object: &'a object::File<'a>,
    /// Ascending, one per address.
    functions: Vec<Entry>,
}

#[derive(Clone, Copy)]
struct Entry {
    start: u64,
    end: u64,
    name: NameAt,
}

#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum NameAt {
    Static(usize),
    Dynamic(usize),
}

impl<'a> SymbolTable<'a> {
    pub(super) fn new(object: &'a object::File<'a>) -> SymbolTable<'a> {
        let static_names = object
            .symbols()
            .map(|symbol| (NameAt::Static(symbol.index().0), symbol));
        let dynamic_names = object
            .dynamic_symbols()
            .map(|symbol| (NameAt::Dynamic(symbol.index().0), symbol));
        let functions = static_names
            .chain(dynamic_names)
            .filter(|(_, symbol)| symbol.kind() == SymbolKind::Text && symbol.is_definition())
            .map(|(name, symbol)| (symbol.is_local(), symbol.section_index(), entry(name, &symbol)));
        let mut functions: Vec<_> = functions.collect();
        // Of several names for one address: one with a size, a global one, the first in the table.
        functions.sort_unstable_by_key(|(local, _, at)| (at.start, at.end == at.start, *local, at.name));
        functions.dedup_by_key(|(_, _, at)| at.start);

        // Hand-written assembly has no sizes: such a function ends where the next one, or its section, does.
        let section_end = |index| {
            let section = object.section_by_index(index).ok()?;
            section.address().checked_add(section.size())
        };
        let mut next_start = u64::MAX;
        for (_, section, at) in functions.iter_mut().rev() {
            if at.end == at.start {
                at.end = section.and_then(section_end).unwrap_or(at.start).min(next_start);
            }
            next_start = at.start;
        }
        SymbolTable {
            object,
            functions: functions.into_iter().map(|(_, _, at)| at).collect(),
        }
    }

    /// The mangled name of the function around this address.
    pub(super) fn name_at(&self, address: u64) -> Option<&'a [u8]> {
        let after = self.functions.partition_point(|at| at.start <= address);
        let at = self.functions[..after].last().filter(|at| address < at.end)?;
        let symbol = match at.name {
            NameAt::Static(index) => self.object.symbol_by_index(SymbolIndex(index)).ok()?,
            NameAt::Dynamic(index) => {
                let table = object::ObjectSymbolTable::symbol_by_index;
                table(&self.object.dynamic_symbol_table()?, SymbolIndex(index)).ok()?
            }
        };
        symbol.name_bytes().ok().filter(|name| !name.is_empty())
    }
}

fn entry<'a>(name: NameAt, symbol: &impl ObjectSymbol<'a>) -> Entry {
    let start = symbol.address();
    Entry {
        start,
        end: start.saturating_add(symbol.size()),
        name,
    }
}
