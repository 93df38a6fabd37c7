//! What the program's functions can be to us, told by their names.

use std::collections::HashMap;

use memchr::memmem::Finder;

use crate::elf::Function;

/// Bits, for one address can be several functions: the linker merges equal code.
pub(super) type Roles = u32;

pub(super) const POLL: Roles = 1;
pub(super) const SCHEDULE: Roles = 1 << 1;
pub(super) const DEALLOC: Roles = 1 << 2;
pub(super) const SHUTDOWN: Roles = 1 << 3;
/// The four functions of a task's waker, of a parked thread's, of tokio's own `Arc` wakers and of everybody
/// else's, in table order.
pub(super) const TASK_WAKER: [Roles; 4] = [1 << 4, 1 << 5, 1 << 6, 1 << 7];
pub(super) const PARK_WAKER: [Roles; 4] = [1 << 8, 1 << 9, 1 << 10, 1 << 11];
pub(super) const ARC_WAKER: [Roles; 4] = [1 << 12, 1 << 13, 1 << 14, 1 << 15];
pub(super) const RELAY_WAKER: [Roles; 4] = [1 << 16, 1 << 17, 1 << 18, 1 << 19];
/// All that are tokio's own.
pub(super) const TOKIO: Roles = RELAY_WAKER[0] - 1;

const TASK: [(&str, Roles); 4] = [
    ("poll", POLL),
    ("schedule", SCHEDULE),
    ("dealloc", DEALLOC),
    ("shutdown", SHUTDOWN),
];
const ARC_RAW: [&str; 4] = [
    "clone_arc_raw",
    "wake_arc_raw",
    "wake_by_ref_arc_raw",
    "drop_arc_raw",
];

/// Modules with the functions of a waker's table.
const WAKERS: [(&str, [&str; 4], [Roles; 4]); 6] = [
    (
        "tokio::runtime::task::waker",
        ["clone_waker", "wake_by_val", "wake_by_ref", "drop_waker"],
        TASK_WAKER,
    ),
    (
        "tokio::runtime::park",
        ["clone", "wake", "wake_by_ref", "drop_waker"],
        PARK_WAKER,
    ),
    ("tokio::util::wake", ARC_RAW, ARC_WAKER),
    // `Waker::from(Arc<impl Wake>)`
    (
        "alloc::task::raw_waker",
        ["clone_waker", "wake", "wake_by_ref", "drop_waker"],
        RELAY_WAKER,
    ),
    ("futures_task::waker", ARC_RAW, RELAY_WAKER),
    (
        "futures_util::stream::futures_unordered::task::waker_ref",
        ARC_RAW,
        RELAY_WAKER,
    ),
];

/// The roles of each function of the program, by run-time address.
pub(super) fn roles(functions: &[Function<'_>], bias: u64) -> HashMap<u64, Roles> {
    let mut roles = HashMap::new();
    // Demangling is slow and programs have many symbols: look for a part of the name first.
    let parts = ["5tokio", "9raw_waker", "_arc_raw"].map(Finder::new);
    for Function { mangled, address, .. } in functions {
        if parts.iter().all(|part| part.find(mangled).is_none()) {
            continue;
        }
        let Some(name) = std::str::from_utf8(mangled)
            .ok()
            .and_then(|m| rustc_demangle::try_demangle(m).ok())
        else {
            continue;
        };
        let name = format!("{name:#}");
        let path = name.split("::<").next().unwrap_or(&name);
        if let Some(role) = role_of(path) {
            *roles.entry(bias.wrapping_add(*address)).or_default() |= role;
        }
    }
    roles
}

fn role_of(path: &str) -> Option<Roles> {
    let (module, function) = path.rsplit_once("::")?;
    if module == "tokio::runtime::task::raw" {
        return TASK
            .iter()
            .find(|(known, _)| *known == function)
            .map(|(_, role)| *role);
    }
    let (_, functions, roles) = WAKERS.iter().find(|(known, ..)| *known == module)?;
    functions
        .iter()
        .position(|known| *known == function)
        .map(|at| roles[at])
}
