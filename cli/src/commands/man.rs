//! `asyncprof man`: the manual pages, made from what the commands say of themselves.

use std::io::Write;

use anyhow::{Context, Result};
use clap::{Args, Command};

/// Print the manual page, of asyncprof or of one of its commands
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  asyncprof man | man -l -                     read the manual
  asyncprof man record | man -l -              read about one command
  asyncprof man > ~/.local/share/man/man1/asyncprof.1")]
pub(crate) struct ManCommand {
    /// The command to describe
    #[arg(value_name = "COMMAND")]
    command: Option<String>,
}

impl ManCommand {
    /// `whole` is the command line of all of asyncprof.
    pub(crate) fn run(self, mut whole: Command) -> Result<u8> {
        whole.build();
        let described = match &self.command {
            None => whole,
            Some(name) => {
                let known = whole.get_subcommands().find(|command| command.get_name() == name);
                let known = known.filter(|command| !command.is_hide_set());
                let command =
                    known.with_context(|| format!("there is no command {name}; see asyncprof --help"))?;
                // As in `man asyncprof-record`.
                let page = format!("asyncprof-{name}");
                command.clone().display_name(page)
            }
        };
        let mut page = Vec::new();
        clap_mangen::Man::new(described).render(&mut page)?;
        std::io::stdout().write_all(&page)?;
        Ok(0)
    }
}
