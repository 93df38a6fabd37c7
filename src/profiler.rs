use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use asyncprof_recorder::DEFAULT_FREQ_HZ;

use crate::Error;
use crate::alone::{self, Alone};

const MAX_FREQ_HZ: u32 = 10_000;
const DEFAULT_OUTPUT: &str = "asyncprof.data";
const DEFAULT_FILES: usize = 8;
const LONGEST_WINDOW: Duration = Duration::from_secs(24 * 3600);

/// Turns the library off if it is `off`.
const SWITCH_VARIABLE: &str = "ASYNCPROF";

/// Records this process until the guard is dropped, with the usual settings: see [`builder`].
///
/// Call it first in `main`, before the runtime is made: what is spawned earlier is seen from its next poll on, and
/// the profile counts it as seen late.
///
/// Under `asyncprof record` this joins the command's recording, which goes on after the guard. Otherwise the profile
/// is written to `asyncprof.data` when the guard is dropped, and, without ending the recording, whenever the process
/// gets `SIGUSR2`. Read it with `asyncprof report` and `asyncprof flamegraph`.
///
/// With `ASYNCPROF=off` in the environment nothing is started; the library's other calls then cost what they cost in a
/// program that never starts a recording.
///
/// ```no_run
/// fn main() -> Result<(), asyncprof::Error> {
///     let _profiler = asyncprof::start()?;
///     // … make the runtime, run the program …
///     Ok(())
/// }
/// ```
///
/// # Errors
/// See [`Error`]. The program runs on as if nothing had been asked.
pub fn start() -> Result<Profiler, Error> {
    builder().start()
}

/// A recording that is yet to be started, to be set up.
///
/// ```
/// # let folder = std::env::temp_dir().join(format!("asyncprof-doc-{}", std::process::id()));
/// # std::fs::create_dir_all(&folder).unwrap();
/// # let path = folder.join("service.data");
/// let profiler = asyncprof::builder().freq(499).output(&path).start()?;
/// // … run the program …
/// if let Some(written) = profiler.finish()? {
///     println!("profile: {}", written.display());
/// }
/// # std::fs::remove_dir_all(&folder).unwrap();
/// # Ok::<(), asyncprof::Error>(())
/// ```
pub fn builder() -> Builder {
    Builder {
        freq_hz: DEFAULT_FREQ_HZ,
        output: DEFAULT_OUTPUT.into(),
        window: None,
        files: DEFAULT_FILES,
        signal: Some(libc::SIGUSR2),
        max_overhead: None,
    }
}

/// How to record: made by [`builder`].
///
/// ```
/// let builder = asyncprof::builder().freq(0);
/// assert!(format!("{builder:?}").contains("asyncprof.data"));
/// ```
#[derive(Clone, Debug)]
#[must_use = "nothing is recorded before `start`"]
pub struct Builder {
    pub(crate) freq_hz: u32,
    pub(crate) output: PathBuf,
    pub(crate) window: Option<Duration>,
    pub(crate) files: usize,
    pub(crate) signal: Option<i32>,
    pub(crate) max_overhead: Option<f64>,
}

impl Builder {
    /// Looks at polling threads so many times a second, to tell what burns or blocks in them: 199 unless told, at
    /// most 10,000, and 0 for not at all.
    ///
    /// ```
    /// let builder = asyncprof::builder().freq(997);
    /// ```
    pub fn freq(mut self, hz: u32) -> Builder {
        self.freq_hz = hz;
        self
    }

    /// Writes the profile there: `asyncprof.data` unless told. Whether it can be written is tried at the start.
    ///
    /// ```
    /// let builder = asyncprof::builder().output("/var/log/shop/asyncprof.data");
    /// ```
    pub fn output(mut self, path: impl AsRef<Path>) -> Builder {
        self.output = path.as_ref().to_owned();
        self
    }

