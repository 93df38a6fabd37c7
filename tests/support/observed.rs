//! What a user sees of a recording, as a flat list: each shown await stack with its states, times and episodes.

use std::collections::BTreeMap;

use asyncprof_core::profile::{Group, Profile, TaskKind};
use asyncprof_core::view::{Activity, Analysis, CallTree, FrameKind, Kind, NodeId, Rules, TreeOptions};

/// Time and number of episodes.
#[derive(Clone, Copy, Debug, Default)]
pub struct Amount {
    pub ns: u64,
    pub episodes: u64,
}

impl Amount {
    pub fn add(&mut self, other: Amount) {
        self.ns += other.ns;
        self.episodes += other.episodes;
    }
}

/// One path of the flame graph: a group, the functions shown under it, and what the tasks did there.
#[derive(Clone, Debug)]
pub struct Shown {
    /// The group's label, such as `[root task] sleep::main`.
    pub group: String,
    /// Root first. A group named after its outermost function is that function.
    pub functions: Vec<String>,
    pub activities: BTreeMap<Activity, Amount>,
}

impl Shown {
    pub fn amount(&self, activity: Activity) -> Amount {
        self.activities.get(&activity).copied().unwrap_or_default()
    }

    pub fn waits(&self) -> impl Iterator<Item = (Kind, Amount)> + '_ {
        Kind::ALL
            .into_iter()
            .map(|kind| (kind, self.amount(Activity::Waiting(kind))))
            .filter(|(_, amount)| amount.episodes > 0)
    }

    /// Waiting, and scheduled after it.
    pub fn suspended(&self) -> Amount {
        let mut sum = self.amount(Activity::Scheduled);
        // A scheduling delay belongs to the wait that it follows: no episode of its own.
        sum.episodes = 0;
        self.waits().for_each(|(_, amount)| sum.add(amount));
        sum
    }

    pub fn path(&self) -> String {
        self.functions.join(" > ")
    }
}

/// All that is shown of a profile, without the runtime's own loops.
pub fn shown(profile: &Profile) -> Vec<Shown> {
    let analysis = Analysis::new(profile, &Rules::default());
    let tree = CallTree::new(&analysis, &TreeOptions::default());
    let mut paths: BTreeMap<NodeId, Shown> = BTreeMap::new();
    for (id, _) in tree.walk() {
        let node = tree.node(id);
        let FrameKind::State(activity) = node.kind else {
            continue;
        };
        if node.is_continued {
            continue;
        }
        let shown = paths
            .entry(node.parent)
            .or_insert_with(|| path(&tree, node.parent));
        let stats = &node.stats;
        shown.activities.entry(activity).or_default().add(Amount {
            ns: stats.total_ns,
            episodes: stats.episodes,
        });
    }
    paths.into_values().collect()
}

fn path(tree: &CallTree, leaf: NodeId) -> Shown {
    let (mut functions, mut group, mut at) = (Vec::new(), String::new(), leaf);
    while at != NodeId::ROOT {
        let node = tree.node(at);
        let name = tree.name(node).to_owned();
        match node.kind {
            FrameKind::Function(_) => functions.push(name),
            FrameKind::Group(_) => group = name,
            _ => {}
        }
        at = node.parent;
    }
    // A group's label has the function's name behind a word about the kind of task.
    functions.extend(group.rsplit(']').next().map(|name| name.trim().to_owned()));
    functions.reverse();
    if functions.len() > 1 && functions[0] == functions[1] {
        functions.remove(0);
    }
    Shown {
        group,
        functions,
        activities: BTreeMap::new(),
    }
}

/// The groups of a kind with this name, added up.
pub fn tasks_named(profile: &Profile, kind: TaskKind, name: &str) -> Group {
    added_up(profile, |group| {
        group.kind == kind && profile.string(group.name) == name
    })
}

/// The tasks of the fixture `storm`: all but the one that spawns them. How they are named depends on whether a sample has
/// hit one.
pub fn storm(profile: &Profile) -> Group {
    added_up(profile, |group| group.kind == TaskKind::Task && group.tasks > 1)
}

fn added_up(profile: &Profile, is_meant: impl Fn(&Group) -> bool) -> Group {
    let mut sum = Group::default();
    for group in profile.groups.iter().filter(|group| is_meant(group)) {
        sum.polls.merge(&group.polls);
        sum.tasks += group.tasks;
        sum.completed += group.completed;
        sum.cancelled += group.cancelled;
        sum.panicked += group.panicked;
    }
    sum
}

/// How far estimates of these groups' tasks may be from the truth: five standard deviations. Each recorded task is one of so
/// many as it stands for, and was polled.
pub fn chance<'a>(groups: impl IntoIterator<Item = &'a Group>) -> u64 {
    let variance: u64 = groups.into_iter().map(|group| group.polls.excess).sum();
    (5.0 * (variance as f64).sqrt()).ceil() as u64
}
