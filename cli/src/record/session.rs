//! One recording from start to end.

use std::ffi::OsString;
use std::io::{IsTerminal, Write};
use std::os::fd::AsRawFd;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use anyhow::{Context, Result, bail};
use asyncprof_core::clock::ClockSource;
use asyncprof_core::profile::Profile;
use asyncprof_core::region::{ALLOW_UNKNOWN_TOKIO_VARIABLE, REGION_VARIABLE, Region, SYMBOLS_VARIABLE};
use asyncprof_core::view::Rules;
use asyncprof_recorder::{Circumstances, DebugFiles, Progress, Recording, Settings, assemble};
use indicatif::{ProgressBar, ProgressStyle};

use super::child::{End, Limit, Signals, start, supervise};
use super::notes::notes;
use super::outputs::{Look, Outputs};
use super::{agent_file, target};
use crate::render::{ReportOptions, nothing_recorded, report};

/// Number of words of a ring, for tests that want losses.
const RING_WORDS_VARIABLE: &str = "ASYNCPROF_TEST_RING_WORDS";

/// What `record` was asked for.
#[derive(Clone, Debug)]
pub(crate) struct Request {
    pub(crate) command: Vec<OsString>,
    /// The command as shown in the profile, if it is not the one that runs.
    pub(crate) shown_command: Option<Vec<String>>,
    pub(crate) output: Option<PathBuf>,
    pub(crate) duration: Option<Duration>,
    /// Looks at polling threads per second; 0 for none.
    pub(crate) freq_hz: u32,
    /// The part of the program's CPU time that recording may cost.
    pub(crate) max_overhead: Option<f64>,
    pub(crate) keep_running: bool,
    pub(crate) allow_unknown_tokio: bool,
    /// For the picture and the report; the profile holds no kinds.
    pub(crate) rules: Rules,
    /// The picture stands on the labels of this key.
    pub(crate) picture_by_label: Option<String>,
    /// Folders with debug files, and what is in them.
    pub(crate) symbols: Vec<PathBuf>,
    pub(crate) debug_files: DebugFiles,
    pub(crate) quiet: bool,
    pub(crate) verbose: bool,
}

/// Runs the command and records it. Returns the exit code to end with: the program's own.
pub(crate) fn record(request: &Request) -> Result<u8> {
    record_until(request, &Signals::catch()?)
}

