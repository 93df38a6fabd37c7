//! Builds small profiles by hand, for the tests of everything that shows one.

use std::collections::HashMap;

use crate::profile::{
    Delay, Frame, Function, Group, GroupId, LabelsId, LongPoll, OpenWait, Process, ProcessId, Profile, Row,
    StackId, State, Stats, StringId, TaskKind, Waker, WakerId,
};

/// A profile in the making: one process, no groups, the empty string and stack in place.
pub struct ProfileBuilder {
    profile: Profile,
    strings: HashMap<String, StringId>,
}

impl Default for ProfileBuilder {
    fn default() -> ProfileBuilder {
        ProfileBuilder::new()
    }
}

impl ProfileBuilder {
    pub fn new() -> ProfileBuilder {
        let mut profile = Profile::empty();
        profile.meta.command = vec!["./app".to_owned(), "--port".to_owned(), "8080".to_owned()];
        profile.meta.duration_ns = 10_000_000_000;
        profile.meta.window_ns = 1_000_000_000;
        profile.processes.push(Process {
            pid: 4242,
            executable: "/srv/app".to_owned(),
            runtime: "tokio 1.54.1".to_owned(),
            ..Process::default()
        });
        ProfileBuilder {
            profile,
            strings: HashMap::from([(String::new(), StringId(0))]),
        }
    }

    pub fn string(&mut self, text: &str) -> StringId {
        let next = StringId(self.profile.strings.len() as u32);
        let id = *self.strings.entry(text.to_owned()).or_insert(next);
        if id == next {
            self.profile.strings.push(text.to_owned());
        }
        id
    }

    /// A stack, root first, one frame per function: `name` or `name @ file:line`.
    pub fn stack(&mut self, functions: &[&str]) -> StackId {
        let mut stack = Vec::new();
        for function in functions {
            let (name, place) = function.split_once(" @ ").unwrap_or((function, ""));
            let (file, line) = place.rsplit_once(':').unwrap_or(("", "0"));
            let function = Function {
                name: self.string(name),
                file: self.string(file),
                line: line.parse().expect("a line number"),
            };
            stack.push(crate::profile::FrameId(self.profile.frames.len() as u32));
            self.profile.frames.push(Frame {
                module: None,
                address: 0,
                functions: vec![function],
            });
        }
        self.profile.stacks.push(stack);
        StackId(self.profile.stacks.len() as u32 - 1)
    }

    pub fn process(&mut self, executable: &str) -> ProcessId {
        self.profile.processes.push(Process {
            executable: executable.to_owned(),
            ..Process::default()
        });
        ProcessId(self.profile.processes.len() as u32 - 1)
    }

    pub fn group(&mut self, name: &str, kind: TaskKind, tasks: u64) -> GroupId {
        let name = self.string(name);
        self.profile.groups.push(Group {
            name,
            kind,
            tasks,
            completed: tasks,
            ..Group::default()
        });
        GroupId(self.profile.groups.len() as u32 - 1)
    }

    pub fn group_mut(&mut self, id: GroupId) -> &mut Group {
        &mut self.profile.groups[id.index()]
    }

    pub fn waker(&mut self, waker: Waker) -> WakerId {
        self.profile.wakers.push(waker);
        WakerId(self.profile.wakers.len() as u32 - 1)
    }

    /// A row of `episodes` episodes of the same length.
    pub fn row(
        &mut self,
        group: GroupId,
        stack: StackId,
        state: State,
        episodes: u64,
        each_ns: u64,
    ) -> &mut Row {
        let mut stats = Stats::default();
        (0..episodes).for_each(|_| stats.add(each_ns));
        let windows = [(0, stats.total_ns)].into();
        let waker = WakerId(0);
        if state.is_running() {
            self.profile.groups[group.index()].polls.merge(&stats);
        }
        self.profile.rows.push(Row {
            group,
            stack,
            state,
            waker,
            labels: LabelsId(0),
            stats,
            open_episodes: 0,
            windows,
        });
        self.profile.rows.last_mut().expect("just pushed")
    }

    pub fn long_poll(&mut self, group: GroupId, stack: StackId, started_ns: u64, duration_ns: u64) {
        self.profile.longest_polls.push(LongPoll {
            group,
            stack,
            started_ns,
            duration_ns,
            ..LongPoll::default()
        });
    }

    /// Tasks still waiting at the end, with how long they have; also as a row.
    pub fn open_wait(&mut self, group: GroupId, stack: StackId, waited_ns: &[u64]) {
        let mut oldest_ns = waited_ns.to_vec();
        oldest_ns.sort_unstable_by(|a, b| b.cmp(a));
        let tasks = oldest_ns.len() as u64;
        let row = self.row(group, stack, State::Waiting, 0, 0);
        oldest_ns.iter().for_each(|&ns| row.stats.add(ns));
        row.windows = [(0, row.stats.total_ns)].into();
        row.open_episodes = tasks;
        self.profile.open_waits.push(OpenWait {
            group,
            stack,
            tasks,
            oldest_ns,
        });
    }

    /// One delay of a victim, of which so much was behind the blocker.
    pub fn delay(&mut self, victim: (GroupId, StackId), blocker: Option<(GroupId, StackId)>, ns: u64) {
        let mut stats = Stats::default();
        stats.add(ns);
        let (blocker, blocker_stack) = blocker.unzip();
        self.profile.delays.push(Delay {
            victim: victim.0,
            victim_stack: victim.1,
            blocker,
            blocker_state: State::Running,
            blocker_stack: blocker_stack.unwrap_or_default(),
            stats,
        });
    }

    pub fn profile_mut(&mut self) -> &mut Profile {
        &mut self.profile
    }

    pub fn build(self) -> Profile {
        self.profile
    }
}
