//! How to get from what is awaited to what that awaits.

use std::ffi::CStr;

use super::super::interpreter::{Api, Object};
use super::super::memory::{DESCRIPTOR_DEF, read, type_of, word};
use super::super::probe::{Probe, attribute};

/// A getter of a builtin type, and its second argument.
#[derive(Clone, Copy, Debug)]
pub(in crate::asyncio) struct Getter {
    function: u64,
    closure: u64,
}

/// How to get from what is awaited to what that awaits.
#[derive(Clone, Copy, Debug)]
pub(in crate::asyncio) struct ChainLayout {
    pub(in crate::asyncio) of_coroutine: Getter,
    pub(in crate::asyncio) of_generator: Getter,
    pub(in crate::asyncio) of_stream: Getter,
    /// Types of objects that only pass on: their first own word is to what.
    pub(in crate::asyncio) wrappers: [Object; 3],
}

/// Where the first own word of an object is.
pub(in crate::asyncio) const FIRST: u64 = 16;

impl Getter {
    /// # Safety
    /// The lock is held, and the object is of the type that the getter is of.
    #[inline]
    pub(in crate::asyncio) unsafe fn get(self, object: Object) -> Object {
        // SAFETY: the getter's address and type, from its type's own table.
        unsafe {
            let function =
                std::mem::transmute::<u64, unsafe extern "C" fn(Object, u64) -> Object>(self.function);
            function(object, self.closure)
        }
    }
}

/// # Safety
/// The lock is held.
pub(super) unsafe fn find(api: &Api, probe: &Probe<'_>) -> Option<ChainLayout> {
    let getter = |of: Object, name: &CStr| {
        // SAFETY: types keep their descriptors; a descriptor of this kind has a table of this shape.
        unsafe {
            let descriptor = attribute(api, of, name)?;
            (api.Py_DecRef)(descriptor);
            if type_of(descriptor) != api.PyGetSetDescr_Type {
                return None;
            }
            let [def_name, function, _, _, closure] = read::<5>(word(descriptor + DESCRIPTOR_DEF))?;
            let [text] = read::<1>(def_name)?;
            let is_same = text.to_le_bytes()[..7] == name.to_bytes()[..7];
            is_same.then_some(Getter { function, closure })
        }
    };
    let layout = ChainLayout {
        of_coroutine: getter(api.PyCoro_Type, c"cr_await")?,
        of_generator: getter(api.PyGen_Type, c"gi_yieldfrom")?,
        of_stream: getter(api.PyAsyncGen_Type, c"ag_await")?,
        // SAFETY: live objects.
        wrappers: unsafe {
            [
                type_of(probe.get(c"wrapped")?),
                type_of(probe.get(c"asend")?),
                type_of(probe.get(c"athrow")?),
            ]
        },
    };
    let (wrapper, stream) = (probe.get(c"wrapper")?, probe.get(c"stream")?);
    // SAFETY: live objects, of more than a word of their own; the getter is given a coroutine.
    let is_as_said = unsafe {
        let awaited = layout.of_coroutine.get(probe.get(c"outer")?);
        (api.Py_DecRef)(awaited);
        awaited == probe.get(c"inner")?
            && word(probe.get(c"wrapped")? + FIRST) == wrapper
            && word(probe.get(c"asend")? + FIRST) == stream
            && word(probe.get(c"athrow")? + FIRST) == stream
    };
    is_as_said.then_some(layout)
}