/// The same, with signals that were caught before.
pub(super) fn record_until(request: &Request, signals: &Signals) -> Result<u8> {
    let target = target::find(&request.command[0])?;
    if request.output.as_deref() == Some(Path::new("-")) {
        bail!(
            "cannot record to standard output, which belongs to the program; name a file, or another descriptor \
             as in -o /dev/fd/3"
        );
    }
    let outputs = Outputs::new(request.output.as_deref());
    let look = Look {
        rules: &request.rules,
        by_label: request.picture_by_label.as_deref(),
    };
    let say = |text: std::fmt::Arguments<'_>| {
        // Nobody listening is no reason to stop.
        let _ = writeln!(std::io::stderr(), "asyncprof: {text}");
    };
    if let Some(doubt) = outputs.doubt() {
        say(format_args!(
            "{doubt}; what is recorded will go to {}",
            std::env::temp_dir().display()
        ));
    }

    let token = token()?;
    let ring_words = std::env::var(RING_WORDS_VARIABLE)
        .ok()
        .and_then(|words| words.parse().ok());
    let (region, file) = Region::create(token, ClockSource::detect(), ring_words).context("cannot record")?;
    let region = Arc::new(region);
    let own_file = format!("/proc/{}/fd/{}:{token:x}", std::process::id(), file.as_raw_fd());
    // Programs into which nothing can be preloaded may have the agent linked.
    let mut environment = vec![(REGION_VARIABLE, own_file.into())];
    if !target.preload_is_unsafe {
        let agent = agent_file::install()?;
        let preload = agent_file::preload(&agent, std::env::var_os("LD_PRELOAD").as_deref());
        environment.push(("LD_PRELOAD", preload));
    }
    if !request.symbols.is_empty() {
        let folders = request.symbols.iter().map(std::path::absolute);
        let folders = folders.collect::<Result<Vec<_>, _>>();
        let folders = std::env::join_paths(folders.context("cannot name the folder of --symbols")?);
        environment.push((
            SYMBOLS_VARIABLE,
            folders.context("cannot look for symbols there")?,
        ));
    }
    if request.allow_unknown_tokio {
        environment.push((ALLOW_UNKNOWN_TOKIO_VARIABLE, "1".into()));
    }

    let settings = Settings {
        freq_hz: request.freq_hz,
        max_overhead: request.max_overhead,
        ..Settings::default()
    };
    let recording = Recording::start(Arc::clone(&region), settings).context("cannot record")?;
    let started = SystemTime::now()
        .duration_since(SystemTime::UNIX_EPOCH)
        .unwrap_or_default();
    let child = start(&target, &request.command, &environment)?;
    let status = StatusLine::new(!request.quiet);
    let limit = Limit {
        duration: request.duration,
        keep_running: request.keep_running,
    };
    let clock = Arc::clone(&region);
    let (end, at_ticks) = supervise(
        child,
        signals,
        limit,
        |elapsed| status.show(elapsed, recording.progress()),
        move || clock.now(),
    )?;
    let at_ticks = if at_ticks == 0 { region.now() } else { at_ticks };
    status.clear();

    let recorded = recording.finish(at_ticks)?;
    let shown_command = || {
        request
            .command
            .iter()
            .map(|word| word.to_string_lossy().into_owned())
            .collect()
    };
    let mut notes = notes(&recorded, region.processes_lost(), &target);
    notes.extend(recorded.obstacle.clone());
    let circumstances = Circumstances {
        command: request.shown_command.clone().unwrap_or_else(shown_command),
        started_unix_ns: u64::try_from(started.as_nanos()).unwrap_or(u64::MAX),
        sampling_hz: request.freq_hz,
        notes,
        debug_files: request.debug_files.clone(),
    };
    let profile = assemble(recorded, &region, circumstances);
    let (said, saved) = outputs.write(&profile, look);
    match nothing_recorded(&profile) {
        Some(why) => say(format_args!("{why}")),
        None if request.quiet => {}
        None => print_report(&profile, request)?,
    }
    for sentence in said
        .iter()
        .filter(|sentence| !request.quiet || sentence.is_trouble)
    {
        say(format_args!("{}", sentence.text));
    }
    Ok(match end {
        End::Exited(code) | End::Stopped { code } if saved => code,
        _ => 125,
    })
}

/// A number that no other recording has.
fn token() -> Result<u64> {
    let mut bytes = [0; 8];
    std::fs::File::open("/dev/urandom")
        .and_then(|mut random| std::io::Read::read_exact(&mut random, &mut bytes))
        .context("cannot read /dev/urandom")?;
    Ok(u64::from_le_bytes(bytes))
}

/// The report, on standard error: the program's own output is not ours to mix with.
fn print_report(profile: &Profile, request: &Request) -> Result<()> {
    let options = ReportOptions {
        rules: request.rules.clone(),
        color: wants_color(),
        limit: if request.verbose { 30 } else { 5 },
    };
    let mut text = Vec::new();
    report(profile, &options, &mut text)?;
    let _ = std::io::stderr().write_all(&text);
    Ok(())
}

/// Colour only on a terminal, and not against the user's wish.
pub(crate) fn wants_color() -> bool {
    std::io::stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty())
}

/// What is going on, in one line that is drawn over: only on a terminal.
struct StatusLine {
    bar: ProgressBar,
}

impl StatusLine {
    fn new(wanted: bool) -> StatusLine {
        let bar = if wanted && std::io::stderr().is_terminal() {
            let style = ProgressStyle::with_template("{spinner} {msg}").expect("the template is valid");
            ProgressBar::new_spinner().with_style(style)
        } else {
            ProgressBar::hidden()
        };
        StatusLine { bar }
    }

    fn show(&self, elapsed: Duration, progress: Progress) {
        let Progress {
            tasks_alive,
            events,
            events_lost,
            tapped_processes,
        } = progress;
        let lost = if events_lost == 0 {
            String::new()
        } else {
            format!(", {events_lost} lost")
        };
        let processes = if tapped_processes == 1 {
            String::new()
        } else {
            format!(", {tapped_processes} processes")
        };
        let seconds = elapsed.as_secs();
        self.bar.set_message(format!(
            "recording {}:{:02}  {tasks_alive} tasks alive, {events} events{lost}{processes}",
            seconds / 60,
            seconds % 60
        ));
        self.bar.tick();
    }

    fn clear(&self) {
        self.bar.finish_and_clear();
    }
}
