//! What is not seen of a program that is tapped, and must be said: tasks that Python code drives. They have none of the C
//! types' slots, but asyncio is told of each by a C function that nobody else calls (up to 3.13).

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use super::interpreter::{Interpreter, Object};
use super::memory::{DEF_FUNCTION, FUNCTION_DEF, is_writable, type_of, word};
use super::probe::attribute;
use super::{tap, taps, workers};
use crate::start;

static REGISTER: AtomicU64 = AtomicU64::new(0);

/// Says what is known to be missing, and waits for what may come.
///
/// # Safety
/// The lock is held, no exception is in flight, and this is asyncio's C module, which is tapped.
pub(super) unsafe fn attach(interpreter: &Interpreter, module: Object) -> Option<()> {
    let api = &interpreter.api;
    if tap::get().is_some_and(|tap| tap.layout.links.is_none()) {
        start::tell_lack(&format!(
            "asyncprof does not understand the variables of its CPython {}, so waits are not linked to the tasks and \
             threads that ended them; please report this",
            interpreter.version
        ));
    }
    // SAFETY: the caller's promise; the module keeps its function, and that its table.
    unsafe {
        let function = attribute(api, module, c"_register_task")?;
        (api.Py_DecRef)(function);
        if type_of(function) != api.PyCFunction_Type {
            return None;
        }
        let place = word(function + FUNCTION_DEF) + DEF_FUNCTION;
        if is_writable(place) && word(place) != register_task as *const () as u64 {
            REGISTER.store(word(place), Ordering::Relaxed);
            taps::put(place, register_task as *const () as u64);
        }
    }
    Some(())
}

unsafe extern "C-unwind" fn register_task(a: u64, b: u64, c: u64, d: u64, e: u64, f: u64) -> Object {
    static IS_TOLD: AtomicBool = AtomicBool::new(false);
    if !IS_TOLD.load(Ordering::Relaxed) {
        // A fault of ours must not end the program.
        let told = std::panic::catch_unwind(|| {
            start::tell_lack(
                "it has tasks that Python code drives (asyncio.tasks._PyTask, as nest_asyncio brings them), and only \
                 those of asyncio's C module are seen",
            )
        });
        IS_TOLD.store(told.unwrap_or(true), Ordering::Relaxed);
    }
    // SAFETY: the call that was meant.
    unsafe { workers::original(&REGISTER)(a, b, c, d, e, f) }
}
