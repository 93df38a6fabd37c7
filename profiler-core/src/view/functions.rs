//! The functions of a profile, each distinct one looked at once: display name, category, rules about it.

use std::collections::HashMap;

use super::category::{Category, category};
use super::kind::Rules;
use super::names::display_name;
use super::python;
use crate::profile::{Frame, FrameId, Profile, StackId, StringId};

/// Index into the display names of a `Functions` or a tree.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct NameId(pub u32);

/// Display names, each once.
#[derive(Clone, Debug, Default)]
pub(super) struct Names {
    texts: Vec<String>,
    ids: HashMap<String, NameId>,
}

impl Names {
    pub(super) fn id(&mut self, text: &str) -> NameId {
        if let Some(&id) = self.ids.get(text) {
            return id;
        }
        let id = NameId(u32::try_from(self.texts.len()).expect("more names than string ids"));
        self.texts.push(text.to_owned());
        self.ids.insert(text.to_owned(), id);
        id
    }

    pub(super) fn text(&self, id: NameId) -> &str {
        &self.texts[id.0 as usize]
    }
}

/// A line of source.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Place {
    pub file: StringId,
    pub line: u32,
}

/// One function of a stack.
#[derive(Clone, Copy, Debug)]
pub(super) struct Call {
    pub(super) name: NameId,
    pub(super) raw: StringId,
    pub(super) category: Category,
    pub(super) place: Option<Place>,
    pub(super) in_user_rule: bool,
    pub(super) in_await_rule: bool,
    pub(super) in_wake_rule: bool,
}

/// All calls of all frames, outermost first within a frame.
pub(super) struct Functions {
    pub(super) names: Names,
    calls: Vec<Call>,
    /// Range in `calls` of each frame.
    frames: Vec<std::ops::Range<usize>>,
}

impl Functions {
    pub(super) fn of(profile: &Profile, rules: &Rules) -> Functions {
        let mut functions = Functions {
            names: Names::default(),
            calls: Vec::new(),
            frames: Vec::new(),
        };
        let mut known: HashMap<(StringId, StringId), Call> = HashMap::new();
        for frame in &profile.frames {
            let start = functions.calls.len();
            for function in &frame.functions {
                let (raw, file) = (profile.string(function.name), profile.string(function.file));
                let call = known.entry((function.name, function.file)).or_insert_with(|| {
                    let display = if python::is_function(raw, file) {
                        raw.to_owned()
                    } else {
                        display_name(raw)
                    };
                    Call {
                        name: functions.names.id(&display),
                        raw: function.name,
                        category: category(&display, file),
                        place: None,
                        in_user_rule: rules.name_user(&display, raw),
                        in_await_rule: rules.name_await(&display, raw),
                        in_wake_rule: rules.name_wake(&display, raw),
                    }
                });
                let place = (!file.is_empty()).then_some(Place {
                    file: function.file,
                    line: function.line,
                });
                functions.calls.push(Call { place, ..*call });
            }
            if frame.functions.is_empty() {
                functions.calls.push(Call {
                    name: functions.names.id(&unknown_name(profile, frame)),
                    raw: StringId::default(),
                    category: unknown_category(profile, frame),
                    place: None,
                    in_user_rule: false,
                    in_await_rule: false,
                    in_wake_rule: false,
                });
            }
            functions.frames.push(start..functions.calls.len());
        }
        functions
    }

    fn frame(&self, frame: FrameId) -> &[Call] {
        &self.calls[self.frames[frame.index()].clone()]
    }

    /// The calls of a stack, root first.
    pub(super) fn stack<'a>(
        &'a self,
        profile: &'a Profile,
        stack: StackId,
    ) -> impl DoubleEndedIterator<Item = Call> + 'a {
        profile
            .stack(stack)
            .iter()
            .flat_map(|&frame| self.frame(frame).iter().copied())
    }
}

/// Of the C library only what starts threads and programs has no name.
fn unknown_category(profile: &Profile, frame: &Frame) -> Category {
    let module = frame
        .module
        .and_then(|module| profile.modules.get(module.index()));
    let file = module.map_or("", |module| module.path.rsplit('/').next().unwrap_or_default());
    match ["libc.so", "libc-", "libpthread", "ld-linux"]
        .iter()
        .any(|start| file.starts_with(start))
    {
        true => Category::Runtime,
        false => Category::Library,
    }
}

/// One name per file, not per address: the picture should not fray where symbols are missing.
fn unknown_name(profile: &Profile, frame: &Frame) -> String {
    match frame
        .module
        .and_then(|module| profile.modules.get(module.index()))
    {
        Some(module) => format!(
            "[unknown in {}]",
            module.path.rsplit('/').next().unwrap_or_default()
        ),
        None => "[unknown]".to_owned(),
    }
}
