//! When and how the taps get into place: at the first import after asyncio's C module was loaded.

use std::ffi::{CStr, c_char, c_int, c_void};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use asyncprof_core::process_info::Tap as Told;

use super::interpreter::{self, Api, Interpreter, Object};
use super::layout;
use super::memory::{
    DEF_FUNCTION, DESCRIPTOR_DEF, FUNCTION_DEF, TYPE_CALL, TYPE_DEALLOC, TYPE_INIT, is_writable, read,
    type_of, word,
};
use super::pages;
use super::probe::{Probe, attribute, on_own_thread};
use super::tap::{self, Originals, Tap};
use super::{anyio, taps, unseen, workers};
use crate::start;

/// Asks to be told of imports. The interpreter is not initialised yet: it allows this call, and keeps it to itself.
pub(crate) fn await_import() {
    let Some((interpreter, runtime)) = interpreter::get().zip(interpreter::runtime()) else {
        return;
    };
    let before = runtime.clone().map(word_at).collect::<Vec<u64>>();
    // SAFETY: allowed before initialisation; the function lives as long as the process.
    unsafe { (interpreter.api.PySys_AddAuditHook)(on_event, std::ptr::null_mut()) };
    let head = runtime.zip(before).find(|&(at, before)| {
        let entry = word_at(at);
        let function = on_event as *const () as u64;
        entry != before && read::<3>(entry).is_some_and(|entry| entry.contains(&function))
    });
    if let Some((at, _)) = head {
        HOOK.store(word_at(at), Ordering::Relaxed);
        FIRST_HOOK.store(at, Ordering::Relaxed);
    }
}

/// Our entry in the interpreter's list of hooks, and where that list begins.
static HOOK: AtomicU64 = AtomicU64::new(0);
static FIRST_HOOK: AtomicU64 = AtomicU64::new(0);

/// A word of the interpreter's own.
fn word_at(address: u64) -> u64 {
    // SAFETY: within its variable, which lives as long as the process.
    unsafe { word(address) }
}

/// Takes our hook from the list, whose entries are about to be freed. It was made before the interpreter chose its
/// allocator: with `-X dev` another one would free it, and find it damaged.
fn take_hook_out() {
    let (first, hook) = (FIRST_HOOK.load(Ordering::Relaxed), HOOK.load(Ordering::Relaxed));
    if first != 0 && word_at(first) == hook {
        // SAFETY: an entry begins with the next one's address, and the interpreter's variable may be written.
        unsafe { (first as *mut u64).write(word(hook)) };
    }
}

/// Called with every audit event, with the lock held and no exception in flight. Its result lets the program go on.
unsafe extern "C" fn on_event(event: *const c_char, args: Object, _data: *mut c_void) -> c_int {
    // SAFETY: a C string.
    let event = unsafe { CStr::from_ptr(event) };
    if event == c"cpython._PySys_ClearAuditHooks" {
        take_hook_out();
    } else if event == c"import" {
        // A fault of ours must not end the program.
        let _ = std::panic::catch_unwind(|| {
            // SAFETY: as said above.
            unsafe { on_import(args) }
        });
    }
    0
}

/// The C module that was last seen. Another interpreter has one of its own.
static MODULE: AtomicU64 = AtomicU64::new(0);

/// asyncio's C module is there when modules of asyncio are imported that come after it: before any task.
unsafe fn on_import(args: Object) -> Option<()> {
    let interpreter = interpreter::get()?;
    let api = &interpreter.api;
    // SAFETY: the event's arguments are a tuple that begins with the module's name; borrowed references.
    unsafe {
        let name = (api.PyTuple_GetItem)(args, 0);
        if name == 0 || type_of(name) != api.PyUnicode_Type {
            (api.PyErr_Clear)();
            return None;
        }
        let mut len = 0;
        let text = (api.PyUnicode_AsUTF8AndSize)(name, &mut len);
        if text.is_null() {
            (api.PyErr_Clear)();
            return None;
        }
        let text = std::slice::from_raw_parts(text, len as usize);
        if tap::get().is_some() {
            on_import_of_pool(interpreter, text);
        }
        if !text.starts_with(b"asyncio.") {
            return None;
        }
        let module = (api.PyDict_GetItemString)((api.PyImport_GetModuleDict)(), c"_asyncio".as_ptr());
        if module == 0 || MODULE.load(Ordering::Relaxed) == module {
            return None;
        }
        if !is_initialised(api, module)? {
            return None;
        }
        MODULE.store(module, Ordering::Relaxed);
        let task_type = attribute(api, module, c"Task")?;
        (api.Py_DecRef)(task_type);
        if word(task_type + TYPE_INIT) == taps::task_init as *const () as u64 {
            // Loaded anew, with the same types.
            return None;
        }
        attach(interpreter, module);
        if tap::get().is_some() {
            attach_workers(interpreter);
        }
    }
    Some(())
}

