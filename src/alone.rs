//! A recording without the command: of this process, by threads of this process.

use std::fmt::Display;
use std::io::{self, Write};
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::{Duration, SystemTime};

use asyncprof_core::clock::ClockSource;
use asyncprof_core::process_info::Tap;
use asyncprof_core::profile::Profile;
use asyncprof_core::region::Region;
use asyncprof_recorder::{Circumstances, DebugFiles, Parts, Recorded, Recording, Settings, assemble};
use signal_hook_registry::SigId;

use crate::output::Output;
use crate::profiler::Builder;
use crate::snapshot::{MOST_TASKS, Snapshot};
use crate::{Error, linked};

/// How long a signal or a part may wait to be written.
const TURN: Duration = Duration::from_millis(50);

/// How long a caller waits for a snapshot. Reading the names of a large program takes a second or two.
const SNAPSHOT_WAIT: Duration = Duration::from_secs(10);

/// A program's files are its own: few of them are ours.
const MOST_OPEN_FILES: usize = 32;

/// Whether `asyncprof record` records this process: its agent was preloaded, or ours joins it here, where nothing
/// can be preloaded.
pub(crate) fn join_command() -> bool {
    if let Some(agent) = linked::preloaded() {
        return (agent.join)();
    }
    let joined = asyncprof_agent::join_named().is_some();
    if joined {
        linked::use_own();
    }
    joined
}

/// Tells the user what cannot be told to the program.
pub(crate) fn say(error: &dyn Display) {
    // Nobody listening is no reason to stop.
    let _ = writeln!(io::stderr(), "asyncprof: {error}");
}

/// What the writer is asked for.
#[derive(Debug)]
enum Request {
    Finish(Sender<Result<PathBuf, Error>>),
    Snapshot(Sender<Result<Snapshot, Error>>),
}

/// The recording that goes on in this process, for [`snapshot`].
static CURRENT: Mutex<Option<(u32, Sender<Request>)>> = Mutex::new(None);

fn set_current(current: Option<(u32, Sender<Request>)>) {
    *CURRENT.lock().unwrap_or_else(PoisonError::into_inner) = current;
}

pub(crate) fn snapshot() -> Result<Snapshot, Error> {
    let current = CURRENT.lock().unwrap_or_else(PoisonError::into_inner).clone();
    let requests = match current {
        Some((process, requests)) if process == std::process::id() => requests,
        None if linked::agent().is_some() => return Err(Error::RecordedByCommand),
        _ => return Err(Error::NotRecording),
    };
    let (to, reply) = channel();
    requests
        .send(Request::Snapshot(to))
        .map_err(|_| Error::NotRecording)?;
    match reply.recv_timeout(SNAPSHOT_WAIT) {
        Ok(snapshot) => snapshot,
        Err(RecvTimeoutError::Timeout) => Err(Error::Late {
            waited: SNAPSHOT_WAIT,
        }),
        Err(RecvTimeoutError::Disconnected) => Err(Error::NotRecording),
    }
}

#[derive(Debug)]
pub(crate) struct Alone {
    /// A forked child has this value, but not our threads.
    process: u32,
    obstacle: Option<String>,
    requests: Sender<Request>,
    /// Dropped before the end: a signal is nobody's then.
    handler: Option<Handler>,
}

impl Alone {
    pub(crate) fn start(builder: Builder) -> Result<Alone, Error> {
        let output = Output::new(builder.output, builder.window, builder.files);
        output.check()?;
        let is_asked = Arc::new(AtomicBool::new(false));
        let listen = |signal| Handler::new(signal, Arc::clone(&is_asked));
        let handler = builder.signal.map(listen).transpose()?;
        let process = std::process::id();
        // No other process looks for it.
        let (region, _file) = Region::create(u64::from(process), ClockSource::detect(), None)
            .map_err(|error| Error::system(io::Error::other(error)))?;
        let region = Arc::new(region);
        let started = SystemTime::now();
        // Our threads inherit the mask: the program's signals are for its own.
        let mask = SignalsHeldBack::new();
        let (to, parts) = channel();
        let settings = Settings {
            freq_hz: builder.freq_hz,
            most_open_files: MOST_OPEN_FILES,
            begin_thread: asyncprof_agent::leave_this_thread_out,
            parts: output.window().map(|every| Parts { every, to }),
            max_overhead: builder.max_overhead,
        };
        let recording = Recording::start(Arc::clone(&region), settings).map_err(Error::system)?;
        let Some(runtime) = asyncprof_agent::join(Arc::clone(&region)) else {
            let _ = recording.finish(region.now());
            return Err(Error::AlreadyStarted);
        };
        linked::use_own();
        let obstacle = obstacle(&runtime);
        let (requests, asked) = channel();
        let writer = Writer {
            recording,
            parts,
            is_asked,
            desk: Desk {
                region,
                output,
                freq_hz: builder.freq_hz,
                started,
                notes: notes(obstacle.as_deref()),
            },
        };
        thread::Builder::new()
            .name("asyncprof-write".into())
            .spawn(move || {
                asyncprof_agent::leave_this_thread_out();
                writer.run(&asked);
            })
            .map_err(Error::system)?;
        drop(mask);
        set_current(Some((process, requests.clone())));
        Ok(Alone {
            process,
            obstacle,
            requests,
            handler,
        })
    }

    pub(crate) fn obstacle(&self) -> Option<&str> {
        self.obstacle.as_deref()
    }

