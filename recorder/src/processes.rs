//! The processes of a recording: which come, which end, and what becomes of their slots in the region.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use asyncprof_core::process_info::ProcessInfo;
use asyncprof_core::region::Region;

use crate::symbolize::ObjectFile;

/// A process in the region's table.
#[derive(Debug)]
struct Live {
    /// Its number in the recording.
    number: u32,
    pid: u32,
    /// What the kernel tells of it: opening that costs more than reading it. None if no more files may be open.
    stat: Option<File>,
    /// When it was found to be gone.
    gone_ticks: Option<u64>,
}

/// One of which no event can come any more.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Ended {
    /// Its number in the recording.
    pub(crate) number: u32,
    pub(crate) at_ticks: u64,
}

#[derive(Debug, Default)]
pub(crate) struct Processes {
    /// By number.
    pub(crate) all: Vec<ProcessInfo>,
    /// Of all of them, by path.
    pub(crate) files: HashMap<String, ObjectFile>,
    /// By slot in the region.
    live: HashMap<usize, Live>,
}

impl Processes {
    pub(crate) fn tapped(&self) -> usize {
        self.all.iter().filter(|info| info.tap.is_tapped()).count()
    }

    pub(crate) fn running_pids(&self) -> impl Iterator<Item = u32> {
        let running = self.live.values().filter(|live| live.gone_ticks.is_none());
        running.map(|live| live.pid)
    }

    /// The number of the process in this slot.
    pub(crate) fn number_in(&self, slot: usize) -> u32 {
        self.live.get(&slot).map_or(u32::MAX, |live| live.number)
    }

    /// Notices processes that have come, and those that are gone. Whether there are new ones.
    pub(crate) fn find(&mut self, region: &Region) -> bool {
        let mut found = Vec::new();
        for (slot, pid) in region.processes() {
            if self.live.contains_key(&slot) {
                continue;
            }
            // Looked at before the message: one that is gone and has left none was killed before it could.
            let is_gone = pid != 0 && !is_alive(pid);
            match region.process_info(slot) {
                Some(info) => found.push((slot, info)),
                None if is_gone => region.release_process(slot),
                None => {}
            }
        }
        // A process that becomes another program may get a lower slot for it than it had.
        found.sort_by_key(|(_, info)| info.started_ticks);
        let is_news = !found.is_empty();
        for (slot, info) in found {
            if !info.tap.is_tapped() {
                // No events will come from it; a script may start more of them than there are slots.
                region.release_process(slot);
                self.all.push(info);
                continue;
            }
            let now = region.now();
            // The same process, running another program now.
            for former in self.live.values_mut().filter(|live| live.pid == info.pid) {
                former.gone_ticks.get_or_insert(info.started_ticks.min(now));
            }
            self.live.insert(
                slot,
                Live {
                    number: self.all.len() as u32,
                    pid: info.pid,
                    stat: File::open(format!("/proc/{}/stat", info.pid)).ok(),
                    gone_ticks: None,
                },
            );
            self.open_files(&info);
            self.all.push(info);
        }
        let now = region.now();
        for live in self.live.values_mut().filter(|live| live.gone_ticks.is_none()) {
            if !live.stat.as_ref().is_some_and(runs) && !is_alive(live.pid) {
                live.gone_ticks = Some(now);
            }
        }
        is_news
    }

    fn open_files(&mut self, info: &ProcessInfo) {
        for module in &info.modules {
            if let Entry::Vacant(vacant) = self.files.entry(module.path.clone())
                && let Ok(file) = ObjectFile::open(&module.path)
            {
                vacant.insert(file);
            }
        }
    }

    /// Lets go of those of which no event can come any more, all that are gone if the recording stops: each with its slot,
    /// which is to be given back.
    pub(crate) fn end(&mut self, settled: u64, stop: Option<u64>) -> Vec<(usize, Ended)> {
        let gone = |live: &Live| {
            live.gone_ticks
                .is_some_and(|gone| stop.is_some() || gone <= settled)
        };
        let ended = self.live.extract_if(|_, live| gone(live)).map(|(slot, live)| {
            let ended = Ended {
                number: live.number,
                // The end of the recording is known exactly, the end of a process only when we look.
                at_ticks: live.gone_ticks.into_iter().chain(stop).min().unwrap_or(settled),
            };
            (slot, ended)
        });
        ended.collect()
    }
}

/// Whether a process of this number exists; one that ended and was not waited for does not. One whose main thread
/// has ended looks like that, too, but other threads of it still run.
fn is_alive(pid: u32) -> bool {
    let process = PathBuf::from(format!("/proc/{pid}"));
    let thread_runs = |folder: &Path| File::open(folder.join("stat")).is_ok_and(|stat| runs(&stat));
    thread_runs(&process)
        || std::fs::read_dir(process.join("task"))
            .is_ok_and(|threads| threads.flatten().any(|thread| thread_runs(&thread.path())))
}

/// Whether the thread with this `stat` exists and has not ended.
fn runs(stat: &File) -> bool {
    // The state follows the name, which is in parentheses, may contain any of its own, and is short.
    let mut start = [0; 128];
    let read = stat.read_at(&mut start, 0);
    let name_end = start.iter().rposition(|&byte| byte == b')');
    let state = name_end.and_then(|end| start.get(end + 2));
    read.is_ok() && !matches!(state, Some(b'Z' | b'X') | None)
}