/// The C module behind the pools' queues.
const QUEUES: &CStr = c"_queue";

/// The program is about to import what gives work to threads.
unsafe fn on_import_of_pool(interpreter: &'static Interpreter, name: &[u8]) {
    static BUSY: AtomicBool = AtomicBool::new(false);
    let api = &interpreter.api;
    // SAFETY: the lock is held, and no exception is in flight.
    unsafe {
        if name.starts_with(b"anyio.") {
            // Its part that has to do with asyncio is imported without an event.
            anyio::attach(interpreter);
        } else if name == QUEUES.to_bytes() && !BUSY.swap(true, Ordering::Relaxed) {
            // No event comes between this import and the first use, so it is done now: the program finds it done.
            let module = (api.PyImport_ImportModule)(QUEUES.as_ptr());
            if module == 0 {
                (api.PyErr_Clear)();
            } else {
                (api.Py_DecRef)(module);
                attach_workers(interpreter);
            }
            BUSY.store(false, Ordering::Relaxed);
        }
    }
}

/// Puts the taps of what gives work to threads in place, as far as it is loaded.
unsafe fn attach_workers(interpreter: &'static Interpreter) {
    let api = &interpreter.api;
    // SAFETY: the lock is held; borrowed references.
    unsafe {
        let loaded = |name: &CStr| (api.PyDict_GetItemString)((api.PyImport_GetModuleDict)(), name.as_ptr());
        match loaded(QUEUES) {
            0 => {}
            module => drop(workers::attach(interpreter, module)),
        }
        if loaded(c"anyio") != 0 {
            anyio::attach(interpreter);
        }
    }
}

/// The module itself imports modules of asyncio before it is ready.
unsafe fn is_initialised(api: &Api, module: Object) -> Option<bool> {
    // SAFETY: the caller holds the lock; each object is held while it is asked.
    unsafe {
        let spec = attribute(api, module, c"__spec__")?;
        let initialising = attribute(api, spec, c"_initializing");
        (api.Py_DecRef)(spec);
        let initialising = initialising?;
        let answer = (api.PyObject_IsTrue)(initialising);
        (api.Py_DecRef)(initialising);
        Some(answer == 0)
    }
}

/// # Safety
/// The lock is held, and no exception is in flight.
unsafe fn attach(interpreter: &'static Interpreter, module: Object) {
    static BUSY: AtomicBool = AtomicBool::new(false);
    if BUSY.swap(true, Ordering::Acquire) {
        return;
    }
    pages::prepare();
    // SAFETY: the caller's promise.
    let found = unsafe {
        on_own_thread(interpreter, || {
            layout::find(interpreter, module, |probe, layout| {
                slots(interpreter, probe, layout)
            })
        })
        .unwrap_or(Err("threads"))
    };
    match found {
        Ok(slots) => {
            join();
            // SAFETY: the lock is held, and each is the place of a function that ours stands in for.
            unsafe {
                slots.patch();
                unseen::attach(interpreter, module);
            }
        }
        Err(what) => start::join_late(Told::Refused {
            reason: format!(
                "asyncprof does not understand the {what} of its CPython {}; please report this",
                interpreter.version
            ),
        }),
    }
    BUSY.store(false, Ordering::Release);
}

/// This process is in the recording from now on: the tap is known.
pub(super) fn join() {
    if let Some((interpreter, tap)) = interpreter::get().zip(tap::get()) {
        start::join_late(Told::Asyncio {
            python: interpreter.version.clone(),
            layout: tap.layout.stack.clone(),
        });
    }
}

