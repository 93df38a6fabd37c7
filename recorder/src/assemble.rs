//! From raw numbers to a profile: reads the stacks from the region, names every address once.

use std::collections::{BTreeMap, HashMap, HashSet};

use asyncprof_core::aggregate::{RawGroup, RawRow, RawStack, RawWaker, WINDOW_NS};
use asyncprof_core::named_frame::{Named, record_of};
use asyncprof_core::process_info::{ProcessInfo, Tap};
use asyncprof_core::profile::{
    Frame, FrameId, Function, Group, GroupId, Label, LabelsId, LongPoll, Meta, Module, ModuleId, OpenWait,
    Process, ProcessId, Profile, Quality, Row, StackId, State, StringId, TaskKind, Waker, WakerId, Work,
};
use asyncprof_core::region::Region;
use asyncprof_core::thinning::SHORT_WAIT;

use crate::delays::delays;
use crate::merge::{merge_equal, merge_roots};
use crate::parents::complete_parents;
use crate::python_names::dotted;
use crate::sampler::Recorded;
use crate::symbolize::{DebugFiles, DebugInfo};
use crate::task_kinds::task_kinds;

/// What only the recording command knows.
#[derive(Debug)]
pub struct Circumstances {
    pub command: Vec<String>,
    pub started_unix_ns: u64,
    pub sampling_hz: u32,
    pub notes: Vec<String>,
    /// Names of stripped programs.
    pub debug_files: DebugFiles,
}

/// Makes the profile of a recording.
pub fn assemble(recorded: Recorded, region: &Region, circumstances: Circumstances) -> Profile {
    let (mut profile, _) = name_all(&recorded, region, circumstances);
    let tables: Vec<_> = recorded.raw.groups.iter().map(|group| group.table).collect();
    merge_equal(&mut profile, &tables);
    asyncprof_core::view::name_groups(&mut profile);
    merge_roots(&mut profile);
    profile
}

/// The same without merging, so that each group has its number in the recording.
pub(crate) fn assemble_live(
    recorded: &Recorded,
    region: &Region,
    circumstances: Circumstances,
) -> (Profile, HashMap<RawStack, StackId>) {
    let (mut profile, stacks) = name_all(recorded, region, circumstances);
    asyncprof_core::view::name_groups(&mut profile);
    (profile, stacks)
}

fn name_all(
    recorded: &Recorded,
    region: &Region,
    circumstances: Circumstances,
) -> (Profile, HashMap<RawStack, StackId>) {
    let mut profile = Profile::empty();
    profile.meta = Meta {
        asyncprof_version: env!("CARGO_PKG_VERSION").into(),
        command: circumstances.command,
        started_unix_ns: circumstances
            .started_unix_ns
            .saturating_add(recorded.raw.begun_ns),
        duration_ns: recorded.duration_ns,
        window_ns: WINDOW_NS,
    };
    let mut assembler = Assembler::new(profile, region, recorded);
    assembler.processes();
    assembler.groups();
    assembler.rows_and_wakers();
    assembler.labels();
    assembler.work();
    assembler.longest_polls();
    assembler.open_waits();
    assembler.profile.delays = delays(&recorded.raw.delays, |stack| assembler.stack(stack));
    assembler.tables();
    assembler.symbolize(&circumstances.debug_files);
    task_kinds(&mut assembler.profile, &recorded.raw, &assembler.stacks);
    complete_parents(&mut assembler.profile);
    assembler.quality(circumstances.sampling_hz, circumstances.notes);
    (assembler.profile, assembler.stacks)
}

struct Assembler<'a> {
    profile: Profile,
    region: &'a Region,
    recorded: &'a Recorded,
    strings: HashMap<String, StringId>,
    modules: HashMap<String, ModuleId>,
    frames: HashMap<(Option<ModuleId>, u64), FrameId>,
    stacks: HashMap<RawStack, StackId>,
    /// By number in the recording.
    process_ids: HashMap<u32, ProcessId>,
}

impl<'a> Assembler<'a> {
    fn new(profile: Profile, region: &'a Region, recorded: &'a Recorded) -> Self {
        Assembler {
            profile,
            region,
            recorded,
            strings: HashMap::new(),
            modules: HashMap::new(),
            frames: HashMap::new(),
            stacks: HashMap::from([(RawStack::default(), StackId(0))]),
            process_ids: HashMap::new(),
        }
    }

    fn string(&mut self, text: &str) -> StringId {
        if text.is_empty() {
            return StringId(0);
        }
        if let Some(&id) = self.strings.get(text) {
            return id;
        }
        let id = StringId(self.profile.strings.len() as u32);
        self.profile.strings.push(text.to_owned());
        self.strings.insert(text.to_owned(), id);
        id
    }

