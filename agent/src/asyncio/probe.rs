//! Objects of our own making, from whose memory layouts are found out: made by a small Python program in a namespace and
//! a thread state of its own, where no tracer, profiler or debugger of the program's sees it.

use std::ffi::{CStr, CString, c_char, c_int, c_void};

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
    own_state: u64,
    program_state: u64,
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
        // SAFETY: the lock is held; a state of its own for this very thread, left again in `drop`.
        let probe = unsafe {
            let own_state = (api.PyThreadState_New)((interpreter.current)());
            if own_state == 0 {
                return None;
            }
            let program_state = (api.PyThreadState_Swap)(own_state);
            Probe {
                api,
                names: (api.PyDict_New)(),
                own_state,
                program_state,
            }
        };
        // Must outlive the function object that is made of it.
        let builtin = Box::leak(Box::new(Builtin {
            name: c"look".as_ptr(),
            function: look,
            flags: ONE_ARGUMENT,
            doc: std::ptr::null(),
        }));
        // SAFETY: the lock is held in the new state; every object is checked before it is used.
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
        // SAFETY: the lock is held in our own state.
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
        // SAFETY: the lock is held in our own state, which is cleared before it is left and deleted when it is left.
        unsafe {
            if self.names != 0 {
                // What is made refers to the namespace: without this it would keep itself alive.
                (api.PyDict_Clear)(self.names);
                (api.Py_DecRef)(self.names);
            }
            (api.PyErr_Clear)();
            (api.PyThreadState_Clear)(self.own_state);
            (api.PyThreadState_Swap)(self.program_state);
            (api.PyThreadState_Delete)(self.own_state);
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
