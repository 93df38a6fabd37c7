//! The function that a thread is to call, found in what wraps it.

use std::ffi::CStr;

use super::interpreter::Object;
use super::memory::{FUNCTION_DEF, type_of, word};
use super::names::{Cache, Naming};
use super::probe::attribute;
use super::tap::Tap;
use super::workers::is_named;

/// Wrappers looked into at most.
const MAX_DEPTH: usize = 8;

/// What a function is called by. Borrowed from it.
pub(super) enum Function {
    Code(Object),
    Builtin {
        module: Object,
        name: u64,
    },
    /// Any other object that can be called.
    Type(Object),
}

impl Function {
    /// # Safety
    /// A live object, the lock is held, and no exception is in flight. Nothing is asked of objects but what builtin types
    /// have, so no code of the program's runs.
    pub(super) unsafe fn of(tap: &Tap, mut function: Object) -> Function {
        let api = tap.api;
        // SAFETY: the caller's promise; each object keeps the one that it is asked for.
        unsafe {
            let part = |of: Object, name: &CStr| {
                let part = attribute(api, of, name)?;
                (api.Py_DecRef)(part);
                Some(part)
            };
            for _ in 0..MAX_DEPTH {
                let of = type_of(function);
                let inner = if of == api.PyFunction_Type {
                    match part(function, c"__code__") {
                        Some(code) => return Function::Code(code),
                        None => break,
                    }
                } else if of == api.PyMethod_Type {
                    part(function, c"__func__")
                } else if of == api.PyCFunction_Type {
                    return Function::Builtin {
                        module: part(function, c"__module__").unwrap_or(api._Py_NoneStruct),
                        name: word(word(function + FUNCTION_DEF)),
                    };
                } else if is_named(of, c"functools.partial") {
                    let called = part(function, c"func");
                    let first = || {
                        let args = part(function, c"args")?;
                        let first = (api.PyTuple_GetItem)(args, 0);
                        (api.PyErr_Clear)();
                        (first != 0).then_some(first)
                    };
                    // FastAPI's way to call a route.
                    let wrapped = || {
                        let named = part(function, c"keywords")?;
                        let wrapped = (api.PyDict_GetItemString)(named, c"function".as_ptr());
                        (wrapped != 0 && type_of(wrapped) == api.PyFunction_Type).then_some(wrapped)
                    };
                    // `to_thread` calls its function in a context.
                    match called {
                        Some(called) if is_run(tap, called) => first(),
                        called => wrapped().or(called),
                    }
                } else {
                    None
                };
                match inner {
                    Some(inner) => function = inner,
                    None => break,
                }
            }
            Function::Type(type_of(function))
        }
    }

    /// The frame that names it.
    ///
    /// # Safety
    /// The function lives.
    pub(super) unsafe fn frame(&self, names: &mut Cache, naming: &Naming<'_>) -> u64 {
        // SAFETY: the caller's promise.
        unsafe {
            match *self {
                Function::Code(code) => names.whole(naming, code),
                Function::Builtin { module, name } => names.of_builtin(naming, module, name),
                Function::Type(of) => names.of_type(naming, of),
            }
        }
    }
}

/// Whether this is the bound method `Context.run`.
unsafe fn is_run(tap: &Tap, function: Object) -> bool {
    // SAFETY: a live object; builtin functions have a table that begins with their name.
    unsafe {
        type_of(function) == tap.api.PyCFunction_Type
            && CStr::from_ptr(word(word(function + FUNCTION_DEF)) as *const _) == c"run"
    }
}
