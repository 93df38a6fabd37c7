//! The symbolizer against programs that `rustc` builds here and now, each kind of build once.

mod damage;
mod program;
mod speed;

use crate::symbolize::symbolizer::SymbolFunction;
use program::Program;

use super::*;

const FILE: &str = "awaits.rs";

/// (name, line) from the outermost in, for functions of the program itself.
type Chain = Vec<(String, u32)>;

fn own_chains(program: &Program, function: &str) -> Vec<Chain> {
    let chain = |functions: Vec<SymbolFunction>| -> Chain {
        let own = functions
            .into_iter()
            .filter(|function| function.file.as_ref().is_some_and(|f| f.ends_with(FILE)));
        own.map(|function| (function.name.to_string(), function.line))
            .collect()
    };
    let mut chains: Vec<Chain> = program.chains_in(function).into_iter().map(chain).collect();
    chains.sort();
    chains.dedup();
    chains
}

#[track_caller]
fn assert_has(chains: &[Chain], expected: &[(&str, u32)]) {
    let expected: Chain = expected
        .iter()
        .map(|&(name, line)| (name.to_owned(), line))
        .collect();
    assert!(chains.contains(&expected), "{expected:?} is not in {chains:#?}");
}

#[test]
fn inlined_async_fns_come_back_with_the_lines_of_their_awaits() {
    let program = Program::build("legacy-full", &["-O", "-g", "-Csymbol-mangling-version=legacy"]);
    let expected = [
        ("awaits::drive", 39),
        ("awaits::app::handle::{{closure}}", 8),
        ("awaits::app::fetch::{{closure}}", 13),
    ];
    assert_has(&own_chains(&program, "drive"), &expected);
    assert_eq!(program.debug_info(), DebugInfo::Read);
}

#[test]
fn debuginfo_1_is_as_good() {
    let program = Program::build(
        "legacy-1",
        &["-O", "-Cdebuginfo=1", "-Csymbol-mangling-version=legacy"],
    );
    let expected = [
        ("awaits::drive", 39),
        ("awaits::app::handle::{{closure}}", 8),
        ("awaits::app::fetch::{{closure}}", 13),
    ];
    assert_has(&own_chains(&program, "drive"), &expected);
}

#[test]
fn the_new_mangling_is_read_too() {
    let program = Program::build("v0-full", &["-O", "-g", "-Csymbol-mangling-version=v0"]);
    let expected = [
        ("awaits::drive", 39),
        ("awaits::app::handle::{closure#0}", 8),
        ("awaits::app::fetch::{closure#0}", 13),
    ];
    assert_has(&own_chains(&program, "drive"), &expected);
}

#[test]
fn not_inlined_functions_have_their_own_entries() {
    for (mangling, closure) in [("legacy", "{{closure}}"), ("v0", "{closure#0}")] {
        let mangled = format!("-Csymbol-mangling-version={mangling}");
        let program = Program::build(&format!("{mangling}-debug"), &["-g", &mangled]);
        let chains = own_chains(&program, "fetch");
        assert_has(&chains, &[(&format!("awaits::app::fetch::{closure}"), 13)]);
        assert!(
            chains
                .iter()
                .flatten()
                .all(|(name, _)| name.starts_with("awaits::app::fetch")),
            "{chains:?}"
        );
    }
}

#[test]
fn trait_methods_name_their_type() {
    let program = Program::build("legacy-poll", &["-O", "-g", "-Csymbol-mangling-version=legacy"]);
    assert_has(
        &own_chains(&program, "Leaf"),
        &[("<awaits::Leaf as core::future::future::Future>::poll", 24)],
    );
}

/// Such builds have no linkage names: paths are in the symbol table and in the source.
#[test]
fn line_tables_alone_name_inlined_async_fns_by_their_source() {
    for mangling in ["legacy", "v0"] {
        let mangled = format!("-Csymbol-mangling-version={mangling}");
        let flags = ["-O", "-Cdebuginfo=line-tables-only", &mangled];
        let program = Program::build(&format!("{mangling}-lines"), &flags);
        let expected = [
            ("awaits::drive", 39),
            ("awaits::app::handle::{async_fn#0}", 8),
            ("awaits::app::fetch::{async_fn#0}", 13),
        ];
        assert_has(&own_chains(&program, "drive"), &expected);
    }
}

#[test]
fn without_their_source_line_tables_name_the_module() {
    for change in ["removed", "newer"] {
        let program = Program::build(
            &format!("lines-{change}"),
            &["-O", "-Cdebuginfo=line-tables-only"],
        );
        let source = program.path.with_file_name(FILE);
        match change {
            "removed" => std::fs::remove_file(source).unwrap(),
            _ => std::fs::write(source, "async fn other() {\n\n\n\n\n\n\n\n\n\n\n\n\n\n\n}").unwrap(),
        }
        let expected = [
            ("awaits::drive", 39),
            ("awaits::{async_fn#0}", 8),
            ("awaits::{async_fn#0}", 13),
        ];
        assert_has(&own_chains(&program, "drive"), &expected);
    }
}

#[cfg(feature = "compressed-debug")]
#[test]
fn compressed_debug_information_is_inflated() {
    let flags = [
        "-O",
        "-g",
        "-Csymbol-mangling-version=legacy",
        "-Clink-arg=-Wl,--compress-debug-sections=zlib",
    ];
    let program = Program::build("compressed", &flags);
    let expected = [
        ("awaits::drive", 39),
        ("awaits::app::handle::{{closure}}", 8),
        ("awaits::app::fetch::{{closure}}", 13),
    ];
    assert_has(&own_chains(&program, "drive"), &expected);
}

#[test]
fn without_debug_information_the_symbol_table_has_the_name() {
    let program = Program::build(
        "stripped-debug",
        &["-O", "-Cstrip=debuginfo", "-Csymbol-mangling-version=legacy"],
    );
    assert_eq!(program.debug_info(), DebugInfo::Absent);
    for chain in program.chains_in("drive") {
        assert_eq!(
            chain,
            [SymbolFunction {
                name: "awaits::drive".into(),
                file: None,
                line: 0
            }]
        );
    }
}

#[test]
fn a_fully_stripped_program_has_no_names() {
    let whole = Program::build("whole", &["-O"]);
    let stripped = Program::build("stripped", &["-O", "-Cstrip=symbols"]);
    let symbols = stripped.object.symbolize(&whole.addresses_in("drive")).unwrap();
    assert!(symbols.chains.iter().all(Vec::is_empty));
    assert_eq!(symbols.debug_info, DebugInfo::Absent);
}

#[test]
fn addresses_outside_the_program_have_no_functions() {
    let program = Program::build("outside", &["-g"]);
    let symbols = program
        .object
        .symbolize(&[0, 1, u64::MAX / 2, u64::MAX - 1, u64::MAX])
        .unwrap();
    assert_eq!(symbols.chains, vec![Vec::new(); 5]);
}

#[test]
fn the_build_id_is_the_linkers() {
    let program = Program::build("id", &["-Clink-arg=-Wl,--build-id=0xDEADbeef01"]);
    assert_eq!(program.object.build_id(), "deadbeef01");
    let without = Program::build("no-id", &["-Clink-arg=-Wl,--build-id=none"]);
    assert_eq!(without.object.build_id(), "");
}
