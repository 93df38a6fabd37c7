//! Joins a recording: finds the region, finds the runtime, tells what came of it.

use std::ops::Range;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::sync::{Arc, Once};

use asyncprof_core::process_info::{ProcessInfo, Tap};
use asyncprof_core::region::{ALLOW_UNKNOWN_TOKIO_VARIABLE, REGION_VARIABLE, Region};

use crate::modules::Module;
use crate::{asyncio, modules, recorder, sampling, thread_pointer, tokio, unwind};

/// For programs that are linked with us: joins the recording that the environment names, if it names one that is
/// there. Changes nothing otherwise. Returns what came of the attempt to tap the program's runtime.
pub fn join_named() -> Option<Tap> {
    join(Arc::new(region()?))
}

/// For programs that are linked with us: joins this recording, for what the program tells of itself and, if that can be
/// tapped, for its runtime: returns what came of that. None if the process has joined a recording before, or there is
/// no room for it.
///
/// Other threads may run, of a runtime, too: its tables are replaced word by word, each of which makes sense
/// beside the others' old values (`tokio::attach`).
pub fn join(region: Arc<Region>) -> Option<Tap> {
    guarded(|| match recorder::is_installed() {
        true => None,
        false => try_join(region, |_| Tap::Library),
    })
}

/// Joins the recording, if [`start`](preload) has found no runtime, for what the program tells of itself. Whether this
/// process is being recorded.
pub(crate) fn join_for_library() -> bool {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        guarded(|| {
            if recorder::is_joined() {
                return None;
            }
            if !recorder::is_installed() {
                unwind::prepare(&modules::mapped());
                recorder::install(Arc::new(region()?)).ok()?;
            }
            join_late(Tap::Library);
            Some(())
        });
    });
    recorder::is_joined()
}

/// A fault of ours in an odd program must not end it: this may be called by the loader, through which nothing unwinds.
fn guarded<T>(join: impl FnOnce() -> Option<T>) -> Option<T> {
    catch_unwind(AssertUnwindSafe(join)).unwrap_or_default()
}

/// The recording that the environment names.
fn region() -> Option<Region> {
    let variable = std::env::var(REGION_VARIABLE).ok()?;
    let (path, token) = variable.rsplit_once(':')?;
    let token = u64::from_str_radix(token, 16).ok()?;
    let region = Region::open(Path::new(path), token).ok()?;
    region.is_recording().then_some(region)
}

/// Returns what was found, which is what the process tells of itself, unless that is no runtime: then `untapped` says.
fn try_join(region: Arc<Region>, untapped: fn(Tap) -> Tap) -> Option<Tap> {
    let pid = pid_as_the_recorder_sees_it();
    let started_ticks = region.now();
    let process = region.claim_process(pid)?;
    let mapped = modules::mapped();
    let program = mapped.first()?;
    let own_code = unwind::prepare(&mapped);
    let allow_unknown = std::env::var_os(ALLOW_UNKNOWN_TOKIO_VARIABLE).is_some_and(|value| value == "1");
    let python = asyncio::find();
    let found = match tokio::attach(program, allow_unknown) {
        Tap::NoRuntime => match &python {
            Some(Ok(python)) => Tap::Python {
                python: python.clone(),
            },
            Some(Err(reason)) => Tap::Refused {
                reason: reason.clone(),
            },
            None => Tap::NoRuntime,
        },
        tap => tap,
    };
    let tap = match found.is_tapped() {
        true => found.clone(),
        false => untapped(found.clone()),
    };
    let is_tapped = tap.is_tapped();
    let can_be_asked = can_be_asked(&region, pid);
    region.publish_process(process, info(pid, started_ticks, tap, &mapped, own_code));
    let awaits_asyncio = matches!(python, Some(Ok(_)));
    if (is_tapped || awaits_asyncio) && recorder::install(region).is_ok() {
        if is_tapped {
            recorder::join(|_| Some(process));
            #[cfg(not(feature = "preload"))]
            crate::imports::replace(program);
            tokio::enable_spawn_tap();
            answer(can_be_asked);
        }
        if awaits_asyncio {
            asyncio::await_import();
        }
    }
    Some(found)
}

