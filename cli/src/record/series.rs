//! Several recordings in a row, of one program or of two in turn, each into its own profile: what `diff` compares.

use std::ffi::{OsStr, OsString};
use std::io::Write;
use std::path::{Path, PathBuf};

use anyhow::{Result, bail};

use super::child::Signals;
use super::outputs::{DEFAULT_PROFILE, Outputs};
use super::session::{Request, record_until};
use super::target;

/// How a shell says that SIGTERM ended a program: what a time limit does.
const ENDED_BY_LIMIT: u8 = 128 + libc::SIGTERM as u8;

/// What is run how often.
#[derive(Clone, Debug)]
pub(crate) struct Series {
    sides: Vec<Side>,
    runs: u32,
}

#[derive(Clone, Debug)]
struct Side {
    /// In front of the run's number in the name of its profile.
    label: &'static str,
    /// What is in front of the arguments; nothing where these are a whole command.
    program: Option<OsString>,
}

/// One run of one side.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Turn {
    side: usize,
    number: u32,
}

impl Series {
    /// The same command so many times.
    pub(crate) fn of_one(runs: u32) -> Series {
        let side = Side {
            label: "",
            program: None,
        };
        Series {
            sides: vec![side],
            runs,
        }
    }

    /// Two programs with the same arguments, each so many times.
    pub(crate) fn of_two(programs: [OsString; 2], runs: u32) -> Series {
        let sides = ["a", "b"].into_iter().zip(programs);
        Series {
            sides: sides
                .map(|(label, program)| Side {
                    label,
                    program: Some(program),
                })
                .collect(),
            runs,
        }
    }

    /// A B, B A, A B, …: what drifts meanwhile is the same for both.
    fn turns(&self) -> Vec<Turn> {
        let turn = |side, number| Turn { side, number };
        let round = |number| {
            let mut round: Vec<Turn> = (0..self.sides.len()).map(|side| turn(side, number)).collect();
            if number % 2 == 0 {
                round.reverse();
            }
            round
        };
        (1..=self.runs).flat_map(round).collect()
    }

    fn command(&self, side: usize, words: &[OsString]) -> Vec<OsString> {
        let program = self.sides[side].program.iter();
        program.chain(words).cloned().collect()
    }

    fn profile(&self, prefix: &OsStr, turn: Turn) -> PathBuf {
        let mut name = prefix.to_owned();
        name.push(format!("-{}{}.data", self.sides[turn.side].label, turn.number));
        name.into()
    }
}

/// Records all runs. Returns 0 if all of them did or were ended by the time limit, else the first other exit code.
pub(crate) fn record_series(series: &Series, request: &Request) -> Result<u8> {
    let prefix = prefix(request.output.as_deref())?;
    let turns = series.turns();
    for side in 0..series.sides.len() {
        target::find(&series.command(side, &request.command)[0])?;
    }
    let first = series.profile(&prefix, turns[0]);
    if let Some(doubt) = Outputs::new(Some(&first)).doubt() {
        bail!("{doubt}");
    }

    let signals = Signals::catch()?;
    let mut whole = vec![Vec::new(); series.sides.len()];
    let mut failed = None;
    for (done, &turn) in turns.iter().enumerate() {
        let path = series.profile(&prefix, turn);
        let command = series.command(turn.side, &request.command);
        if !request.quiet {
            let (number, of) = (done + 1, turns.len());
            say(format_args!(
                "run {number} of {of}: {} → {}",
                command[0].display(),
                path.display()
            ));
        }
        let code = record_until(
            &Request {
                command,
                output: Some(path.clone()),
                // A report after each run is more than anyone reads.
                quiet: !request.verbose,
                ..request.clone()
            },
            &signals,
        )?;
        if let Some(signal) = signals.last() {
            say(format_args!(
                "stopped in run {} of {}; {} is not of a whole run",
                done + 1,
                turns.len(),
                path.display()
            ));
            failed.get_or_insert(128 + signal as u8);
            break;
        }
        if code == 0 || request.duration.is_some() && code == ENDED_BY_LIMIT {
            whole[turn.side].push(path);
        } else {
            say(format_args!(
                "run {} of {} ended with exit code {code}; {} is not of a whole run",
                done + 1,
                turns.len(),
                path.display()
            ));
            failed.get_or_insert(code);
        }
    }
    if !request.quiet {
        tell_what_next(&whole);
    }
    Ok(failed.unwrap_or(0))
}

