//! The `asyncprof` command.

mod commands;
mod record;
mod render;

use std::io::Write;
use std::process::ExitCode;

use anyhow::Result;
use clap::{CommandFactory, Parser, Subcommand};

use crate::record::NotStartable;

/// Async-aware profiler: where do tasks of tokio and asyncio wait, for what, and who woke them
///
/// Records any ordinary release build of a tokio program, or an asyncio program of CPython, unchanged: no code change, no special flags, no root.
#[derive(Debug, Parser)]
#[command(
    name = "asyncprof",
    version,
    after_help = "\
Examples:
  asyncprof demo                       see it work on a built-in service
  asyncprof record -- ./app            record a program, draw flamegraph.svg
  asyncprof flamegraph --by io         draw only the waits for input and output
  asyncprof report                     the numbers as text
  asyncprof diff before.data after.data
                                       what got slower, what faster, what cannot be told"
)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    Record(commands::RecordCommand),
    Flamegraph(commands::FlamegraphCommand),
    Report(commands::ReportCommand),
    Diff(commands::DiffCommand),
    Demo(commands::DemoCommand),
    #[command(hide = true)]
    DemoService(commands::DemoServiceCommand),
    /// Print a completion script for a shell
    #[command(after_help = "\
Examples:
  asyncprof completions bash > ~/.local/share/bash-completion/completions/asyncprof
  asyncprof completions zsh > ~/.zfunc/_asyncprof
  asyncprof completions fish > ~/.config/fish/completions/asyncprof.fish")]
    Completions {
        shell: clap_complete::Shell,
    },
    Man(commands::ManCommand),
}

fn main() -> ExitCode {
    let cli = Cli::parse();
    match run(cli.command) {
        Ok(code) => ExitCode::from(code),
        Err(error) if is_closed_pipe(&error) => ExitCode::SUCCESS,
        Err(error) => {
            // Who closed our standard error does not want to know.
            let _ = writeln!(std::io::stderr(), "asyncprof: {error:#}");
            ExitCode::from(
                error
                    .downcast_ref::<NotStartable>()
                    .map_or(125, NotStartable::exit_code),
            )
        }
    }
}

fn run(command: Command) -> Result<u8> {
    match command {
        Command::Record(record) => record.run(),
        Command::Flamegraph(flamegraph) => flamegraph.run(),
        Command::Report(report) => report.run(),
        Command::Diff(diff) => diff.run(),
        Command::Demo(demo) => demo.run(),
        Command::DemoService(service) => service.run(),
        Command::Completions { shell } => {
            let mut script = Vec::new();
            clap_complete::generate(shell, &mut Cli::command(), "asyncprof", &mut script);
            std::io::stdout().write_all(&script)?;
            Ok(0)
        }
        Command::Man(man) => man.run(Cli::command()),
    }
}

/// Whoever read our output has seen enough.
fn is_closed_pipe(error: &anyhow::Error) -> bool {
    error
        .chain()
        .filter_map(|cause| cause.downcast_ref::<std::io::Error>())
        .any(|error| error.kind() == std::io::ErrorKind::BrokenPipe)
}
