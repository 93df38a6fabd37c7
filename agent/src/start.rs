//! Joins a recording: finds the region, finds the runtime, tells what came of it.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use asyncprof_core::process_info::{ProcessInfo, Tap};
use asyncprof_core::region::{ALLOW_UNKNOWN_TOKIO_VARIABLE, REGION_VARIABLE, Region};

use crate::{modules, recorder, sampling, thread_pointer, tokio, unwind};

/// Joins the recording that the environment names, if it names one that is there. Says nothing and changes nothing
/// otherwise. Returns what came of it.
pub fn start() -> Option<Tap> {
    let variable = std::env::var(REGION_VARIABLE).ok()?;
    let (path, token) = variable.rsplit_once(':')?;
    let token = u64::from_str_radix(token, 16).ok()?;
    let region = Region::open(Path::new(path), token).ok()?;
    if !region.is_recording() {
        return None;
    }
    join(Arc::new(region))
}

/// Joins this recording. None if the process has joined one before, or there is no room for it.
///
/// Other threads may run, of a runtime, too: its tables are replaced word by word, each of which makes sense
/// beside the others' old values ([`tokio::attach`]).
pub fn join(region: Arc<Region>) -> Option<Tap> {
    static JOINED: AtomicBool = AtomicBool::new(false);
    if JOINED.swap(true, Ordering::AcqRel) {
        return None;
    }
    // A fault of ours in an odd program must not end it: this may be called by the loader, through which nothing
    // unwinds.
    std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| try_join(region))).unwrap_or_default()
}

fn try_join(region: Arc<Region>) -> Option<Tap> {
    let started_ticks = region.now();
    let pid = pid_as_the_recorder_sees_it();
    let process = region.claim_process(pid)?;
    let mapped = modules::mapped();
    let program = mapped.first()?;
    let own_code = unwind::prepare(&mapped);
    let allow_unknown = std::env::var_os(ALLOW_UNKNOWN_TOKIO_VARIABLE).is_some_and(|value| value == "1");
    let tap = tokio::attach(program, allow_unknown);
    let info = ProcessInfo {
        pid,
        // SAFETY: always succeeds.
        parent_pid: unsafe { libc::getppid() } as u32,
        executable: program.path.to_string_lossy().into_owned(),
        started_ticks,
        modules: mapped.iter().filter_map(|module| module.info()).collect(),
        own_code,
        tap: tap.clone(),
    };
    let is_tapped = matches!(tap, Tap::Tokio { .. });
    // In another PID namespace the recorder knows our threads by other numbers.
    let can_be_asked = region.prompt_ticks() != 0 && pid == std::process::id();
    region.publish_process(process, info);
    if is_tapped && recorder::install(region, process).is_ok() {
        #[cfg(not(feature = "preload"))]
        crate::imports::replace(program);
        tokio::enable_spawn_tap();
        if can_be_asked && sampling::enable() {
            recorder::set_answers(true);
        }
    }
    Some(tap)
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
