//! The interpreter in this process, if there is one: what we call of it, found by the names of its C API.

use std::ffi::{CStr, c_char, c_int, c_long, c_void};
use std::sync::OnceLock;

use crate::elf;

/// Address of a Python object; 0 for none.
pub(super) type Object = u64;

/// Versions whose layouts we can find out by ourselves, and have tried or have reason to trust.
const OLDEST: (u32, u32) = (3, 8);
const NEWEST: (u32, u32) = (3, 15);

pub(super) type AuditHook = unsafe extern "C" fn(*const c_char, Object, *mut c_void) -> c_int;

macro_rules! api {
    ($(fn $function:ident($($argument:ty),*) $(-> $result:ty)?;)* $(object $object:ident;)*) => {
        /// Functions, called with the interpreter's lock held, and addresses of static objects.
        #[allow(non_snake_case)]
        #[derive(Debug)]
        pub(super) struct Api {
            $(pub(super) $function: unsafe extern "C" fn($($argument),*) $(-> $result)?,)*
            $(pub(super) $object: Object,)*
        }

        impl Api {
            fn load() -> Result<Api, String> {
                Ok(Api {
                    // SAFETY: the address of a function of this name and so of this type.
                    $($function: unsafe {
                        std::mem::transmute::<u64, unsafe extern "C" fn($($argument),*) $(-> $result)?>(
                            needed(stringify!($function))?,
                        )
                    },)*
                    $($object: needed(stringify!($object))?,)*
                })
            }
        }
    };
}

api! {
    fn PySys_AddAuditHook(AuditHook, *mut c_void) -> c_int;
    fn PyImport_GetModuleDict() -> Object;
    fn PyImport_ImportModule(*const c_char) -> Object;
    fn PyDict_New() -> Object;
    fn PyDict_Clear(Object);
    fn PyDict_GetItemString(Object, *const c_char) -> Object;
    fn PyDict_SetItemString(Object, *const c_char, Object) -> c_int;
    fn PyTuple_GetItem(Object, isize) -> Object;
    fn PyUnicode_AsUTF8AndSize(Object, *mut isize) -> *const u8;
    fn PyLong_AsLong(Object) -> c_long;
    fn PyObject_IsTrue(Object) -> c_int;
    fn PyObject_GetAttrString(Object, *const c_char) -> Object;
    fn PyType_IsSubtype(Object, Object) -> c_int;
    fn PyCFunction_NewEx(*mut c_void, Object, Object) -> Object;
    fn PyCode_Addr2Line(Object, c_int) -> c_int;
    fn PyEval_GetBuiltins() -> Object;
    fn PyRun_String(*const c_char, c_int, Object, Object) -> Object;
    fn PyErr_Clear();
    fn PyThreadState_Get() -> u64;
    fn PyThreadState_New(u64) -> u64;
    fn PyThreadState_Clear(u64);
    fn PyThreadState_DeleteCurrent();
    fn PyEval_SaveThread() -> u64;
    fn PyEval_RestoreThread(u64);
    fn Py_IncRef(Object);
    fn Py_DecRef(Object);
    object PyCode_Type;
    object PyContext_Type;
    object PyFunction_Type;
    object PyMethod_Type;
    object PyCell_Type;
    object PyTuple_Type;
    object PyCoro_Type;
    object PyGen_Type;
    object PyAsyncGen_Type;
    object PyGetSetDescr_Type;
    object PyMethodDescr_Type;
    object PyCFunction_Type;
    object PyList_Type;
    object PyUnicode_Type;
    object _Py_NoneStruct;
}

fn symbol(name: &str) -> u64 {
    if crate::modules::is_static_program() {
        return 0;
    }
    let Ok(name) = std::ffi::CString::new(name) else {
        return 0;
    };
    // SAFETY: a C string; the loader may be asked at any time.
    unsafe { libc::dlsym(libc::RTLD_DEFAULT, name.as_ptr()) as u64 }
}

fn needed(name: &str) -> Result<u64, String> {
    match symbol(name) {
        0 => Err(format!("its CPython has no {name}")),
        address => Ok(address),
    }
}

/// The words of the interpreter's variable that holds its global state, by their addresses.
pub(super) fn runtime() -> Option<impl Iterator<Item = u64> + Clone> {
    let start = symbol("_PyRuntime");
    let size = elf::size_of_symbol(start)?;
    Some((start..start + size).step_by(8))
}