    /// For programs that run for long: a profile of each such stretch of time (whole seconds, at most a day) instead of
    /// one of all. Their files have its end in their names, as in `asyncprof-20261123T001500Z.data`.
    ///
    /// What a task was doing when a stretch ends counts up to there, as open, and from there on in the next one.
    ///
    /// ```
    /// use std::time::Duration;
    /// let builder = asyncprof::builder().window(Duration::from_secs(15 * 60)).files(96);
    /// ```
    pub fn window(mut self, length: Duration) -> Builder {
        self.window = Some(length);
        self
    }

    /// With [`window`](Builder::window): keeps so many files and removes the oldest, 8 unless told. Files of that name
    /// and pattern count whoever wrote them, so that restarts do not fill the disk: give each process a path of its own.
    ///
    /// ```
    /// let builder = asyncprof::builder().files(4);
    /// ```
    pub fn files(mut self, most: usize) -> Builder {
        self.files = most;
        self
    }

    /// The signal on which the profile so far is written, `SIGUSR2` unless told; `None` for none. A handler that the
    /// program has for it by then is called, too. One that it sets later takes our place.
    ///
    /// ```
    /// let builder = asyncprof::builder().signal(None);
    /// ```
    pub fn signal(mut self, signal: impl Into<Option<i32>>) -> Builder {
        self.signal = signal.into();
        self
    }

    /// Leaves out what costs the program more than this part of its CPU time, from 0 to 1: first stacks of waits under 10 µs, then
    /// new tokio tasks, some of which then count for all. Unless told, only what comes too fast to be taken in.
    ///
    /// The cost is estimated, of what runs within the program's own threads; those of the recording are not in it. The report
    /// tells it, and what was left out. 0 leaves out all that it helps to leave out.
    ///
    /// ```
    /// let builder = asyncprof::builder().max_overhead(0.01);
    /// ```
    pub fn max_overhead(mut self, part: f64) -> Builder {
        self.max_overhead = Some(part);
        self
    }

    /// Starts the recording: see [`start`].
    ///
    /// ```
    /// # let folder = std::env::temp_dir().join(format!("asyncprof-doc-start-{}", std::process::id()));
    /// # std::fs::create_dir_all(&folder).unwrap();
    /// # let path = folder.join("a.data");
    /// let first = asyncprof::builder().output(&path).start()?;
    /// let second = asyncprof::builder().output(&path).start();
    /// assert!(matches!(second, Err(asyncprof::Error::AlreadyStarted)));
    /// # drop((first, second));
    /// # std::fs::remove_dir_all(&folder).unwrap();
    /// # Ok::<(), asyncprof::Error>(())
    /// ```
    ///
    /// # Errors
    /// See [`Error`].
    pub fn start(self) -> Result<Profiler, Error> {
        if std::env::var_os(SWITCH_VARIABLE).is_some_and(|value| value == "off") {
            return Ok(Profiler { how: How::Off });
        }
        self.check()?;
        claim()?;
        let started = if alone::join_command() {
            Ok(Profiler { how: How::Joined })
        } else {
            Alone::start(self).map(|alone| Profiler {
                how: How::Alone(alone),
            })
        };
        if started.is_err() {
            // What was wrong can be put right.
            STARTED_IN.store(0, Ordering::Release);
        }
        started
    }

    fn check(&self) -> Result<(), Error> {
        if self.freq_hz > MAX_FREQ_HZ {
            return Err(Error::Rate { hz: self.freq_hz });
        }
        if let Some(part) = self.max_overhead
            && !(0.0..=1.0).contains(&part)
        {
            return Err(Error::Overhead { part });
        }
        match self.window {
            Some(window) if window < Duration::from_secs(1) || window > LONGEST_WINDOW || self.files == 0 => {
                Err(Error::Window {
                    window,
                    files: self.files,
                })
            }
            _ => Ok(()),
        }
    }
}

/// The process that has started a recording; 0 for none.
static STARTED_IN: AtomicU32 = AtomicU32::new(0);

fn claim() -> Result<(), Error> {
    let own = std::process::id();
    match STARTED_IN.compare_exchange(0, own, Ordering::AcqRel, Ordering::Acquire) {
        Ok(_) => Ok(()),
        Err(other) if other == own => Err(Error::AlreadyStarted),
        Err(_) => Err(Error::Forked),
    }
}

