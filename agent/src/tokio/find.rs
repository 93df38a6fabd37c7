//! Finds tokio's tables in the program and puts our functions into them.
//!
//! A table is recognised by what stands in it: pointers to functions whose symbols are the ones that tokio puts
//! there, in tokio's order. Nothing is patched unless every part of a table is what it should be.

use std::collections::HashMap;
use std::ops::Range;
use std::sync::atomic::AtomicBool;

use asyncprof_core::process_info::{Tap, TaskTable as TaskTableInfo};

use super::arc_wakers::Callees;
use super::cull::StayedTable;
use super::left_out::LeftOutTable;
use super::roles::{self, Roles};
use super::tables::{
    CloneFn, MAX_RELAY_TABLES, MAX_TOKIO_TABLES, TASK_TABLES, TaskFn, TaskTable, TaskTables, WAKER_TABLES,
    WakerFn, WakerKind, WakerTable, slot,
};
use super::version::Version;
use super::{task_taps, waker_entries};
use crate::elf::ElfFile;
use crate::modules::Module;
use crate::patch;

/// Free low bits in a pointer to what `block_on` parks on, or to what any `Arc` holds: it lies beside words.
const WORD_TAG_MASK: u64 = 7;

/// What was found and is to be patched in one stretch of memory that the loader made read-only.
#[derive(Default)]
struct Found {
    task_tables: Vec<u64>,
    waker_tables: Vec<(u64, WakerKind)>,
}

/// Patches the tokio in the program, if there is one that we know.
pub(crate) fn attach(program: &Module, allow_unknown_version: bool) -> Tap {
    let refused = |reason: String| Tap::Refused { reason };
    let Ok(file) = ElfFile::open(&program.path) else {
        return Tap::NoRuntime;
    };
    let debug_file = match file.functions() {
        Some(_) => None,
        None => file.debug_file(),
    };
    let Some(functions) = debug_file.as_ref().unwrap_or(&file).functions() else {
        return match Version::in_program(program) {
            None => Tap::NoRuntime,
            Some(version) => refused(format!(
                "it holds tokio {version} but no symbols, so tokio's task tables cannot be told from other data; \
                 build it without `strip = true`/`\"symbols\"` in the profile (`strip = \"debuginfo\"` is fine), or give \
                 `record` the folder with its debug file, --symbols DIR"
            )),
        };
    };
    let roles = roles::roles(&functions, program.bias);
    // Other programs have wakers, too.
    if !roles.values().any(|role| role & roles::TOKIO != 0) {
        return Tap::NoRuntime;
    }
    // Reads all of the program: not before it is needed.
    let version = match Version::in_program(program) {
        Some(version) if version.is_known() || allow_unknown_version => version,
        Some(version) => {
            return refused(format!(
                "it holds tokio {version}, and this asyncprof knows {}; use one of those, or try \
                 --allow-unknown-tokio if its task layout has not changed",
                Version::known()
            ));
        }
        None => {
            return refused(
                "it holds a tokio of unknown version (its source paths were removed from the binary); build \
                 without `--remap-path-prefix`/`trim-paths`"
                    .into(),
            );
        }
    };
    let callees = Callees::new(&functions, program);
    let mut found = Vec::new();
    for range in constant_data(program) {
        let tables = scan(&range, &roles, program, &callees);
        if !tables.task_tables.is_empty() || !tables.waker_tables.is_empty() {
            found.push((range, tables));
        }
    }
    let tasks: Vec<u64> = found
        .iter()
        .flat_map(|(_, found)| found.task_tables.iter().copied())
        .collect();
    let wakers: Vec<_> = found
        .iter()
        .flat_map(|(_, found)| found.waker_tables.iter().copied())
        .collect();
    if tasks.is_empty() {
        return refused(format!(
            "it holds tokio {version}, but no task table was found: it spawns no task, or its \
                                build hides tokio's functions"
        ));
    }
    let of_tokio = wakers
        .iter()
        .filter(|(_, kind)| *kind != WakerKind::Relay)
        .count();
    if !wakers.iter().any(|(_, kind)| *kind == WakerKind::Task) || of_tokio > MAX_TOKIO_TABLES {
        return refused(format!(
            "it holds tokio {version} with {of_tokio} waker tables, and its task waker's could not be \
                                told; please report this program's build settings"
        ));
    }
    if address_space_is_limited() {
        return refused(
            "its address space is limited, and what the recording takes of it (some 120 MiB, and 4 MiB a thread) could \
             make its own allocations fail; start it without `ulimit -v`"
                .into(),
        );
    }
    match install(found, version) {
        Ok(task_tables) => Tap::Tokio {
            version: version.to_string(),
            task_tables,
            waker_tables: wakers.len().min(of_tokio + MAX_RELAY_TABLES) as u32,
        },
        Err(error) => refused(format!("its tables could not be made writable: {error}")),
    }
}

