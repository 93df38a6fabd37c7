//! How long a large file takes, for looking at: `SYMBOLS_OF=file cargo test -p asyncprof-cli -- --ignored --nocapture speed`.

use std::time::Instant;

use object::{Object, ObjectSymbol, SymbolKind};

use super::super::*;

const ADDRESSES: usize = 50_000;

#[test]
#[ignore = "measures a file given in SYMBOLS_OF"]
fn speed() {
    let path = std::env::var("SYMBOLS_OF").expect("SYMBOLS_OF names a file");
    let file = ObjectFile::open(&path).unwrap();
    let object = file.parse().unwrap();
    let text = object
        .symbols()
        .chain(object.dynamic_symbols())
        .filter(|symbol| symbol.kind() == SymbolKind::Text);
    let mut functions: Vec<_> = text
        .map(|symbol| (symbol.address(), symbol.size()))
        .filter(|at| at.1 > 0)
        .collect();
    functions.sort_unstable();
    functions.dedup();
    let mut addresses: Vec<u64> = (0..ADDRESSES)
        .map(|at| {
            let (start, size) = functions[at * functions.len() / ADDRESSES];
            start + at as u64 * 7919 % size
        })
        .collect();
    addresses.sort_unstable();
    addresses.dedup();

    let started = Instant::now();
    file.symbolize(&[]).unwrap();
    let opened = started.elapsed();
    let started = Instant::now();
    let symbols = file.symbolize(&addresses).unwrap();
    let all = started.elapsed();
    let named = symbols.chains.iter().filter(|chain| !chain.is_empty()).count();
    let functions: usize = symbols.chains.iter().map(Vec::len).sum();
    println!(
        "{} MB, {:?}: open {opened:?}, {} addresses {all:?}, {named} named, {functions} functions",
        std::fs::metadata(&path).unwrap().len() / 1_000_000,
        symbols.debug_info,
        addresses.len(),
    );
}