    fn processes(&mut self) {
        for (number, info) in self.recorded.processes.iter().enumerate() {
            let (runtime, task_tables, waker_tables) = match &info.tap {
                Tap::Tokio {
                    version,
                    task_tables,
                    waker_tables,
                } => (
                    format!("tokio {version}"),
                    task_tables.len() as u32,
                    *waker_tables,
                ),
                Tap::Asyncio { python, .. } => (format!("asyncio (CPython {python})"), 0, 0),
                Tap::Library => (String::new(), 0, 0),
                // The others have no tasks; a shell script starts hundreds of them.
                Tap::NoRuntime | Tap::Python { .. } | Tap::Refused { .. } | Tap::Partial { .. } => continue,
            };
            self.process_ids
                .insert(number as u32, ProcessId(self.profile.processes.len() as u32));
            self.profile.processes.push(Process {
                pid: info.pid,
                parent_pid: info.parent_pid,
                executable: info.executable.clone(),
                started_ns: self
                    .recorded
                    .rate
                    .ns(info.started_ticks)
                    .saturating_sub(self.recorded.raw.begun_ns),
                runtime,
                task_tables,
                waker_tables,
            });
        }
    }

    /// The profile's process of that number. One that never said what it is gets an entry when its tasks come.
    fn process_id(&mut self, number: u32) -> ProcessId {
        let processes = &mut self.profile.processes;
        *self.process_ids.entry(number).or_insert_with(|| {
            processes.push(Process::default());
            ProcessId(processes.len() as u32 - 1)
        })
    }

    fn groups(&mut self) {
        for raw in &self.recorded.raw.groups {
            let spawn_stack = self.stack(raw.spawn_stack);
            let table_name = self.table_name(raw);
            let RawGroup {
                process,
                is_root,
                parent,
                name,
                ref polls,
                tasks,
                completed,
                cancelled,
                panicked,
                ..
            } = *raw;
            let name = match name {
                0 => table_name,
                name => self.text(name),
            };
            let group = Group {
                process: self.process_id(process),
                name,
                kind: if is_root { TaskKind::Root } else { TaskKind::Task },
                spawn_stack,
                parent: parent.map(|parent| GroupId(parent.group)),
                polls: polls.clone(),
                tasks,
                completed,
                cancelled,
                panicked,
            };
            self.profile.groups.push(group);
        }
    }

    /// The name that the table brought with it; else the empty string.
    fn table_name(&mut self, raw: &RawGroup) -> StringId {
        let names = &self.recorded.raw.table_names;
        let name = raw.table.and_then(|table| names.get(&(raw.process, table)));
        let stack = name.map_or(StackId::default(), |&name| self.stack(name));
        let frame = self.profile.stacks[stack.index()].first();
        frame.map_or(StringId::default(), |frame| {
            let functions = &self.profile.frames[frame.index()].functions;
            functions
                .first()
                .map_or(StringId::default(), |function| function.name)
        })
    }

    fn rows_and_wakers(&mut self) {
        self.profile.wakers.clear();
        for raw in &self.recorded.raw.wakers {
            let waker = match *raw {
                RawWaker::Unknown => Waker::Unknown,
                RawWaker::Seen { group: None, stack } => Waker::Thread {
                    stack: self.stack(stack),
                },
                RawWaker::Seen {
                    group: Some(group),
                    stack,
                } => Waker::Task {
                    group: GroupId(group.group),
                    stack: self.stack(stack),
                },
            };
            self.profile.wakers.push(waker);
        }
        for raw in &self.recorded.raw.rows {
            let stack = self.stack(raw.stack);
            let RawRow {
                group,
                state,
                waker,
                labels,
                open_episodes,
                ref stats,
                ..
            } = *raw;
            self.profile.rows.push(Row {
                group: GroupId(group.group),
                stack,
                state,
                waker: WakerId(waker.0),
                labels: LabelsId(labels.0),
                stats: stats.clone(),
                open_episodes,
                windows: self.windows(raw.windows()).into(),
            });
        }
    }

    /// Counted from where this part of the recording begins.
    fn windows(&self, windows: impl IntoIterator<Item = (u32, u64)>) -> Vec<(u32, u64)> {
        let first = u32::try_from(self.recorded.raw.begun_ns / WINDOW_NS).unwrap_or(u32::MAX);
        windows
            .into_iter()
            .map(|(window, amount)| (window.saturating_sub(first), amount))
            .collect()
    }

