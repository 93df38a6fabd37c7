//! Names for a profile that was recorded without: from debug files that came to hand later.

use std::collections::{BTreeMap, HashMap};

use asyncprof_core::profile::{Function, ModuleId, Profile, StringId};
use asyncprof_core::view::rename_groups;

use crate::symbolize::{DebugFiles, SymbolFunction};

/// Gives the frames of all modules that have a debug file there the names and lines that it holds. Returns how many
/// modules have one.
pub fn add_names(profile: &mut Profile, debug_files: &DebugFiles) -> usize {
    let mut by_module = BTreeMap::<ModuleId, Vec<(u64, usize)>>::new();
    for (at, frame) in profile.frames.iter().enumerate() {
        if let Some(module) = frame.module {
            by_module.entry(module).or_default().push((frame.address, at));
        }
    }
    let mut strings = Strings::of(profile);
    let mut found = 0;
    for (module, mut frames) in by_module {
        frames.sort_unstable();
        let addresses: Vec<u64> = frames.iter().map(|&(address, _)| address).collect();
        let module = &profile.modules[module.index()];
        let Some(symbols) = debug_files
            .of_build_id(&module.build_id)
            .and_then(|file| file.symbolize(&addresses).ok())
        else {
            continue;
        };
        found += 1;
        let stale = format!("{} has no line tables", module.path);
        profile.quality.notes.retain(|note| !note.starts_with(&stale));
        for ((_, at), chain) in frames.into_iter().zip(symbols.chains) {
            // What the debug file does not know keeps the name that it has.
            if !chain.is_empty() {
                let functions = chain.iter().map(|function| strings.function(profile, function));
                let functions = functions.collect();
                profile.frames[at].functions = functions;
            }
        }
    }
    if found > 0 {
        let unnamed = profile.frames.iter().filter(|frame| frame.functions.is_empty());
        profile.quality.frames_unsymbolised = unnamed.count() as u64;
        rename_groups(profile);
    }
    found
}

struct Strings(HashMap<String, StringId>);

impl Strings {
    fn of(profile: &Profile) -> Strings {
        let numbered = profile.strings.iter().zip(0..);
        Strings(numbered.map(|(text, at)| (text.clone(), StringId(at))).collect())
    }

    fn id(&mut self, profile: &mut Profile, text: &str) -> StringId {
        if let Some(&id) = self.0.get(text) {
            return id;
        }
        let id = StringId(profile.strings.len() as u32);
        profile.strings.push(text.to_owned());
        self.0.insert(text.to_owned(), id);
        id
    }

    fn function(&mut self, profile: &mut Profile, function: &SymbolFunction) -> Function {
        Function {
            name: self.id(profile, &function.name),
            file: self.id(profile, function.file.as_deref().unwrap_or_default()),
            line: function.line,
        }
    }
}