/// A recording that goes on for as long as this lives.
///
/// Dropping it ends the recording and writes the profile, which takes from some milliseconds to a few seconds for a
/// large program; the thread that drops it waits for that. It may be dropped anywhere: inside a task, or while a
/// panic unwinds. In a child that was forked meanwhile the drop does nothing.
///
/// A program that ends by `std::process::exit` or by a signal drops nothing: send it `SIGUSR2` first, record in
/// [windows](Builder::window), or end `main` in the ordinary way on Ctrl-C.
///
/// ```
/// # let folder = std::env::temp_dir().join(format!("asyncprof-doc-guard-{}", std::process::id()));
/// # std::fs::create_dir_all(&folder).unwrap();
/// # let path = folder.join("a.data");
/// let profiler = asyncprof::builder().output(&path).start()?;
/// assert!(profiler.is_recording());
/// drop(profiler);
/// assert!(path.exists());
/// # std::fs::remove_dir_all(&folder).unwrap();
/// # Ok::<(), asyncprof::Error>(())
/// ```
#[derive(Debug)]
#[must_use = "the recording ends when the guard is dropped: keep it in a variable"]
pub struct Profiler {
    how: How,
}

#[derive(Debug)]
enum How {
    Off,
    /// The recording is the command's.
    Joined,
    Alone(Alone),
}

impl Profiler {
    /// Whether anything is recorded: not if it is turned off.
    ///
    /// ```
    /// # // SAFETY: nothing else runs in this example.
    /// # unsafe { std::env::set_var("ASYNCPROF", "off") };
    /// let profiler = asyncprof::start()?; // with ASYNCPROF=off in the environment
    /// assert!(!profiler.is_recording());
    /// # Ok::<(), asyncprof::Error>(())
    /// ```
    pub fn is_recording(&self) -> bool {
        !matches!(self.how, How::Off)
    }

    /// Why tokio's tasks are not seen, if they are not: a stripped program, an unknown version. What is
    /// [labelled or wrapped](crate) by hand is recorded all the same.
    ///
    /// ```
    /// # let folder = std::env::temp_dir().join(format!("asyncprof-doc-why-{}", std::process::id()));
    /// # std::fs::create_dir_all(&folder).unwrap();
    /// # let path = folder.join("a.data");
    /// let profiler = asyncprof::builder().output(&path).start()?;
    /// if let Some(obstacle) = profiler.obstacle() {
    ///     eprintln!("tokio's tasks will not be in the profile: {obstacle}");
    /// }
    /// # drop(profiler);
    /// # std::fs::remove_dir_all(&folder).unwrap();
    /// # Ok::<(), asyncprof::Error>(())
    /// ```
    pub fn obstacle(&self) -> Option<&str> {
        match &self.how {
            How::Alone(alone) => alone.obstacle(),
            How::Off | How::Joined => None,
        }
    }

    /// Ends the recording as dropping does, and tells where the profile is; `None` if it is not ours to write (under
    /// `asyncprof record`, turned off, or in a forked child).
    ///
    /// ```
    /// # let folder = std::env::temp_dir().join(format!("asyncprof-doc-finish-{}", std::process::id()));
    /// # std::fs::create_dir_all(&folder).unwrap();
    /// # let path = folder.join("a.data");
    /// let profiler = asyncprof::builder().output(&path).start()?;
    /// assert_eq!(profiler.finish()?, Some(path));
    /// # std::fs::remove_dir_all(&folder).unwrap();
    /// # Ok::<(), asyncprof::Error>(())
    /// ```
    ///
    /// # Errors
    /// [`Error::Output`] if the profile could not be written.
    pub fn finish(mut self) -> Result<Option<PathBuf>, Error> {
        self.end()
    }

    fn end(&mut self) -> Result<Option<PathBuf>, Error> {
        match std::mem::replace(&mut self.how, How::Off) {
            How::Alone(alone) => alone.finish(),
            How::Off | How::Joined => Ok(None),
        }
    }
}

impl Drop for Profiler {
    fn drop(&mut self) {
        if let Err(error) = self.end() {
            alone::say(&error);
        }
    }
}