fn address_space_is_limited() -> bool {
    let mut limit = libc::rlimit {
        rlim_cur: 0,
        rlim_max: 0,
    };
    // SAFETY: `limit` is valid to write to.
    let known = unsafe { libc::getrlimit(libc::RLIMIT_AS, &mut limit) } == 0;
    known && limit.rlim_cur != libc::RLIM_INFINITY
}

/// Where constants with pointers in them lie: the part that the loader relocates and then protects; in a program
/// that is not relocated, all data that is not written to.
fn constant_data(program: &Module) -> Vec<Range<u64>> {
    let relocated = program.segment(libc::PT_GNU_RELRO, 0);
    let read_only = program.segments.iter().filter(|segment| {
        program.bias == 0
            && segment.p_type == libc::PT_LOAD
            && segment.p_flags & (libc::PF_W | libc::PF_X) == 0
    });
    relocated
        .into_iter()
        .chain(read_only.map(|segment| {
            let range = program.range_of(segment);
            // Protected as a whole, unlike the relocated part's last page.
            range.start..range.end.next_multiple_of(patch::PAGE)
        }))
        .collect()
}

fn scan(range: &Range<u64>, roles: &HashMap<u64, Roles>, program: &Module, callees: &Callees<'_>) -> Found {
    // Cheap test before the lookup: within the addresses that have roles at all.
    let (Some(low), Some(high)) = (roles.keys().min().copied(), roles.keys().max().copied()) else {
        return Found::default();
    };
    // The protected range ends with a page in memory, but its last part may lie beyond the file's data.
    let Some(mapped) = program.load_segment_at(range.start) else {
        return Found::default();
    };
    let range = range.start.next_multiple_of(8)..range.end.min(mapped.end) & !7;
    if range.is_empty() {
        return Found::default();
    }
    // SAFETY: mapped and readable for the life of the process; nobody writes to it while we look.
    let words: &[u64] = unsafe {
        std::slice::from_raw_parts(
            range.start as *const u64,
            ((range.end - range.start) / 8) as usize,
        )
    };
    let has = |at: usize, role: Roles| {
        words
            .get(at)
            .and_then(|word| roles.get(word))
            .is_some_and(|r| r & role != 0)
    };
    let mut found = Found::default();
    for (at, word) in words.iter().enumerate() {
        if *word < low || *word > high {
            continue;
        }
        let address = range.start + at as u64 * 8;
        let is_task_table = has(at, roles::POLL)
            && has(at + slot::SCHEDULE as usize, roles::SCHEDULE)
            && has(at + slot::DEALLOC as usize, roles::DEALLOC)
            && has(at + slot::SHUTDOWN as usize, roles::SHUTDOWN)
            && words
                .get(at + slot::ID_OFFSET as usize)
                .is_some_and(|offset| (32..4096).contains(offset) && offset % 8 == 0);
        if is_task_table {
            found.task_tables.push(address);
        }
        // One of the four may bear another function's name, if the linker has merged the two.
        let is_waker_table = |family: [Roles; 4]| {
            (0..4).filter(|&i| has(at + i, family[i])).count() >= 3 && has(at, family[0])
        };
        if is_waker_table(roles::TASK_WAKER) {
            found.waker_tables.push((address, WakerKind::Task));
        } else if is_waker_table(roles::PARK_WAKER) {
            found.waker_tables.push((address, WakerKind::Root));
        } else if is_waker_table(roles::ARC_WAKER) {
            if callees.wake_a_scheduler([words[at + 1], words[at + 2]]) {
                found.waker_tables.push((address, WakerKind::Root));
            }
        } else if is_waker_table(roles::RELAY_WAKER) {
            found.waker_tables.push((address, WakerKind::Relay));
        }
    }
    found
}

