//! Files that are not what they should be: an error or missing names, never a panic.

use std::fs;
use std::path::Path;

use super::super::object_file::SymbolError;
use super::super::*;
use super::program::Program;

fn open_bytes(beside: &Program, bytes: &[u8]) -> Result<ObjectFile, SymbolError> {
    let path = beside.path.with_extension("damaged");
    // A new file each time: the one before is still mapped.
    let _ = fs::remove_file(&path);
    fs::write(&path, bytes).unwrap();
    ObjectFile::open(&path)
}

#[test]
fn what_is_no_object_file_is_refused_by_name() {
    let missing = ObjectFile::open("/no/such/file").unwrap_err().to_string();
    assert!(
        missing.contains("/no/such/file") && missing.contains("No such file"),
        "{missing}"
    );
    let directory = ObjectFile::open("/").unwrap_err();
    assert!(matches!(directory, SymbolError::NotElf { .. }), "{directory}");
    let device = ObjectFile::open("/dev/null").unwrap_err();
    assert!(matches!(device, SymbolError::NotElf { .. }), "{device}");
    let text = ObjectFile::open(Path::new(env!("CARGO_MANIFEST_DIR")).join("Cargo.toml")).unwrap_err();
    assert!(matches!(text, SymbolError::NotElf { .. }), "{text}");
}

#[test]
fn truncated_files_never_panic() {
    let program = Program::build("truncated", &["-O", "-g"]);
    let (bytes, addresses) = (fs::read(&program.path).unwrap(), program.addresses_in("drive"));
    assert!(matches!(
        open_bytes(&program, &[]),
        Err(SymbolError::Io { .. } | SymbolError::NotElf { .. })
    ));
    for part in 0..40 {
        if let Ok(object) = open_bytes(&program, &bytes[..bytes.len() / 40 * part + part]) {
            let _ = (object.build_id(), object.symbolize(&addresses));
        }
    }
    let cut = open_bytes(&program, &bytes[..bytes.len() / 2]).unwrap_err();
    assert!(matches!(cut, SymbolError::Damaged { .. }), "{cut}");
}

/// Bytes changed in the headers, the symbol table and the debug information of a program.
#[test]
fn damaged_files_never_panic() {
    let program = Program::build("damaged", &["-O", "-g", "-Cstrip=none"]);
    let (bytes, addresses) = (fs::read(&program.path).unwrap(), program.addresses_in("drive"));
    let rounds = std::env::var("DAMAGE_ROUNDS").map_or(150, |rounds| rounds.parse().unwrap());
    let mut random = 0x9e37_79b9_7f4a_7c15_u64;
    let mut next = |below: usize| {
        random ^= random << 13;
        random ^= random >> 7;
        random ^= random << 17;
        (random % below as u64) as usize
    };
    let own_debug_info = own_debug_info(&bytes);
    for round in 0..rounds {
        let mut damaged = bytes.clone();
        let range = match round % 4 {
            0 => 0..64,
            1 => bytes.len() - 3000..bytes.len(),
            2 => own_debug_info.clone(),
            _ => 0..bytes.len(),
        };
        for _ in 0..1 + next(30) {
            damaged[range.start + next(range.len())] = next(256) as u8;
        }
        if let Ok(object) = open_bytes(&program, &damaged) {
            let _ = (object.build_id(), object.symbolize(&addresses));
        }
    }
}

/// Where the program's own unit is, before those of the standard library.
fn own_debug_info(bytes: &[u8]) -> std::ops::Range<usize> {
    use object::{Object, ObjectSection};
    let object = object::File::parse(bytes).unwrap();
    let (start, size) = object
        .section_by_name(".debug_info")
        .unwrap()
        .file_range()
        .unwrap();
    start as usize..(start + size.min(1500)) as usize
}
