//! Names for Python frames: a code object and a place in it become a record in the region, once.

use asyncprof_core::named_frame::NamedFrame;
use asyncprof_core::python::{CodeLayout, LEN, StackLayout, TEXT_STATE, TextLayout};
use asyncprof_core::stack_table::StackTable;

use super::interpreter::{Api, Object};

use super::memory::{TYPE_NAME, half, type_of, word};

/// Names remembered per thread; a power of two. The table has them all.
const ENTRIES: usize = 2048;

/// What a thread remembers of names. Zeros are an empty one.
#[repr(C)]
pub(crate) struct Cache([Entry; ENTRIES]);

#[derive(Clone, Copy)]
#[repr(C)]
struct Entry {
    code: u64,
    position: u64,
    /// Of the code object: in the memory of one that is gone may lie another.
    identity: u64,
    frame: u64,
}

/// The name of a code object as a whole, in place of a position. No instruction is there.
const WHOLE: u64 = u64::MAX;

/// How texts are read.
#[derive(Clone, Copy)]
pub(super) enum Texts<'a> {
    /// All of them. The lock is held.
    All(&'a Api),
    /// Those that can be read without calling the interpreter.
    Ascii,
}

impl Cache {
    /// The frame for this place in this code, for a stack; 0 if it has no name, or there is no room.
    ///
    /// # Safety
    /// A live code object, and the lock is held, or the thread stands still in a function of that code.
    #[inline]
    pub(super) unsafe fn frame(&mut self, naming: &Naming<'_>, code: Object, position: u64) -> u64 {
        // SAFETY: the caller's promise.
        let field = |at| unsafe { word(code + at) };
        let identity = naming.layout.code.identity(field);
        // SAFETY: as above.
        unsafe { self.known_as(naming, code, position, identity) }
    }

    /// As [`Cache::frame`], of a code object whose identity was read.
    ///
    /// # Safety
    /// As for [`Cache::frame`].
    #[inline]
    pub(super) unsafe fn known_as(
        &mut self,
        naming: &Naming<'_>,
        code: Object,
        position: u64,
        identity: u64,
    ) -> u64 {
        let hash = (code ^ position.rotate_left(20)).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        let entry = &mut self.0[(hash >> 48) as usize % ENTRIES];
        if entry.code != code || entry.position != position || entry.identity != identity {
            *entry = Entry {
                code,
                position,
                identity,
                // SAFETY: the caller's promise.
                frame: unsafe { naming.intern(code, position) },
            };
        }
        entry.frame
    }

    /// The frame that stands for all of this code.
    ///
    /// # Safety
    /// As for [`Cache::frame`].
    pub(super) unsafe fn whole(&mut self, naming: &Naming<'_>, code: Object) -> u64 {
        // SAFETY: the caller's promise.
        unsafe { self.frame(naming, code, WHOLE) }
    }
}

/// All that is needed to name code.
pub(super) struct Naming<'a> {
    pub(super) layout: &'a StackLayout,
    pub(super) api: &'a Api,
    pub(super) texts: Texts<'a>,
    pub(super) table: StackTable<'a>,
}

/// A text of ASCII only; None if it is another.
///
/// # Safety
/// A live text, which lives on while its bytes are used.
pub(super) unsafe fn ascii<'t>(layout: TextLayout, text: Object) -> Option<&'t str> {
    // SAFETY: the caller's promise; texts with the mark are followed by as many bytes as they say.
    unsafe {
        if half(text + TEXT_STATE) & layout.ascii_mark == 0 {
            return None;
        }
        let len = word(text + LEN) as usize;
        let ascii = std::slice::from_raw_parts((text + layout.bytes) as *const u8, len);
        std::str::from_utf8(ascii).ok()
    }
}

impl Naming<'_> {
    #[cold]
    unsafe fn intern(&self, code: Object, position: u64) -> u64 {
        let CodeLayout {
            file,
            name,
            qualified_name,
            first_line,
            ..
        } = self.layout.code;
        // SAFETY: a live code object, which keeps its texts; the line is read from its table, which it keeps, too.
        unsafe {
            let line = match position {
                WHOLE => half(code + first_line),
                position => {
                    let bytes = self.layout.frame.unit.bytes_at(code, position);
                    let line = (self.api.PyCode_Addr2Line)(code, bytes as i32);
                    u32::try_from(line).unwrap_or(0)
                }
            };
            let mut room = [String::new(), String::new()];
            let [file_room, name_room] = &mut room;
            let file = self.text(word(code + file), file_room).unwrap_or("?");
            let name = word(code + qualified_name.unwrap_or(name));
            let function = self.text(name, name_room).unwrap_or("?");
            // Where C calls into the interpreter, from 3.12 on.
            if function == "<interpreter trampoline>" {
                return 0;
            }
            NamedFrame { file, function, line }.intern(&self.table)
        }
    }

    /// A frame that is only a name.
    pub(super) fn only(&self, function: &str) -> u64 {
        let frame = NamedFrame {
            function,
            ..NamedFrame::default()
        };
        frame.intern(&self.table)
    }

    /// A frame named for an object's type.
    ///
    /// # Safety
    /// A live type.
    pub(super) unsafe fn of_type(&self, of: Object) -> u64 {
        // SAFETY: a type's name is a C string that lives as long as it.
        let name = unsafe { std::ffi::CStr::from_ptr(word(of + TYPE_NAME) as *const _) };
        self.only(name.to_str().unwrap_or("?"))
    }

    /// A frame named for a builtin function of a module.
    ///
    /// # Safety
    /// A live object, and a C string.
    pub(super) unsafe fn of_builtin(&self, module: Object, name: u64) -> u64 {
        // SAFETY: the caller's promise.
        let name = unsafe { std::ffi::CStr::from_ptr(name as *const _) };
        let (name, mut room) = (name.to_str().unwrap_or("?"), String::new());
        // SAFETY: as above.
        let module = unsafe {
            (type_of(module) == self.api.PyUnicode_Type)
                .then(|| self.text(module, &mut room))
                .flatten()
        };
        match module {
            None | Some("builtins") => self.only(name),
            Some(module) => self.only(&format!("{module}.{name}")),
        }
    }

    /// # Safety
    /// A live text, which lives on while its bytes are used.
    pub(super) unsafe fn text<'t>(&self, text: Object, room: &'t mut String) -> Option<&'t str> {
        // SAFETY: the caller's promise.
        unsafe {
            if let Some(ascii) = ascii(self.layout.text, text) {
                return Some(ascii);
            }
            let Texts::All(api) = self.texts else { return None };
            let mut len = 0;
            let utf8 = (api.PyUnicode_AsUTF8AndSize)(text, &mut len);
            if utf8.is_null() {
                // Lone surrogates, as in names of files that are no text.
                (api.PyErr_Clear)();
                return None;
            }
            let utf8 = std::slice::from_raw_parts(utf8, len as usize);
            room.push_str(std::str::from_utf8(utf8).ok()?);
        }
        Some(room)
    }
}