/// Notes the originals, then replaces them.
fn install(found: Vec<(Range<u64>, Found)>, version: Version) -> std::io::Result<Vec<TaskTableInfo>> {
    let (mut task_tables, mut left_out, mut stayed) = (Vec::new(), Vec::new(), Vec::new());
    let (mut patches, mut clones) = (Vec::new(), Vec::new());
    let (mut wakers, mut relays) = (0, 0);
    for (range, found) in found {
        let (mut words, mut clone_words) = (Vec::new(), Vec::new());
        for address in found.task_tables {
            let index = task_tables.len() as u16;
            // SAFETY: `scan` has seen a whole task table here, of functions of these types.
            let table = unsafe { task_table(address, index) };
            // SAFETY: as above; the range is mapped.
            left_out.push(unsafe { LeftOutTable::of(&table, range.end) });
            // SAFETY: as above.
            stayed.push(unsafe { StayedTable::of(&table, range.end) });
            task_tables.push(table);
            words.extend(task_taps::taps().map(|(slot, tap)| (address + slot * 8, tap)));
        }
        for (address, kind) in found.waker_tables {
            if kind == WakerKind::Relay {
                if relays == MAX_RELAY_TABLES {
                    continue;
                }
                relays += 1;
            }
            let tag_mask = if kind == WakerKind::Task {
                version.task_tag_mask()
            } else {
                WORD_TAG_MASK
            };
            // SAFETY: `scan` has seen a whole waker table here.
            let _ = WAKER_TABLES[wakers].set(unsafe { waker_table(address, kind, tag_mask) });
            let [clone, others @ ..] = waker_entries::of_table(wakers);
            clone_words.push((address, clone));
            words.extend(
                (8..)
                    .step_by(8)
                    .zip(others)
                    .map(|(at, entry)| (address + at, entry)),
            );
            wakers += 1;
        }
        patches.push((range.clone(), words));
        clones.push((range, clone_words));
    }
    let infos = task_tables.iter().map(|table: &TaskTable| TaskTableInfo {
        poll_address: table.poll as *const () as u64,
    });
    let infos = infos.collect();
    let _ = TASK_TABLES.set(TaskTables::new(task_tables, left_out, stayed));
    // Clones carry tags, which only our functions know: other threads must find those in place before the first clone.
    for (range, words) in patches.into_iter().chain(clones) {
        // SAFETY: the ranges were scanned, the addresses lie in them, and our functions have the originals' types.
        unsafe { patch::write_words(range, &words)? };
    }
    Ok(infos)
}

/// # Safety
/// A whole task table lies at `address`.
unsafe fn task_table(address: u64, index: u16) -> TaskTable {
    const _: () = assert!(slot::LEN > slot::ID_OFFSET && slot::ID_OFFSET > slot::SHUTDOWN);
    // SAFETY: the caller's promise; functions of one pointer have one calling convention on this target.
    let function = |slot: u64| unsafe { *((address + slot * 8) as *const TaskFn) };
    TaskTable {
        address,
        index,
        poll: function(slot::POLL),
        schedule: function(slot::SCHEDULE),
        dealloc: function(slot::DEALLOC),
        shutdown: function(slot::SHUTDOWN),
        // SAFETY: the caller's promise.
        id_offset: unsafe { *((address + slot::ID_OFFSET * 8) as *const u64) },
        seen: AtomicBool::new(false),
        stayed_in: None,
    }
}

/// # Safety
/// A whole waker table lies at `address`.
unsafe fn waker_table(address: u64, kind: WakerKind, tag_mask: u64) -> WakerTable {
    // SAFETY: the caller's promise; functions of one pointer have one calling convention on this target.
    let function = |slot: u64| unsafe { *((address + slot * 8) as *const WakerFn) };
    WakerTable {
        address,
        kind,
        tag_mask,
        // SAFETY: as above; a pair of pointers is returned in the same two registers.
        clone: unsafe { *(address as *const CloneFn) },
        wake: function(1),
        wake_by_ref: function(2),
        drop: function(3),
    }
}
