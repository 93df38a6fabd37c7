//! Names for Python frames: a code object and a place in it become a record in the region, once.

use arrayvec::ArrayString;
use asyncprof_core::named_frame::NamedFrame;
use asyncprof_core::python::{Characters, CodeLayout, LEN, StackLayout, TEXT_STATE, TextLayout};
use asyncprof_core::stack_table::StackTable;

use super::interpreter::{Api, Object};
use super::memory::{TYPE_NAME, half, type_of, word};

/// Names, and tables of tasks, remembered per thread; powers of two. The tables in the region have them all.
const ENTRIES: usize = 2048;
const TABLES: usize = 256;

/// What a thread remembers of names. Zeros are an empty one.
#[repr(C)]
pub(crate) struct Cache {
    frames: [Entry; ENTRIES],
    /// Frames that are tasks' names, and the indices of their tables.
    tables: [(u64, u16); TABLES],
}

#[derive(Clone, Copy)]
#[repr(C)]
struct Entry {
    object: u64,
    /// In a code object; or what else is named.
    position: u64,
    /// In the memory of an object that is gone may lie another.
    identity: u64,
    frame: u64,
}

/// In place of a position: no instruction is there. A code object as a whole, a type, a text, and a builtin function.
const WHOLE: u64 = u64::MAX;
const TYPE: u64 = u64::MAX - 1;
const TEXT: u64 = u64::MAX - 2;
const BUILTIN: u64 = u64::MAX - 3;

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
        self.get(code, position, identity, || {
            // SAFETY: the caller's promise.
            unsafe { naming.intern(code, position) }
        })
    }

    /// The frame that stands for all of this code.
    ///
    /// # Safety
    /// As for [`Cache::frame`].
    pub(super) unsafe fn whole(&mut self, naming: &Naming<'_>, code: Object) -> u64 {
        // SAFETY: the caller's promise.
        unsafe { self.frame(naming, code, WHOLE) }
    }

    /// A frame named for an object's type.
    ///
    /// # Safety
    /// A live type.
    #[inline]
    pub(super) unsafe fn of_type(&mut self, naming: &Naming<'_>, of: Object) -> u64 {
        // SAFETY: a type's name is a C string that lives as long as it.
        let name = unsafe { word(of + TYPE_NAME) };
        self.get(of, TYPE, name, || {
            // SAFETY: as above.
            let name = unsafe { std::ffi::CStr::from_ptr(name as *const _) };
            naming.only(name.to_str().unwrap_or("?"))
        })
    }

    /// The frame of a future that stands for a pool's.
    pub(super) fn of_pool(&mut self, naming: &Naming<'_>) -> u64 {
        self.get(0, TYPE, 0, || naming.only("concurrent.futures.Future"))
    }

    /// A frame named for a builtin function of a module.
    ///
    /// # Safety
    /// A live object, which is the module's name or none, and a C string that lives as long as the function.
    pub(super) unsafe fn of_builtin(&mut self, naming: &Naming<'_>, module: Object, name: u64) -> u64 {
        self.get(name, BUILTIN, module, || {
            // SAFETY: the caller's promise.
            let (name, module) = unsafe {
                let name = std::ffi::CStr::from_ptr(name as *const _);
                let is_text = type_of(module) == naming.api.PyUnicode_Type;
                let module = is_text.then(|| ascii(&naming.layout.text, module));
                (name.to_str().unwrap_or("?"), module.flatten())
            };
            match module {
                None | Some("builtins") => naming.only(name),
                Some(module) => naming.only(&format!("{module}.{name}")),
            }
        })
    }

    /// A frame that is only a name: this text object's.
    #[inline]
    pub(super) fn given(&mut self, naming: &Naming<'_>, object: Object, text: &str) -> u64 {
        let mix = |hash: u64, byte: u8| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
        let hash = text.bytes().fold(0xcbf2_9ce4_8422_2325, mix);
        self.get(object, TEXT, hash, || naming.only(text))
    }

    #[inline]
    fn get(&mut self, object: u64, position: u64, identity: u64, name: impl FnOnce() -> u64) -> u64 {
        let hash = (object ^ position.rotate_left(20)).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        let entry = &mut self.frames[(hash >> 48) as usize % ENTRIES];
        if entry.object != object || entry.position != position || entry.identity != identity {
            *entry = Entry {
                object,
                position,
                identity,
                frame: name(),
            };
        }
        entry.frame
    }

    /// The index of the table of the tasks that have this frame for a name, if it is remembered.
    #[inline]
    pub(super) fn table(&self, frame: u64) -> Option<u16> {
        let (known, table) = self.tables[frame as usize % TABLES];
        (known == frame && frame != 0).then_some(table)
    }

    pub(super) fn set_table(&mut self, frame: u64, table: u16) {
        self.tables[frame as usize % TABLES] = (frame, table);
    }
}

/// All that is needed to name code.
pub(super) struct Naming<'a> {
    pub(super) layout: &'a StackLayout,
    pub(super) api: &'a Api,
    pub(super) table: StackTable<'a>,
}

/// A text of ASCII only; None if it is another.
///
/// # Safety
/// A live text, which lives on while its bytes are used.
pub(super) unsafe fn ascii<'t>(layout: &TextLayout, text: Object) -> Option<&'t str> {
    // SAFETY: the caller's promise.
    let (characters, bytes) = unsafe { stored(layout, text) }?;
    let ascii = characters.are_ascii.then(|| std::str::from_utf8(bytes).ok());
    ascii.flatten()
}

/// # Safety
/// As for [`ascii`].
unsafe fn stored<'t>(layout: &TextLayout, text: Object) -> Option<(Characters, &'t [u8])> {
    // SAFETY: the caller's promise; the characters are as many as the text says.
    unsafe {
        let characters = layout.characters(half(text + TEXT_STATE))?;
        let len = word(text + LEN) * characters.width;
        let start = (text + characters.start) as *const u8;
        Some((characters, std::slice::from_raw_parts(start, len as usize)))
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
            let (mut file_room, mut name_room) = (Room::new(), Room::new());
            let file = self.text(word(code + file), &mut file_room).unwrap_or("?");
            let name = word(code + qualified_name.unwrap_or(name));
            let function = self.text(name, &mut name_room).unwrap_or("?");
            // Where C calls into the interpreter, from 3.12 on.
            if function == "<interpreter trampoline>" {
                return 0;
            }
            NamedFrame { file, function, line }.intern(&self.table)
        }
    }

    /// A frame that is only a name.
    fn only(&self, function: &str) -> u64 {
        let frame = NamedFrame {
            function,
            ..NamedFrame::default()
        };
        frame.intern(&self.table)
    }

    /// The interpreter is not asked: a text that it had not stored so far would be stored for ever, and a signal's
    /// handler could not.
    ///
    /// # Safety
    /// A live text, which lives on while its bytes are used.
    pub(super) unsafe fn text<'t>(&self, text: Object, room: &'t mut Room) -> Option<&'t str> {
        // SAFETY: the caller's promise.
        let (characters, bytes) = unsafe { stored(&self.layout.text, text) }?;
        if characters.are_ascii {
            return std::str::from_utf8(bytes).ok();
        }
        // What finds no room is cut.
        let _ = characters
            .decode(bytes)
            .try_for_each(|character| room.try_push(character));
        Some(room)
    }
}

/// For a text that is stored otherwise than we need it.
pub(super) type Room = ArrayString<2048>;