    fn labels(&mut self) {
        self.profile.label_sets.clear();
        for raw in &self.recorded.raw.label_sets {
            let mut set = Vec::new();
            for &(key, value) in raw {
                let (key, value) = (self.text(key), self.text(value));
                set.push(Label { key, value });
            }
            self.profile.label_sets.push(set);
        }
    }

    /// The text of that number, which the program gave us.
    fn text(&mut self, number: u32) -> StringId {
        let text = self.region.texts().read(number);
        self.string(&text)
    }

    fn work(&mut self) {
        for raw in &self.recorded.raw.work {
            let process = self.process_id(raw.process);
            self.profile.work.push(Work {
                process,
                group: raw.group.map(|group| GroupId(group.group)),
                labels: LabelsId(raw.labels.0),
                units: raw.units,
                pieces: raw.pieces.clone(),
                windows: self.windows(raw.windows.iter().copied()),
            });
        }
    }

    fn longest_polls(&mut self) {
        for raw in &self.recorded.raw.longest_polls {
            let stack = self.stack(RawStack::new(raw.group.process, raw.stack));
            let (busy, busy_stack) = raw.busy.unwrap_or_default();
            let busy_stack = self.stack(RawStack::new(raw.group.process, busy_stack));
            self.profile.longest_polls.push(LongPoll {
                group: GroupId(raw.group.group),
                stack,
                busy,
                busy_stack,
                started_ns: raw.started_ns.saturating_sub(self.recorded.raw.begun_ns),
                duration_ns: raw.duration_ns,
            });
        }
    }

    fn open_waits(&mut self) {
        for raw in &self.recorded.raw.open_waits {
            let stack = self.stack(raw.stack);
            self.profile.open_waits.push(OpenWait {
                group: GroupId(raw.group.group),
                stack,
                tasks: raw.tasks,
                oldest_ns: raw.oldest_ns.clone(),
            });
        }
    }

    /// Stacks that only tell what kind of task a table stands for.
    fn tables(&mut self) {
        let raw = &self.recorded.raw;
        for stack in raw
            .table_stacks
            .values()
            .chain(raw.nested_tables.iter().map(|(_, stack)| stack))
        {
            self.stack(*stack);
        }
    }

    /// The profile's stack for a raw one: root first, each frame a file's address.
    fn stack(&mut self, raw: RawStack) -> StackId {
        if let Some(&id) = self.stacks.get(&raw) {
            return id;
        }
        let mut addresses = Vec::new();
        self.region.stacks().read(raw.number, &mut addresses);
        let recorded = self.recorded;
        let process = recorded.processes.get(raw.process as usize);
        let frames: Vec<FrameId> = addresses
            .iter()
            .rev()
            .map(|&address| self.frame(process, address))
            .collect();
        let id = StackId(self.profile.stacks.len() as u32);
        self.profile.stacks.push(frames);
        self.stacks.insert(raw, id);
        id
    }

    fn frame(&mut self, process: Option<&ProcessInfo>, return_address: u64) -> FrameId {
        if let Some(record) = record_of(return_address) {
            return self.named_frame(return_address, record);
        }
        // The call lies before the address it returns to, which may belong to the next line or function.
        let address = return_address.saturating_sub(1);
        let within = |m: &&asyncprof_core::process_info::ModuleInfo| (m.start..m.end).contains(&address);
        let key = match process.and_then(|process| process.modules.iter().find(within)) {
            None => (None, address),
            Some(module) => (Some(self.module(&module.path)), address.wrapping_sub(module.bias)),
        };
        if let Some(&id) = self.frames.get(&key) {
            return id;
        }
        let id = FrameId(self.profile.frames.len() as u32);
        self.profile.frames.push(Frame {
            module: key.0,
            address: key.1,
            functions: Vec::new(),
        });
        self.frames.insert(key, id);
        id
    }

    /// A frame that brings its name with it.
    fn named_frame(&mut self, word: u64, record: u32) -> FrameId {
        if let Some(&id) = self.frames.get(&(None, word)) {
            return id;
        }
        let mut words = Vec::new();
        self.region.stacks().read(record, &mut words);
        let named = Named::decode(&words);
        let function = Function {
            name: self.string(&dotted(&named.file, &named.function)),
            file: self.string(&named.file),
            line: named.line,
        };
        let id = FrameId(self.profile.frames.len() as u32);
        self.profile.frames.push(Frame {
            module: None,
            address: word,
            functions: vec![function],
        });
        self.frames.insert((None, word), id);
        id
    }

    fn module(&mut self, path: &str) -> ModuleId {
        if let Some(&id) = self.modules.get(path) {
            return id;
        }
        let id = ModuleId(self.profile.modules.len() as u32);
        self.profile.modules.push(Module {
            path: path.to_owned(),
            build_id: String::new(),
        });
        self.modules.insert(path.to_owned(), id);
        id
    }

