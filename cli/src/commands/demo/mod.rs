//! `asyncprof demo`: records a small service that this command carries inside, as any program is recorded.

mod python;

use std::ffi::OsString;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context, Result, anyhow};
use asyncprof::demo::{self, DemoArgs};
use asyncprof::tower::ROUTE;
use asyncprof_core::view::Rules;
use asyncprof_recorder::{DEFAULT_FREQ_HZ, DebugFiles};
use clap::Args;

use crate::commands::duration::parse_duration;
use crate::record::{Request, record};

/// Record a built-in demo: a web service that waits for a slow upstream and for SQLite at once
///
/// An axum server on loopback answers orders at a steady rate. For each it asks, at the same time, an upstream
/// over HTTP (about 40 ms) and a SQLite database in a blocking task (about 15 ms).
///
/// With --instrumented it uses the library for programs that want to be profiled (package asyncprof), and every third
/// request is for a price only; without, it is a program that knows nothing of the profiler.
///
/// With --python the service is one of FastAPI, uvicorn and httpx on asyncio, which that Python must have.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  asyncprof demo                               writes asyncprof.data and flamegraph.svg
  asyncprof demo -d 10s --rate 200             longer, and busier
  asyncprof demo --slow-upstream 100ms -o slow.data
  asyncprof demo --instrumented                per route: the service uses the library, too
  asyncprof demo --python                      the same service in Python, on asyncio
  asyncprof demo --python .venv/bin/python     with this interpreter")]
pub(crate) struct DemoCommand {
    /// Write just this file: a flame graph if it ends in .svg, else a profile
    #[arg(short, long, value_name = "FILE")]
    output: Option<PathBuf>,
    /// Say nothing but errors
    #[arg(short, long)]
    quiet: bool,
    /// Record a FastAPI service instead, run by this interpreter [default: that of the virtual environment in
    /// VIRTUAL_ENV, else python3]
    #[arg(long, value_name = "PATH", num_args = 0..=1, conflicts_with = "instrumented")]
    python: Option<Option<PathBuf>>,
    #[command(flatten)]
    service: DemoServiceCommand,
}

/// The demo service itself, without recording.
#[derive(Debug, Args)]
pub(crate) struct DemoServiceCommand {
    /// How long orders keep coming
    #[arg(short, long, value_name = "TIME", value_parser = parse_duration, default_value = "4s")]
    duration: Duration,
    /// Requests per second
    #[arg(long, value_name = "N", default_value_t = 30)]
    rate: u32,
    /// Make the upstream slower by this much
    #[arg(long, value_name = "TIME", value_parser = parse_duration)]
    slow_upstream: Option<Duration>,
    /// Let the service label requests with their routes and count them, for results by route
    #[arg(long)]
    instrumented: bool,
}

impl DemoCommand {
    pub(crate) fn run(self) -> Result<u8> {
        let (command, shown_command) = match &self.python {
            None => self.service.command()?,
            Some(python) => python::command(python.as_deref(), &self.service)?,
        };
        record(&Request {
            command,
            shown_command: Some(shown_command),
            output: self.output,
            freq_hz: DEFAULT_FREQ_HZ,
            max_overhead: None,
            duration: None,
            keep_running: false,
            allow_unknown_tokio: false,
            rules: Rules::default(),
            picture_by_label: self.service.instrumented.then(|| ROUTE.to_owned()),
            symbols: Vec::new(),
            debug_files: DebugFiles::default(),
            quiet: self.quiet,
            verbose: false,
        })
    }
}

impl DemoServiceCommand {
    /// The command that runs it, and how that is shown.
    fn command(&self) -> Result<(Vec<OsString>, Vec<String>)> {
        let own = std::env::current_exe().context("cannot find this program's own file")?;
        let mut args = vec![
            "demo-service".to_owned(),
            format!("--duration={}ms", self.duration.as_millis()),
            format!("--rate={}", self.rate),
        ];
        if let Some(slow) = self.slow_upstream {
            args.push(format!("--slow-upstream={}ms", slow.as_millis()));
        }
        if self.instrumented {
            args.push("--instrumented".into());
        }
        let shown = [vec!["asyncprof".into()], args.clone()].concat();
        let mut command = vec![own.into_os_string()];
        command.extend(args.into_iter().map(OsString::from));
        Ok((command, shown))
    }

    pub(crate) fn run(self) -> Result<u8> {
        let args = DemoArgs {
            duration: self.duration,
            rate_hz: self.rate,
            slow_upstream: self.slow_upstream.unwrap_or_default(),
            is_instrumented: self.instrumented,
        };
        demo::main(args)
            .map_err(|error| anyhow!(error))
            .context("the demo service failed")?;
        Ok(0)
    }
}
