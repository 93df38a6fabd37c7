use std::io;
use std::path::PathBuf;
use std::time::Duration;

/// Why something was not recorded. The program itself is untouched in every case.
///
/// ```
/// let error = asyncprof::builder().freq(1_000_000).start().unwrap_err();
/// assert!(matches!(error, asyncprof::Error::Rate { hz: 1_000_000, .. }));
/// ```
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A process is recorded once; the guard of that recording is elsewhere, or was dropped before.
    #[error("this process is being recorded, or was before: asyncprof::start works once in a process")]
    AlreadyStarted,
    /// A child that was forked from a recorded process is not recorded.
    #[error(
        "this process was forked from a recorded one, which goes on recording; a child records if it calls exec"
    )]
    Forked,
    /// Threads can be looked at up to 10,000 times a second; 0 is never.
    #[error("{hz} looks a second are too many: give a rate up to 10000, or 0 for none")]
    #[non_exhaustive]
    Rate {
        /// What was asked for.
        hz: u32,
    },
    /// What recording may cost is a part of the CPU time, from 0 to 1.
    #[error("recording cannot cost {part} of the CPU time: give a part from 0 to 1, such as 0.01")]
    #[non_exhaustive]
    Overhead {
        /// What was asked for.
        part: f64,
    },
    /// A part of a recording is at least a second long and at most a day, and at least one file is kept.
    #[error(
        "a part of {window:?} in {files} files cannot be: a part takes 1 s to 24 h, and at least one file is kept"
    )]
    #[non_exhaustive]
    Window {
        /// What was asked for.
        window: Duration,
        /// What was asked for.
        files: usize,
    },
    /// The profile cannot be written there.
    #[error("{} cannot be written: {why}", path.display())]
    #[non_exhaustive]
    Output {
        /// Where it was to go.
        path: PathBuf,
        /// The system's reason, or a sentence of ours.
        why: io::Error,
    },
    /// The system refused what a recording needs: memory, a thread, a signal's handler.
    #[error("cannot record: {why}")]
    #[non_exhaustive]
    System {
        /// The system's reason.
        why: io::Error,
    },
    /// Nothing is being recorded in this process, or it is turned off.
    #[error("this process is not being recorded")]
    NotRecording,
    /// What was asked for is known to the `asyncprof record` command only, which records this process.
    #[error("this process is recorded by the asyncprof command, which alone knows its tasks")]
    RecordedByCommand,
    /// No answer in time: the machine is overloaded, or the program's names take long to read.
    #[error("the recording did not answer in {waited:?}")]
    #[non_exhaustive]
    Late {
        /// For how long an answer was waited for.
        waited: Duration,
    },
}

impl Error {
    pub(crate) fn system(why: impl Into<io::Error>) -> Error {
        Error::System { why: why.into() }
    }
}
