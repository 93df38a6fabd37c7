//! Made-up stacks, the same ones for every tool: a call tree as programs have them, most of the weight in few branches.

use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::path::Path;

use asyncprof_core::profile::{
    Frame, FrameId, Function, Group, GroupId, LabelsId, Process, Profile, Row, StackId, State, Stats,
    StringId, TaskKind, WakerId, WriteError,
};

/// Frames of each stack.
pub const DEPTH: usize = 30;
const FUNCTIONS: u64 = 5_000;

/// One function per level, root first.
pub type Stack = [u16; DEPTH];

pub struct Stacks(Vec<(Stack, u64)>);

impl Stacks {
    /// So many different stacks, each with a count. `slower`: one function at a place of the tree counts twice.
    pub fn new(count: usize, is_slower: bool) -> Stacks {
        let mut random = Random(0x9e37_79b9_7f4a_7c15);
        let mut known = std::collections::HashSet::new();
        let mut stacks = Vec::with_capacity(count);
        while stacks.len() < count {
            let stack = stack(&mut random);
            let samples = 1 + random.below(100);
            if known.insert(stack) {
                let is_it = is_slower
                    && stack[..2] == stacks.first().map_or(stack, |first: &(Stack, u64)| first.0)[..2];
                stacks.push((stack, samples << u64::from(is_it)));
            }
        }
        Stacks(stacks)
    }

    pub fn write_folded(&self, path: &Path) -> io::Result<()> {
        let mut file = BufWriter::new(File::create(path)?);
        for (stack, samples) in &self.0 {
            for (level, &function) in stack.iter().enumerate() {
                let separator = if level == 0 { "" } else { ";" };
                write!(file, "{separator}{}", name(function))?;
            }
            writeln!(file, " {samples}")?;
        }
        file.flush()
    }

    /// The same as a recording: a wait of a millisecond per sample.
    pub fn write_recording(&self, path: &Path) -> Result<(), WriteError> {
        let mut profile = Profile::empty();
        profile.meta.duration_ns = 60_000_000_000;
        profile.meta.window_ns = 1_000_000_000;
        profile.processes.push(Process::default());
        for function in 0..FUNCTIONS as u16 {
            profile.strings.push(name(function));
            profile.frames.push(Frame {
                functions: vec![Function {
                    name: StringId(profile.strings.len() as u32 - 1),
                    ..Function::default()
                }],
                address: u64::from(function),
                ..Frame::default()
            });
        }
        profile.groups.push(Group {
            name: StringId(1),
            kind: TaskKind::Task,
            tasks: 1,
            ..Group::default()
        });
        for (at, (stack, samples)) in self.0.iter().enumerate() {
            let frames = stack.iter().map(|&function| FrameId(u32::from(function)));
            profile.stacks.push(frames);
            let mut stats = Stats::default();
            (0..*samples).for_each(|_| stats.add(1_000_000));
            profile.rows.push(Row {
                group: GroupId(0),
                stack: StackId(profile.stacks.len() as u32 - 1),
                state: State::Waiting,
                waker: WakerId(0),
                labels: LabelsId(0),
                open_episodes: 0,
                windows: [(at as u32 % 60, stats.total_ns)].into(),
                stats,
            });
        }
        profile.write_to(File::create(path)?)
    }
}

/// At each level one of three callees, the first of them mostly.
fn stack(random: &mut Random) -> Stack {
    let mut place = 1_u64;
    let mut stack = [0; DEPTH];
    for function in &mut stack {
        let branch = match random.below(100) {
            0..70 => 1,
            70..90 => 2,
            _ => 3,
        };
        place = (place * 4 + branch).wrapping_mul(0x2545_f491_4f6c_dd1d);
        *function = (place >> 32) as u16 % FUNCTIONS as u16;
    }
    stack
}

fn name(function: u16) -> String {
    format!("service::module_{}::Handler::step_{function}", function % 97)
}

/// Xorshift: the same numbers on every machine.
struct Random(u64);

impl Random {
    fn below(&mut self, limit: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 11) % limit
    }
}