/// Where our functions go.
struct Slots(Vec<(u64, u64)>);

impl Slots {
    unsafe fn patch(&self) {
        for &(slot, function) in &self.0 {
            // SAFETY: the caller's promise.
            unsafe { taps::put(slot, function) };
        }
    }
}

/// Finds the slots, and notes what is in them now.
fn slots(interpreter: &'static Interpreter, probe: &Probe<'_>, layout: layout::Layout) -> Option<Slots> {
    let api = &interpreter.api;
    let (task, future) = (probe.get(c"task")?, probe.get(c"future")?);
    // SAFETY: live objects of known types; descriptors and builtin functions have tables of known shape.
    unsafe {
        let (task_type, future_type) = (type_of(task), type_of(future));
        let step_type = type_of(probe.get(c"step")?);
        let wakeup = word(future + layout.task.callback);
        let wakeup_type = type_of(wakeup);
        let is_builtin = wakeup_type == api.PyCFunction_Type;
        let wakeup_def = if is_builtin {
            word(wakeup + FUNCTION_DEF)
        } else {
            0
        };
        let wakeup_slot = if is_builtin {
            wakeup_def + DEF_FUNCTION
        } else {
            wakeup_type + TYPE_CALL
        };
        let places = [
            step_type + TYPE_CALL,
            wakeup_slot,
            task_type + TYPE_INIT,
            task_type + TYPE_DEALLOC,
        ];
        let ours = [
            taps::step as *const () as u64,
            if is_builtin {
                taps::wakeup_function as *const () as u64
            } else {
                taps::wakeup_object as *const () as u64
            },
            taps::task_init as *const () as u64,
            taps::task_dealloc as *const () as u64,
        ];
        let mut slots: Vec<(u64, u64)> = places.into_iter().zip(ours).collect();
        let endings = [
            (c"set_result", taps::set_result as *const () as u64),
            (c"set_exception", taps::set_exception as *const () as u64),
            (c"cancel", taps::cancel as *const () as u64),
        ];
        for ((name, function), original) in endings.into_iter().zip(&taps::ENDINGS) {
            let slot = method_slot(interpreter, future_type, name)?;
            if word(slot) != function {
                original.store(word(slot), Ordering::Relaxed);
                slots.push((slot, function));
            }
        }
        if let Some(known) = tap::get() {
            // A further interpreter's types, or a module loaded anew: the functions in them are the same.
            let known = known.originals;
            let originals = [known.step, known.wakeup, known.task_init, known.task_dealloc];
            slots.retain(|&(slot, function)| word(slot) != function);
            let is_same = slots
                .iter()
                .filter_map(|&(slot, function)| {
                    let at = ours.iter().position(|&known| known == function)?;
                    Some(word(slot) == originals[at])
                })
                .all(|is_same| is_same);
            return is_same.then_some(Slots(slots));
        }
        let is_usable = |slot: u64| is_writable(slot) && word(slot) != 0;
        if !slots.iter().all(|&(slot, _)| is_usable(slot)) {
            return None;
        }
        tap::set(Tap {
            api,
            renamed: &interpreter.renamed,
            originals: Originals {
                step: word(places[0]),
                wakeup: word(places[1]),
                task_init: word(places[2]),
                task_dealloc: word(places[3]),
            },
            wakeup_type,
            wakeup_def,
            future_type,
            task_type,
            layout,
        });
        Some(Slots(slots))
    }
}

/// Where the function of a builtin type's method is.
///
/// # Safety
/// The lock is held, no exception is in flight, and this is a type.
pub(super) unsafe fn method_slot(interpreter: &Interpreter, of: Object, name: &CStr) -> Option<u64> {
    let api = &interpreter.api;
    // SAFETY: types keep their descriptors, and those their tables.
    unsafe {
        let descriptor = attribute(api, of, name)?;
        (api.Py_DecRef)(descriptor);
        (type_of(descriptor) == api.PyMethodDescr_Type)
            .then(|| word(descriptor + DESCRIPTOR_DEF) + DEF_FUNCTION)
    }
}
