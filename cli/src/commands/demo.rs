//! `asyncprof demo`: records a small service that this command carries inside, as any program is recorded.

use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context, Result, anyhow};
use asyncprof::demo::{self, DemoArgs};
use asyncprof::tower::ROUTE;
use asyncprof_core::view::Rules;
use asyncprof_recorder::DebugFiles;
use clap::Args;

use super::duration::parse_duration;
use crate::record::{Request, record};

/// Record a built-in demo: a web service that waits for a slow upstream and for SQLite at once
///
/// An axum server on loopback answers orders at a steady rate. For each it asks, at the same time, an upstream
/// over HTTP (about 40 ms) and a SQLite database in a blocking task (about 15 ms).
///
/// With --instrumented it uses the library for programs that want to be profiled (package asyncprof), and every third
/// request is for a price only; without, it is a program that knows nothing of the profiler.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  asyncprof demo                               writes asyncprof.data and flamegraph.svg
  asyncprof demo -d 10s --rate 200             longer, and busier
  asyncprof demo --slow-upstream 100ms -o slow.data
  asyncprof demo --instrumented                per route: the service uses the library, too")]
pub(crate) struct DemoCommand {
    /// Write just this file: a flame graph if it ends in .svg, else a profile
    #[arg(short, long, value_name = "FILE")]
    output: Option<PathBuf>,
    /// Say nothing but errors
    #[arg(short, long)]
    quiet: bool,
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
        let own = std::env::current_exe().context("cannot find this program's own file")?;
        let mut command = vec![own.into_os_string(), "demo-service".into()];
        command.extend([format!("--duration={}ms", self.service.duration.as_millis()).into()]);
        command.push(format!("--rate={}", self.service.rate).into());
        if let Some(slow) = self.service.slow_upstream {
            command.push(format!("--slow-upstream={}ms", slow.as_millis()).into());
        }
        if self.service.instrumented {
            command.push("--instrumented".into());
        }
        let shown = std::iter::once("asyncprof".into())
            .chain(
                command[1..]
                    .iter()
                    .map(|word| word.to_string_lossy().into_owned()),
            )
            .collect();
        record(&Request {
            command,
            shown_command: Some(shown),
            output: self.output,
            freq_hz: super::record::DEFAULT_FREQ_HZ,
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
