//! Which task spawned which.

use std::collections::BTreeSet;

use asyncprof_core::profile::{GroupId, Profile, TaskKind};

use crate::support::fixtures::fixture;
use crate::support::recording::Recording;

fn families(profile: &Profile) -> BTreeSet<(String, Option<String>)> {
    let name = |id: GroupId| profile.string(profile.group(id).name).to_owned();
    let groups = (0..profile.groups.len() as u32).map(GroupId);
    let tasks = groups.filter(|&id| profile.group(id).kind != TaskKind::Worker);
    tasks
        .map(|id| (name(id), profile.group(id).parent.map(name)))
        .collect()
}

#[test]
fn every_task_knows_its_parent() {
    for build in ["release", "lto", "dev"] {
        let recording = Recording::new(&[], fixture("waits", build, "joins"), &[]);
        let families = families(&recording.profile());
        let of = |name: &str| {
            let parents = families.iter().filter(|family| family.0 == name);
            parents.map(|family| family.1.as_deref()).collect::<Vec<_>>()
        };
        assert_eq!(of("joins::main"), [None], "{build}: {families:?}");
        assert_eq!(
            of("joins::child"),
            [Some("joins::await_children")],
            "{build}: {families:?}"
        );
        assert_eq!(
            of("joins::await_children"),
            [Some("joins::main")],
            "{build}: {families:?}"
        );
    }
}

#[test]
fn local_tasks_have_parents_too() {
    let recording = Recording::new(&[], fixture("waits", "release", "current_thread"), &[]);
    let families = families(&recording.profile());
    let main = "current_thread::main";
    let expected = [
        ("current_thread::local_outer", Some(main)),
        (main, None),
        ("current_thread::outer", Some(main)),
    ];
    let expected = expected.map(|(name, parent)| (name.to_owned(), parent.map(str::to_owned)));
    assert_eq!(families, BTreeSet::from(expected));
}
