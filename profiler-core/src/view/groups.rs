//! Names for groups of tasks that came without one.

use std::collections::HashMap;

use super::category::Category;
use super::functions::{Functions, NameId};
use super::kind::Rules;
use crate::profile::{GroupId, Profile, StackId, StringId, TaskKind};

/// Fills the empty names in `profile.groups`, once, after symbols are known: the outermost app function of the
/// group's stacks (by time), else `spawned in X`, else the library's future. Returns how many it filled.
pub fn name_groups(profile: &mut Profile) -> usize {
    let unnamed: Vec<usize> = (0..profile.groups.len())
        .filter(|&index| profile.groups[index].name == StringId::default())
        .collect();
    if unnamed.is_empty() {
        return 0;
    }
    let names = names_of(profile, &unnamed);
    let mut strings: HashMap<String, StringId> = HashMap::new();
    for (index, text) in profile.strings.iter().enumerate() {
        strings.entry(text.clone()).or_insert(StringId(index as u32));
    }
    for (&group, name) in unnamed.iter().zip(names) {
        let next = StringId(profile.strings.len() as u32);
        let id = *strings.entry(name.clone()).or_insert(next);
        if id == next {
            profile.strings.push(name);
        }
        profile.groups[group].name = id;
    }
    unnamed.len()
}

/// The same once more when frames have got names: for groups whose name says nothing.
pub fn rename_groups(profile: &mut Profile) {
    for index in 0..profile.groups.len() {
        let group = &profile.groups[index];
        if profile.string(group.name) == plain(group.kind) {
            profile.groups[index].name = StringId::default();
        }
    }
    name_groups(profile);
}

/// The name of a group of which no function is known.
fn plain(kind: TaskKind) -> &'static str {
    match kind {
        TaskKind::Task => "task",
        TaskKind::Root => "main",
        TaskKind::Blocking => "blocking closure",
        TaskKind::Worker => "tokio worker",
    }
}

fn names_of(profile: &Profile, unnamed: &[usize]) -> Vec<String> {
    let functions = Functions::of(profile, &Rules::default());
    let outermost = |stack: StackId, category: Category| {
        functions
            .stack(profile, stack)
            .find(|call| call.category == category)
            .map(|call| call.name)
    };
    let mut app: HashMap<GroupId, HashMap<NameId, u64>> = HashMap::new();
    let mut library: HashMap<GroupId, HashMap<NameId, u64>> = HashMap::new();
    let mut seen: HashMap<StackId, (Option<NameId>, Option<NameId>)> = HashMap::new();
    for row in &profile.rows {
        let (own, foreign) = *seen.entry(row.stack).or_insert_with(|| {
            (
                outermost(row.stack, Category::App),
                outermost(row.stack, Category::Library),
            )
        });
        for (found, names) in [(own, &mut app), (foreign, &mut library)] {
            if let Some(name) = found {
                // One more, so that a name without time still is one.
                *names.entry(row.group).or_default().entry(name).or_default() +=
                    row.stats.total_ns.saturating_add(1);
            }
        }
    }
    let text = |name: NameId| functions.names.text(name).to_owned();
    let most = |names: Option<&HashMap<NameId, u64>>| {
        names?
            .iter()
            .max_by_key(|&(name, ns)| (*ns, std::cmp::Reverse(*name)))
            .map(|(&name, _)| name)
    };
    let of_group = |&index: &usize| {
        let (id, group) = (GroupId(index as u32), &profile.groups[index]);
        let spawner = functions
            .stack(profile, group.spawn_stack)
            .rfind(|call| call.category == Category::App)
            .map(|call| format!("spawned in {}", text(call.name)));
        let plain = plain(group.kind);
        if group.kind == TaskKind::Worker {
            return plain.to_owned();
        }
        (most(app.get(&id)).map(text))
            .or(spawner)
            .or_else(|| most(library.get(&id)).map(text))
            .unwrap_or_else(|| plain.to_owned())
    };
    unnamed.iter().map(of_group).collect()
}

#[cfg(test)]
mod tests {
    use super::super::testing::ProfileBuilder;
    use super::*;
    use crate::profile::State;

    #[test]
    fn names_in_their_order_of_preference() {
        let mut builder = ProfileBuilder::new();
        let labelled = builder.group("label", TaskKind::Task, 1);
        let by_time = builder.group("", TaskKind::Task, 1);
        let spawned = builder.group("", TaskKind::Blocking, 1);
        let library = builder.group("", TaskKind::Task, 1);
        let nothing = builder.group("", TaskKind::Root, 1);
        let rare = builder.stack(&["tokio::runtime::task::raw::poll", "app::rare::{{closure}}"]);
        let often = builder.stack(&["app::often::{{closure}}", "app::inner::{{closure}}"]);
        let spawn = builder.stack(&[
            "app::outer::{{closure}}",
            "app::query::{{closure}}",
            "tokio::task::spawn",
        ]);
        let conn = builder.stack(&["hyper_util::server::conn::auto::Connection::poll"]);
        builder.group_mut(spawned).spawn_stack = spawn;
        builder.row(labelled, often, State::Running, 1, 5);
        builder.row(by_time, rare, State::Waiting, 1, 5);
        builder.row(by_time, often, State::Waiting, 1, 9);
        builder.row(library, conn, State::Waiting, 1, 9);
        let mut profile = builder.build();
        assert_eq!(name_groups(&mut profile), 4);
        assert_eq!(name_groups(&mut profile), 0, "once");
        let name = |id| profile.string(profile.group(id).name);
        assert_eq!(name(labelled), "label");
        assert_eq!(name(by_time), "app::often");
        assert_eq!(name(spawned), "spawned in app::query");
        assert_eq!(name(library), "hyper_util::server::conn::auto::Connection::poll");
        assert_eq!(name(nothing), "main");
    }
}