/// Joins the recording now, if this process has not: its runtime was loaded later, or it is the forked child of one
/// that has joined.
pub(crate) fn join_late(tap: Tap) {
    let mut is_asked = false;
    recorder::join(|region| {
        let pid = pid_as_the_recorder_sees_it();
        is_asked = tap.is_tapped() && can_be_asked(region, pid);
        let process = region.claim_process(pid)?;
        let mapped = modules::mapped();
        let info = info(pid, region.now(), tap, &mapped, unwind::own_code(&mapped));
        region.publish_process(process, info);
        Some(process)
    });
    answer(is_asked);
}

/// Tells of something that is not seen of this process, if it has joined; whether it has.
pub(crate) fn tell_lack(lacks: &str) -> bool {
    let told = recorder::joined_region().map(|region| tell(region, Tap::Partial { lacks: lacks.into() }));
    told.is_some()
}

/// Tells of this process what makes for no events.
fn tell(region: &Region, tap: Tap) -> Option<()> {
    let pid = pid_as_the_recorder_sees_it();
    let process = region.claim_process(pid)?;
    let info = info(pid, region.now(), tap, &modules::mapped(), 0..0);
    region.publish_process(process, info);
    Some(())
}

fn can_be_asked(region: &Region, pid: u32) -> bool {
    // In another PID namespace the recorder knows our threads by other numbers.
    region.prompt_ticks() != 0 && pid == std::process::id()
}

/// This process's threads answer from now on, if they are asked.
fn answer(is_asked: bool) {
    if is_asked && sampling::enable() {
        recorder::set_answers(true);
    }
}

fn info(pid: u32, started_ticks: u64, tap: Tap, mapped: &[Module], own_code: Range<u64>) -> ProcessInfo {
    let executable = mapped
        .first()
        .map(|program| program.path.to_string_lossy().into_owned());
    ProcessInfo {
        pid,
        // SAFETY: always succeeds.
        parent_pid: unsafe { libc::getppid() } as u32,
        executable: executable.unwrap_or_default(),
        started_ticks,
        modules: mapped.iter().filter_map(|module| module.info()).collect(),
        own_code,
        tap,
    }
}

/// From now on nothing that the calling thread does is recorded: it is one of ours.
pub fn leave_this_thread_out() {
    thread_pointer::set(recorder::no_place());
}

/// In a PID namespace of its own a process knows itself by another number than the recorder, whose `/proc` this is:
/// the region was just found in it.
fn pid_as_the_recorder_sees_it() -> u32 {
    let own = std::fs::read_link("/proc/self").ok();
    own.and_then(|link| link.to_str()?.parse().ok())
        .unwrap_or_else(std::process::id)
}

#[cfg(feature = "preload")]
mod preload {
    use super::*;

    /// Run by the loader after all libraries are relocated and before the program's `main`.
    #[used]
    #[unsafe(link_section = ".init_array")]
    static START: extern "C" fn() = start;

    extern "C" fn start() {
        // This library's own panics, of which there should be none, are not the program's to print.
        std::panic::set_hook(Box::new(|_| ()));
        crate::panic_tap::prepare();
        guarded(|| {
            let region = Arc::new(region()?);
            match lacks_room() {
                None => try_join(region, |found| found),
                Some(reason) => {
                    let tap = Tap::Refused { reason };
                    tell(&region, tap.clone()).map(|()| tap)
                }
            }
        });
    }

    /// What must be left of a process's address space: what we map would else be missed by the program.
    const ROOM_BYTES: u64 = 128 << 20;

    /// Why there is no room for us in this process; None if there is.
    fn lacks_room() -> Option<String> {
        // SAFETY: plain numbers, filled by the call.
        let limit = unsafe {
            let mut limit: libc::rlimit = std::mem::zeroed();
            (libc::getrlimit(libc::RLIMIT_AS, &mut limit) == 0).then_some(limit.rlim_cur)?
        };
        if limit == libc::RLIM_INFINITY {
            return None;
        }
        let sizes = std::fs::read_to_string("/proc/self/statm").ok()?;
        let pages: u64 = sizes.split(' ').next()?.parse().ok()?;
        let needed = pages * 4096 + ROOM_BYTES;
        (needed > limit).then(|| {
            format!(
                "its address space is limited to {} MiB, too little for a recording, too; allow it {} MiB (ulimit -v)",
                limit >> 20,
                needed >> 20
            )
        })
    }
}