    fn symbolize(&mut self, debug_files: &DebugFiles) {
        let mut by_module = BTreeMap::<ModuleId, Vec<(u64, usize)>>::new();
        for (at, frame) in self.profile.frames.iter().enumerate() {
            if let Some(module) = frame.module {
                by_module.entry(module).or_default().push((frame.address, at));
            }
        }
        for (module, mut frames) in by_module {
            frames.sort_unstable();
            let path = self.profile.modules[module.index()].path.clone();
            let Some(file) = self.recorded.files.get(&path) else {
                continue;
            };
            let addresses: Vec<u64> = frames.iter().map(|&(address, _)| address).collect();
            self.profile.modules[module.index()].build_id = file.build_id();
            let separate = debug_files.of(file);
            let symbols = match separate.as_ref().unwrap_or(file).symbolize(&addresses) {
                Ok(symbols) => symbols,
                Err(error) => {
                    let note = format!("{path}: its functions have no names: {error}");
                    self.profile.quality.notes.push(note);
                    continue;
                }
            };
            self.note_debug_info(&path, &symbols.debug_info);
            for ((_, at), chain) in frames.into_iter().zip(symbols.chains) {
                let functions = chain.iter().map(|function| Function {
                    name: self.string(&function.name),
                    file: self.string(function.file.as_deref().unwrap_or_default()),
                    line: function.line,
                });
                self.profile.frames[at].functions = functions.collect();
            }
        }
    }

    fn note_debug_info(&mut self, path: &str, debug_info: &DebugInfo) {
        let is_program = self.recorded.processes.iter().any(|info| info.executable == path);
        let note = match debug_info {
            DebugInfo::Damaged(error) => format!("{path}: its debug information cannot be read: {error}"),
            DebugInfo::Absent if is_program => format!(
                "{path} has no line tables: functions that the compiler has inlined, and lines, are not shown; \
                 build it with `debug = 1` in its profile to see them"
            ),
            DebugInfo::Absent | DebugInfo::Read => return,
        };
        self.profile.quality.notes.push(note);
    }

    fn quality(&mut self, sampling_hz: u32, notes: Vec<String>) {
        let counts = self.recorded.raw.counts;
        let frames = &self.profile.frames;
        let mut quality = Quality {
            events: counts.events,
            events_lost: self.recorded.lost.events,
            threads_lost: self.recorded.lost.threads,
            stacks_lost: self.recorded.lost.stacks,
            tasks_seen_late: counts.tasks_seen_late,
            wakes_unseen: counts.wakes_unseen,
            waits_split: counts.waits_split,
            frames_total: frames.len() as u64,
            frames_unsymbolised: frames.iter().filter(|frame| frame.functions.is_empty()).count() as u64,
            sampling_hz,
            samples: counts.samples,
            labels_lost: counts.labels_lost + self.region.texts_lost(),
            tasks_recorded: counts.tasks_recorded,
            tasks_left_out: counts.tasks_left_out,
            heaviest_task: counts.heaviest_task,
            tasks_cut_short: counts.tasks_cut_short,
            stacks_left_out: stacks_left_out(&self.profile),
            overhead_ns: self.recorded.burden.overhead_ns,
            program_cpu_ns: self.recorded.burden.cpu_ns,
            clock: self.region.clock().name().into(),
            notes,
        };
        quality.notes.append(&mut self.profile.quality.notes);
        if self.recorded.damaged_rings > 0 {
            quality.notes.push(format!(
                "{} times a ring held no valid events: the program has written over memory that is not its own",
                self.recorded.damaged_rings
            ));
        }
        self.profile.quality = quality;
    }
}

/// Waits whose stack is the one that stands for those that were not taken.
fn stacks_left_out(profile: &Profile) -> u64 {
    let is_stand_in = |stack: &[FrameId]| match *stack {
        [frame] => {
            let functions = &profile.frame(frame).functions;
            functions
                .iter()
                .any(|function| profile.string(function.name) == SHORT_WAIT)
        }
        _ => false,
    };
    let stand_ins: HashSet<StackId> = (0u32..)
        .zip(profile.stacks.iter())
        .filter(|(_, stack)| is_stand_in(stack))
        .map(|(at, _)| StackId(at))
        .collect();
    let waits = profile.rows.iter().filter(|row| row.state == State::Waiting);
    waits
        .filter(|row| stand_ins.contains(&row.stack))
        .map(|row| row.stats.episodes)
        .sum()
}