    /// Ends the recording and returns where the profile is.
    pub(crate) fn finish(self) -> Result<Option<PathBuf>, Error> {
        if self.process != std::process::id() {
            return Ok(None);
        }
        set_current(None);
        linked::use_none();
        drop(self.handler);
        let (to, reply) = channel();
        let _ = self.requests.send(Request::Finish(to));
        match reply.recv() {
            Ok(written) => written.map(Some),
            Err(_) => Err(Error::system(io::Error::other(
                "the writer thread panicked; please report this",
            ))),
        }
    }
}

/// Sets a flag on each signal of a number, and calls the handler that was there.
#[derive(Debug)]
struct Handler(SigId);

impl Handler {
    fn new(signal: i32, flag: Arc<AtomicBool>) -> Result<Handler, Error> {
        if signal_hook_registry::FORBIDDEN.contains(&signal) {
            let why = format!("signal {signal} cannot be handled");
            return Err(Error::system(io::Error::other(why)));
        }
        let note = move || flag.store(true, Ordering::Relaxed);
        // SAFETY: storing to an atomic is all that the handler does.
        let registered = unsafe { signal_hook_registry::register(signal, note) };
        registered.map(Handler).map_err(Error::system)
    }
}

impl Drop for Handler {
    fn drop(&mut self) {
        signal_hook_registry::unregister(self.0);
    }
}

fn obstacle(tap: &Tap) -> Option<String> {
    match tap {
        Tap::Tokio { .. } | Tap::Asyncio { .. } | Tap::Library => None,
        Tap::NoRuntime | Tap::Python { .. } => Some("no tokio was found in this program".into()),
        Tap::Refused { reason } | Tap::Partial { lacks: reason } => Some(reason.clone()),
    }
}

fn notes(obstacle: Option<&str>) -> Vec<String> {
    let obstacle = obstacle.map(|why| format!("tokio's tasks are not seen: {why}"));
    let is_static = asyncprof_agent::is_static_program().then(|| {
        "the program is statically linked: a task begins at its first poll, without its parent's labels, a panic \
         counts as a result, and running time is not split"
            .to_owned()
    });
    obstacle.into_iter().chain(is_static).collect()
}

/// The thread that makes profiles of what was recorded.
struct Writer {
    recording: Recording,
    /// Those that are over, if the recording is given out in parts.
    parts: Receiver<Recorded>,
    /// Set by the signal's handler.
    is_asked: Arc<AtomicBool>,
    desk: Desk,
}

impl Writer {
    fn run(self, requests: &Receiver<Request>) {
        loop {
            match requests.recv_timeout(TURN) {
                Ok(Request::Finish(to)) => {
                    let _ = to.send(self.finish());
                    return;
                }
                Ok(Request::Snapshot(to)) => {
                    let live = self.recording.live(MOST_TASKS).map_err(Error::system);
                    let _ = to.send(live.map(|live| Snapshot::new(&live.named(&self.desk.region))));
                }
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => return,
            }
            self.desk.write_parts(&self.parts);
            if self.is_asked.swap(false, Ordering::Relaxed) {
                let so_far = self.recording.so_far().map_err(Error::system);
                let written = so_far.and_then(|recorded| {
                    let profile = self.desk.profile(recorded);
                    self.desk.output.write_so_far(&profile)
                });
                written.map_or_else(|error| say(&error), drop);
            }
        }
    }

    fn finish(self) -> Result<PathBuf, Error> {
        let Writer {
            recording,
            parts,
            desk,
            ..
        } = self;
        let recorded = recording.finish(desk.region.now()).map_err(Error::system)?;
        // One may have come meanwhile.
        desk.write_parts(&parts);
        desk.output.write(&desk.profile(recorded))
    }
}

/// All that is needed to make files of what was recorded.
struct Desk {
    region: Arc<Region>,
    output: Output,
    freq_hz: u32,
    started: SystemTime,
    notes: Vec<String>,
}

impl Desk {
    fn write_parts(&self, parts: &Receiver<Recorded>) {
        for part in parts.try_iter() {
            if let Err(error) = self.output.write(&self.profile(part)) {
                say(&error);
            }
        }
    }

    fn profile(&self, recorded: Recorded) -> Profile {
        let started = self.started.duration_since(SystemTime::UNIX_EPOCH);
        let circumstances = Circumstances {
            command: std::env::args_os()
                .map(|word| word.to_string_lossy().into_owned())
                .collect(),
            started_unix_ns: u64::try_from(started.unwrap_or_default().as_nanos()).unwrap_or(u64::MAX),
            sampling_hz: self.freq_hz,
            debug_files: DebugFiles::default(),
            notes: self
                .notes
                .iter()
                .cloned()
                .chain(recorded.obstacle.clone())
                .collect(),
        };
        assemble(recorded, &self.region, circumstances)
    }
}

/// Holds back all signals on the calling thread for as long as it lives.
struct SignalsHeldBack {
    former: libc::sigset_t,
}

impl SignalsHeldBack {
    fn new() -> SignalsHeldBack {
        // SAFETY: zeros are a valid set; all pointers are to values of that type.
        unsafe {
            let mut all = std::mem::zeroed::<libc::sigset_t>();
            let mut former = std::mem::zeroed::<libc::sigset_t>();
            libc::sigfillset(&mut all);
            libc::pthread_sigmask(libc::SIG_SETMASK, &all, &mut former);
            SignalsHeldBack { former }
        }
    }
}

impl Drop for SignalsHeldBack {
    fn drop(&mut self) {
        // SAFETY: the set that the call above has filled.
        unsafe { libc::pthread_sigmask(libc::SIG_SETMASK, &self.former, std::ptr::null_mut()) };
    }
}
