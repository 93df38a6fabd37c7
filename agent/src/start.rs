//! Joins a recording: finds the region, finds the runtime, tells what came of it.

use std::path::Path;
use std::sync::Once;

use asyncprof_core::process_info::{ProcessInfo, Tap};
use asyncprof_core::region::{ALLOW_UNKNOWN_TOKIO_VARIABLE, REGION_VARIABLE, Region};

use crate::modules::Module;
use crate::{modules, recorder, sampling, tokio, unwind};

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
        if !recorder::is_installed() {
            let _ = std::panic::catch_unwind(|| join(region()?, |_| Tap::Library));
        }
    });
    recorder::is_installed()
}

fn try_start() -> Option<()> {
    let allow_unknown = std::env::var_os(ALLOW_UNKNOWN_TOKIO_VARIABLE).is_some_and(|value| value == "1");
    join(region()?, |program| tokio::attach(program, allow_unknown))
}

/// The recording that the environment names.
fn region() -> Option<Region> {
    let variable = std::env::var(REGION_VARIABLE).ok()?;
    let (path, token) = variable.rsplit_once(':')?;
    let token = u64::from_str_radix(token, 16).ok()?;
    let region = Region::open(Path::new(path), token).ok()?;
    region.is_recording().then_some(region)
}

fn join(region: Region, tap: impl FnOnce(&Module) -> Tap) -> Option<()> {
    let started_ticks = region.now();
    let pid = pid_as_the_recorder_sees_it();
    let process = region.claim_process(pid)?;
    let mapped = modules::mapped();
    let program = mapped.first()?;
    let own_code = unwind::prepare(&mapped);
    let tap = tap(program);
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
    let is_tapped = info.tap.writes_events();
    // In another PID namespace the recorder knows our threads by other numbers.
    let can_be_asked = region.prompt_ticks() != 0 && pid == std::process::id();
    region.publish_process(process, info);
    if is_tapped && recorder::install(region, process).is_ok() {
        tokio::enable_spawn_tap();
        if can_be_asked && sampling::enable() {
            recorder::set_answers(true);
        }
    }
    Some(())
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
