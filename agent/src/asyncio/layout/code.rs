//! Where the fields of code objects are.

use std::ffi::CStr;

use asyncprof_core::python::{CodeLayout, LineFormat};

use super::super::interpreter::Interpreter;
use super::super::memory::words_of;
use super::super::probe::{Probe, attribute};
use super::{WORDS, half_place, place};

/// # Safety
/// The lock is held.
pub(super) unsafe fn find(interpreter: &Interpreter, probe: &Probe<'_>) -> Option<CodeLayout> {
    let api = &interpreter.api;
    let code = probe.get(c"code")?;
    let words = words_of(code, WORDS);
    let field = |name: &CStr| {
        // SAFETY: the code object keeps what it names: the reference may be given back at once.
        unsafe {
            let value = attribute(api, code, name)?;
            (api.Py_DecRef)(value);
            place([(words.as_slice(), value)])
        }
    };
    // SAFETY: as above; numbers are only asked for their value.
    let first_line = unsafe {
        let value = attribute(api, code, c"co_firstlineno")?;
        let line = (api.PyLong_AsLong)(value);
        (api.Py_DecRef)(value);
        u32::try_from(line).ok()?
    };
    let others = [c"outer", c"inner"].map(|name| {
        // SAFETY: coroutines keep their code.
        unsafe {
            let code = attribute(api, probe.get(name)?, c"cr_code")?;
            let line = attribute(api, code, c"co_firstlineno")?;
            let found = (words_of(code, WORDS), (api.PyLong_AsLong)(line) as u32);
            (api.Py_DecRef)(line);
            (api.Py_DecRef)(code);
            Some(found)
        }
    });
    let [Some(outer), Some(inner)] = others else {
        return None;
    };
    let (line_format, line_table) = match interpreter.minor {
        ..=9 => (LineFormat::Lnotab, c"co_lnotab"),
        10 => (LineFormat::Ranges, c"co_linetable"),
        _ => (LineFormat::Locations, c"co_linetable"),
    };
    Some(CodeLayout {
        line_table: field(line_table)?,
        line_format,
        file: field(c"co_filename")?,
        name: field(c"co_name")?,
        qualified_name: field(c"co_qualname"),
        first_line: half_place([(&words, first_line), (&outer.0, outer.1), (&inner.0, inner.1)])?,
    })
}