static INTERPRETER: OnceLock<Interpreter> = OnceLock::new();

#[derive(Debug)]
pub(super) struct Interpreter {
    pub(super) api: Api,
    /// As in "3.12.1".
    pub(super) version: String,
    /// Of 3.12.1: 12.
    pub(super) minor: u32,
    /// Functions that other versions have under other names.
    pub(super) renamed: Renamed,
}

#[derive(Debug)]
pub(super) struct Renamed {
    /// The current interpreter's state.
    pub(super) interpreter: unsafe extern "C" fn() -> u64,
    /// The state of the thread that holds the lock; of which one, may be asked without it.
    pub(super) lock_holder: unsafe extern "C" fn() -> u64,
    /// Whether the interpreter ends.
    pub(super) is_finalizing: unsafe extern "C" fn() -> c_int,
}

impl Renamed {
    fn load() -> Result<Renamed, String> {
        let either = |name: &str, other: &str| needed(name).or_else(|_| needed(other));
        let interpreter = either("PyInterpreterState_Get", "_PyInterpreterState_Get")?;
        let lock_holder = either("PyThreadState_GetUnchecked", "_PyThreadState_UncheckedGet")?;
        let is_finalizing = either("Py_IsFinalizing", "_Py_IsFinalizing")?;
        // SAFETY: the addresses of functions of these names and so of these types.
        unsafe {
            Ok(Renamed {
                interpreter: std::mem::transmute::<u64, unsafe extern "C" fn() -> u64>(interpreter),
                lock_holder: std::mem::transmute::<u64, unsafe extern "C" fn() -> u64>(lock_holder),
                is_finalizing: std::mem::transmute::<u64, unsafe extern "C" fn() -> c_int>(is_finalizing),
            })
        }
    }
}

pub(super) fn get() -> Option<&'static Interpreter> {
    INTERPRETER.get()
}

/// The version of the CPython in this process, or why we stay out of it; None if there is none. Before `main`.
pub(crate) fn find() -> Option<Result<String, String>> {
    // Its C API goes by names of its own.
    if symbol("PyPy_GetVersion") != 0 {
        return Some(Err("it runs in PyPy; asyncprof looks into CPython only".into()));
    }
    let get_version = symbol("Py_GetVersion");
    if get_version == 0 {
        return None;
    }
    // SAFETY: the C API's function of this name, which may be called before all others; its result is static.
    let version = unsafe {
        let get_version = std::mem::transmute::<u64, unsafe extern "C" fn() -> *const c_char>(get_version);
        CStr::from_ptr(get_version()).to_string_lossy()
    };
    Some(supported(&version).and_then(|minor| {
        let api = Api::load()?;
        let renamed = Renamed::load()?;
        let number = version.split(' ').next().unwrap_or_default().to_owned();
        let _ = INTERPRETER.set(Interpreter {
            api,
            version: number.clone(),
            minor,
            renamed,
        });
        Ok(number)
    }))
}

/// The minor version; `version` is as in `sys.version`.
fn supported(version: &str) -> Result<u32, String> {
    let number = version.split(' ').next().unwrap_or_default();
    if version.contains("free-threading") {
        return Err(format!(
            "it runs in a free-threaded CPython {number}; record it with one that has the interpreter's lock"
        ));
    }
    let mut parts = number.split('.').map_while(|part| part.parse().ok());
    match (parts.next(), parts.next()) {
        (Some(major), Some(minor)) if (OLDEST..=NEWEST).contains(&(major, minor)) => Ok(minor),
        _ => Err(format!(
            "it runs in Python {number}; asyncprof knows CPython {}.{} to {}.{}",
            OLDEST.0, OLDEST.1, NEWEST.0, NEWEST.1
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::supported;

    #[test]
    fn only_versions_that_we_know() {
        for (version, minor) in [
            ("3.8.18 (default, Jan 1 2026, 00:00:00) [GCC 12]", 8),
            ("3.12.1 (main)", 12),
            ("3.15.0a2 (main)", 15),
        ] {
            assert_eq!(supported(version), Ok(minor));
        }
        for version in [
            "3.7.16 (default)",
            "3.16.0 (main)",
            "2.7.18",
            "",
            "4.0.0",
            "3.13.0 experimental free-threading build (main)",
        ] {
            assert!(supported(version).is_err(), "{version}");
        }
    }
}
