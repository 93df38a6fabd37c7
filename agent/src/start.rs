//! Joins a recording: finds the region, finds the runtime, tells what came of it.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::sync::{Arc, Once};

use asyncprof_core::process_info::{ProcessInfo, Tap};
use asyncprof_core::region::{ALLOW_UNKNOWN_TOKIO_VARIABLE, REGION_VARIABLE, Region};

use crate::modules::Module;
use crate::{modules, recorder, sampling, thread_pointer, tokio, unwind};

/// What joining came to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Joined {
    /// What came of the attempt to tap the program's runtime. What the program tells of itself is recorded all the same.
    pub runtime: Tap,
}

/// For programs that are linked with us: joins the recording that the environment names, if it names one that is
/// there. Changes nothing otherwise.
pub fn join_named() -> Option<Joined> {
    join(Arc::new(region()?))
}

/// For programs that are linked with us: joins this recording. None if the process has joined one before, or there is
/// no room for it.
///
/// Other threads may run, of a runtime, too: its tables are replaced word by word, each of which makes sense
/// beside the others' old values ([`tokio::attach`]).
pub fn join(region: Arc<Region>) -> Option<Joined> {
    if recorder::is_installed() {
        return None;
    }
    let mut runtime = None;
    try_join(region, |program| {
        let tap = tokio::attach(program, allows_unknown());
        runtime = Some(tap.clone());
        if tap.writes_events() { tap } else { Tap::Library }
    })?;
    runtime.map(|runtime| Joined { runtime })
}

/// Joins the recording, if [`start`](preload) has found no runtime, for what the program tells of itself. Whether this
/// process is being recorded.
pub(crate) fn join_for_library() -> bool {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        if !recorder::is_installed()
            && let Some(region) = region()
        {
            try_join(Arc::new(region), |_| Tap::Library);
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

fn allows_unknown() -> bool {
    std::env::var_os(ALLOW_UNKNOWN_TOKIO_VARIABLE).is_some_and(|value| value == "1")
}

/// A fault of ours in an odd program must not end it: this may be called by the loader, through which nothing unwinds.
fn try_join(region: Arc<Region>, tap: impl FnOnce(&Module) -> Tap) -> Option<()> {
    catch_unwind(AssertUnwindSafe(|| join_with(region, tap))).unwrap_or_default()
}

fn join_with(region: Arc<Region>, tap: impl FnOnce(&Module) -> Tap) -> Option<()> {
    let started_ticks = region.now();
    let pid = pid_as_the_recorder_sees_it();
    let process = region.claim_process(pid)?;
    let mapped = modules::mapped();
    let program = mapped.first()?;
    let own_code = unwind::prepare(&mapped);
    let tap = tap(program);
    let writes_events = tap.writes_events();
    let info = ProcessInfo {
        pid,
        // SAFETY: always succeeds.
        parent_pid: unsafe { libc::getppid() } as u32,
        executable: program.path.to_string_lossy().into_owned(),
        started_ticks,
        modules: mapped.iter().filter_map(|module| module.info()).collect(),
        own_code,
        tap,
    };
    // In another PID namespace the recorder knows our threads by other numbers.
    let can_be_asked = region.prompt_ticks() != 0 && pid == std::process::id();
    region.publish_process(process, info);
    if writes_events && recorder::install(region, process).is_ok() {
        #[cfg(not(feature = "preload"))]
        crate::imports::replace(program);
        tokio::enable_spawn_tap();
        if can_be_asked && sampling::enable() {
            recorder::set_answers(true);
        }
    }
    Some(())
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
        if let Some(region) = super::region() {
            let attach = |program: &super::Module| super::tokio::attach(program, super::allows_unknown());
            super::try_join(super::Arc::new(region), attach);
        }
    }
}