/// Nobody listening is no reason to stop.
fn say(text: std::fmt::Arguments<'_>) {
    let _ = writeln!(std::io::stderr(), "asyncprof: {text}");
}

/// What the names of the profiles begin with.
fn prefix(output: Option<&Path>) -> Result<OsString> {
    let default = Path::new(DEFAULT_PROFILE);
    let path = match output {
        None => default.to_owned(),
        Some(path) if path == Path::new("-") => bail!(
            "several runs cannot go to standard output; name what the names of their profiles begin with, as in -o before"
        ),
        Some(path) if path.is_dir() => path.join(default),
        Some(path) => path.to_owned(),
    };
    match path.extension() {
        Some(ending) if ending == "data" => Ok(path.with_extension("").into()),
        Some(ending) if ending.eq_ignore_ascii_case("svg") => bail!(
            "several runs are recorded as profiles, not as one picture; name what their names begin with, as in -o \
             before, and draw each with `asyncprof flamegraph`"
        ),
        _ => Ok(path.into()),
    }
}

fn tell_what_next(whole: &[Vec<PathBuf>]) {
    let names = |paths: &[PathBuf]| {
        let names = paths.iter().map(|path| quoted(&path.display().to_string()));
        names.collect::<Vec<_>>().join(" ")
    };
    match whole {
        [base, new] if !base.is_empty() && !new.is_empty() => say(format_args!(
            "compare them with: asyncprof diff {} --vs {}",
            names(base),
            names(new)
        )),
        [runs] if !runs.is_empty() => say(format_args!(
            "compare them with other runs, OTHER…, by: asyncprof diff {} --vs OTHER…",
            names(runs)
        )),
        _ => say(format_args!("there are no two sides to compare")),
    }
}

/// As one word for a shell.
fn quoted(word: &str) -> String {
    let is_plain = |c: char| c.is_alphanumeric() || "-_./+,:@%".contains(c);
    match word.starts_with('-') {
        // Not to be taken for an option.
        true => quoted(&format!("./{word}")),
        false if word.chars().all(is_plain) => word.to_owned(),
        false => format!("'{}'", word.replace('\'', r"'\''")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_programs_take_turns_so_that_drift_cancels() {
        let series = Series::of_two(["./old".into(), "./new".into()], 4);
        let names: Vec<String> = series
            .turns()
            .into_iter()
            .map(|turn| series.profile("x".as_ref(), turn).display().to_string())
            .collect();
        let order = ["a1", "b1", "b2", "a2", "a3", "b3", "b4", "a4"];
        assert_eq!(names, order.map(|name| format!("x-{name}.data")));
    }

    #[test]
    fn names_are_words_for_a_shell() {
        for (word, shown) in [
            ("out/a-1.data", "out/a-1.data"),
            ("-a1.data", "./-a1.data"),
            ("it's one.data", r"'it'\''s one.data'"),
        ] {
            assert_eq!(quoted(word), shown);
        }
    }

    #[test]
    fn a_prefix_may_look_like_a_profile_or_be_a_folder() {
        let of = |output: &str| prefix(Some(output.as_ref())).unwrap();
        assert_eq!(prefix(None).unwrap(), "asyncprof");
        assert_eq!((of("before"), of("v1.2.data")), ("before".into(), "v1.2".into()));
        assert_eq!(of("/"), "/asyncprof");
        assert!(prefix(Some("a.svg".as_ref())).is_err());
    }
}
