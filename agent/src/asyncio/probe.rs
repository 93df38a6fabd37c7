//! Objects of our own making, from whose memory layouts are found out: made by a small Python program in a namespace and
//! a thread of its own, where no tracer, profiler or debugger of the program's sees it.

use std::ffi::{CStr, CString, c_char, c_int, c_void};
use std::panic::{AssertUnwindSafe, catch_unwind};

use super::interpreter::{Api, Interpreter, Object};

const MAKE: &str = include_str!("probe.py");
const UNDO: &str = include_str!("probe_end.py");
/// `Py_file_input`.
const FILE_INPUT: c_int = 257;
/// `METH_O`: a builtin of one argument.
const ONE_ARGUMENT: c_int = 8;

/// The objects, for as long as it lives.
pub(super) struct Probe<'a> {
    api: &'a Api,
    names: Object,
}

/// Runs `work` on a thread of its own, which holds the interpreter's lock instead of this one, and waits for it.
///
/// # Safety
/// This thread holds the lock.
pub(super) unsafe fn on_own_thread<T: Send>(
    interpreter: &Interpreter,
    work: impl FnOnce() -> T + Send,
) -> Option<T> {
    let api = &interpreter.api;
    // SAFETY: the lock is held, given back here and taken again below; the new thread's state is of the same
    // interpreter, and is deleted, with the lock, before the thread ends.
    unsafe {
        let which = (interpreter.renamed.interpreter)();
        let state = (api.PyEval_SaveThread)();
        let result = with_signals_blocked(|| {
            std::thread::scope(|scope| {
                let body = || {
                    let state = (api.PyThreadState_New)(which);
                    if state == 0 {
                        return None;
                    }
                    (api.PyEval_RestoreThread)(state);
                    // The lock must be given back, whatever happens.
                    let result = catch_unwind(AssertUnwindSafe(work)).ok();
                    (api.PyErr_Clear)();
                    (api.PyThreadState_Clear)(state);
                    (api.PyThreadState_DeleteCurrent)();
                    result
                };
                let thread = std::thread::Builder::new().spawn_scoped(scope, body).ok()?;
                thread.join().ok().flatten()
            })
        });
        (api.PyEval_RestoreThread)(state);
        result
    }
}

/// A new thread must not answer to the program's signals: it begins with its maker's mask.
fn with_signals_blocked<T>(work: impl FnOnce() -> T) -> T {
    // SAFETY: sets of signals, filled before they are read; the former mask is put back.
    unsafe {
        let (mut all, mut former) = (std::mem::zeroed(), std::mem::zeroed());
        libc::sigfillset(&mut all);
        libc::pthread_sigmask(libc::SIG_SETMASK, &all, &mut former);
        let result = work();
        libc::pthread_sigmask(libc::SIG_SETMASK, &former, std::ptr::null_mut());
        result
    }
}

/// CPython's `PyMethodDef`.
#[repr(C)]
struct Builtin {
    name: *const c_char,
    function: unsafe extern "C" fn(Object, Object) -> Object,
    flags: c_int,
    doc: *const c_char,
}

// SAFETY: the pointers are to constants.
unsafe impl Sync for Builtin {}

impl<'a> Probe<'a> {
    /// Makes the objects from the C module `asyncio`. `look` is called with the running frame from several functions.
    ///
    /// # Safety
    /// The interpreter's lock is held, and no exception is in flight.
    pub(super) unsafe fn make(
        interpreter: &'a Interpreter,
        asyncio: Object,
        look: unsafe extern "C" fn(Object, Object) -> Object,
    ) -> Option<Probe<'a>> {
        let api = &interpreter.api;
        // SAFETY: the lock is held.
        let names = unsafe { (api.PyDict_New)() };
        let probe = Probe { api, names };
        // Must outlive the function object that is made of it.
        let builtin = Box::leak(Box::new(Builtin {
            name: c"look".as_ptr(),
            function: look,
            flags: ONE_ARGUMENT,
            doc: std::ptr::null(),
        }));
        // SAFETY: the lock is held; every object is checked before it is used.
        unsafe {
            let sys = (api.PyDict_GetItemString)((api.PyImport_GetModuleDict)(), c"sys".as_ptr());
            let look = (api.PyCFunction_NewEx)((&raw mut *builtin).cast::<c_void>(), 0, 0);
            let given = [
                (c"__builtins__", (api.PyEval_GetBuiltins)()),
                (c"asyncio", asyncio),
                (c"sys", sys),
                (c"look", look),
            ];
            if probe.names == 0 || given.iter().any(|&(_, object)| object == 0) {
                return None;
            }
            for (name, object) in given {
                (api.PyDict_SetItemString)(probe.names, name.as_ptr(), object);
            }
            (api.Py_DecRef)(look);
        }
        probe.run(MAKE).then_some(probe)
    }

    fn run(&self, program: &str) -> bool {
        let Ok(program) = CString::new(program) else {
            return false;
        };
        // SAFETY: the lock is held.
        unsafe {
            let result = (self.api.PyRun_String)(program.as_ptr(), FILE_INPUT, self.names, self.names);
            if result == 0 {
                (self.api.PyErr_Clear)();
                return false;
            }
            (self.api.Py_DecRef)(result);
        }
        true
    }

    /// The object of that name, held by the probe.
    pub(super) fn get(&self, name: &CStr) -> Option<Object> {
        // SAFETY: the lock is held; a borrowed reference.
        let object = unsafe { (self.api.PyDict_GetItemString)(self.names, name.as_ptr()) };
        (object != 0).then_some(object)
    }
}

impl Drop for Probe<'_> {
    fn drop(&mut self) {
        self.run(UNDO);
        let api = self.api;
        // SAFETY: the lock is held.
        unsafe {
            if self.names != 0 {
                // What is made refers to the namespace: without this it would keep itself alive.
                (api.PyDict_Clear)(self.names);
                (api.Py_DecRef)(self.names);
            }
        }
    }
}

/// An attribute, as a reference of our own; None (and no exception) if there is none.
///
/// # Safety
/// The lock is held, the object alive, and no exception in flight.
pub(super) unsafe fn attribute(api: &Api, object: Object, name: &CStr) -> Option<Object> {
    // SAFETY: the caller's promise.
    unsafe {
        let found = (api.PyObject_GetAttrString)(object, name.as_ptr());
        if found == 0 {
            (api.PyErr_Clear)();
            return None;
        }
        Some(found)
    }
}
