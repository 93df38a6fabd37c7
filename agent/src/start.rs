//! Joins a recording: finds the region, finds the runtime, tells what came of it.

use std::ops::Range;
use std::path::Path;
use std::sync::Once;

use asyncprof_core::process_info::{ProcessInfo, Tap};
use asyncprof_core::region::{ALLOW_UNKNOWN_TOKIO_VARIABLE, REGION_VARIABLE, Region};

use crate::{asyncio, modules, recorder, sampling, tokio, unwind};

/// Joins the recording that the environment names, if it names one that is there. Before the program's own code
/// and before any second thread. Says nothing and changes nothing otherwise.
pub fn start() {
    // A fault of ours in an odd program must not end it: it is called by the loader, through which nothing unwinds.
    let _ = std::panic::catch_unwind(try_start);
}

/// Joins the recording, if [`start`] has found no runtime, for what the program tells of itself. Whether this process
/// is being recorded.
pub(crate) fn join_for_library() -> bool {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        let install = || recorder::install(region()?).ok();
        let installed = std::panic::catch_unwind(|| !recorder::is_installed() && install().is_some());
        if installed.unwrap_or(false) {
            unwind::prepare(&modules::mapped());
            join_late(Tap::Library);
        }
    });
    recorder::is_installed()
}

/// The recording that the environment names.
fn region() -> Option<Region> {
    let variable = std::env::var(REGION_VARIABLE).ok()?;
    let (path, token) = variable.rsplit_once(':')?;
    let token = u64::from_str_radix(token, 16).ok()?;
    let region = Region::open(Path::new(path), token).ok()?;
    region.is_recording().then_some(region)
}

fn try_start() -> Option<()> {
    let region = region()?;
    let pid = pid_as_the_recorder_sees_it();
    let started_ticks = region.now();
    let process = region.claim_process(pid)?;
    let mapped = modules::mapped();
    let program = mapped.first()?;
    let own_code = unwind::prepare(&mapped);
    let allow_unknown = std::env::var_os(ALLOW_UNKNOWN_TOKIO_VARIABLE).is_some_and(|value| value == "1");
    let python = asyncio::find();
    let tap = match tokio::attach(program, allow_unknown) {
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
    let is_tapped = tap.is_tapped();
    let can_be_asked = can_be_asked(&region, pid);
    region.publish_process(process, info(pid, started_ticks, tap, &mapped, own_code));
    let awaits_asyncio = matches!(python, Some(Ok(_)));
    if (is_tapped || awaits_asyncio) && recorder::install(region).is_ok() {
        if is_tapped {
            recorder::join(|_| Some(process));
            tokio::enable_spawn_tap();
            answer(can_be_asked);
        }
        if awaits_asyncio {
            asyncio::await_import();
        }
    }
    Some(())
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

fn info(
    pid: u32,
    started_ticks: u64,
    tap: Tap,
    mapped: &[modules::Module],
    own_code: Range<u64>,
) -> ProcessInfo {
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

/// In a PID namespace of its own a process knows itself by another number than the recorder, whose `/proc` this is:
/// the region was just found in it.
fn pid_as_the_recorder_sees_it() -> u32 {
    let own = std::fs::read_link("/proc/self").ok();
    own.and_then(|link| link.to_str()?.parse().ok())
        .unwrap_or_else(std::process::id)
}

#[cfg(feature = "preload")]
mod preload {
    /// Run by the loader after all libraries are relocated and before the program's `main`.
    #[used]
    #[unsafe(link_section = ".init_array")]
    static START: extern "C" fn() = start;

    extern "C" fn start() {
        // This library's own panics, of which there should be none, are not the program's to print.
        std::panic::set_hook(Box::new(|_| ()));
        crate::panic_tap::prepare();
        super::start();
    }
}
