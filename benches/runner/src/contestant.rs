//! The profilers that are compared, each as its documentation says to use it.

use std::ffi::OsString;
use std::path::Path;
use std::process::Command;

use crate::build::{Build, Programs};
use crate::measure::Load;

/// What a load is written in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Language {
    Rust,
    Python,
}

/// How a profiler gets at the program.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum How {
    /// It is linked in, or there is none.
    Within,
    Asyncprof,
    Perf,
    PySpy,
    Pyinstrument,
    Yappi,
    Viztracer,
}

#[derive(Debug)]
pub struct Contestant {
    pub name: &'static str,
    pub language: Language,
    pub how: How,
    /// Of the loads in Rust.
    pub build: Build,
    /// How many times less work it gets in the loads that it slows down most.
    pub handicap: u64,
}

impl Contestant {
    pub fn is_baseline(&self) -> bool {
        self.how == How::Within && self.build.feature.is_empty()
    }

    /// Whether it is a process of its own beside the program.
    pub fn is_apart(&self) -> bool {
        matches!(self.how, How::Asyncprof | How::Perf | How::PySpy)
    }

    /// The load's command, whose traces go into `folder`.
    pub fn command(&self, programs: &Programs, load: &Load, size: u64, folder: &Path) -> Command {
        let python = programs.python();
        let tool = |name: &str| python.with_file_name(name).into_os_string();
        let trace = folder.join("trace");
        let words = |program: OsString, words: &[&str]| {
            let words = words.iter().map(OsString::from);
            [program].into_iter().chain(words).collect::<Vec<_>>()
        };
        let before: Vec<OsString> = match self.how {
            How::Within => Vec::new(),
            How::Asyncprof => words(programs.asyncprof().into(), &["record", "--quiet", "--output"]),
            How::Perf => words("perf".into(), &["record", "--quiet", "-F", "997", "-g", "-o"]),
            How::PySpy => words(tool("py-spy"), &["record", "-r", "100", "-f", "raw", "-o"]),
            How::Pyinstrument => words(tool("pyinstrument"), &["-o"]),
            How::Yappi => words(python.clone().into(), &["-m", "yappi", "-f", "callgrind", "-o"]),
            How::Viztracer => words(tool("viztracer"), &["--quiet", "--log_async", "-o"]),
        };
        let trace = match self.how {
            // It tells the format by the name.
            How::Viztracer => trace.with_extension("json"),
            _ => trace,
        };
        let starts_python = matches!(self.how, How::Pyinstrument | How::Yappi | How::Viztracer);
        let program = match self.language {
            Language::Rust => vec![programs.load(self.build, load.program).into()],
            Language::Python if starts_python => vec![programs.script(load.program).into()],
            Language::Python => vec![python.into(), programs.script(load.program).into()],
        };
        let mut line = before;
        if self.how != How::Within {
            line.push(trace.into());
        }
        if self.is_apart() {
            line.push("--".into());
        }
        line.extend(program);
        let mut command = Command::new(&line[0]);
        command
            .args(&line[1..])
            .arg(size.to_string())
            .args(load.arguments)
            .current_dir(folder)
            .env("TOKIO_CONSOLE_RECORD_PATH", folder.join("console.json"))
            .env("TOKIO_CONSOLE_BIND", "127.0.0.1:0")
            .env("DIAL9_TRACE_DIR", folder.join("dial9"));
        command
    }

    /// What it has recorded, from what it has left in `folder`; none if it counts for itself.
    pub fn recorded(&self, programs: &Programs, folder: &Path) -> Option<u64> {
        let trace = folder.join("trace");
        match self.how {
            How::Within => None,
            How::Asyncprof => {
                let mut report = Command::new(programs.asyncprof());
                report.args(["report", "--json"]).arg(trace);
                let report: serde_json::Value = serde_json::from_slice(&report.output().ok()?.stdout).ok()?;
                report["quality"]["events"].as_u64()
            }
            How::Perf => {
                let mut script = Command::new("perf");
                script.args(["script", "-F", "time", "-i"]).arg(trace);
                lines(&script.output().ok()?.stdout)
            }
            // A stack with its number of samples.
            How::PySpy => text_of(&trace)?
                .lines()
                .map(|line| line.rsplit(' ').next()?.parse::<u64>().ok())
                .sum(),
            How::Pyinstrument => {
                let text = text_of(&trace)?;
                let (_, samples) = text.split_once("Samples:")?;
                samples.split_ascii_whitespace().next()?.parse().ok()
            }
            // A function with its number of calls.
            How::Yappi => Some(text_of(&trace)?.matches("\nfn=").count() as u64),
            How::Viztracer => Some(text_of(&trace.with_extension("json"))?.matches("\"ph\"").count() as u64),
        }
    }
}

fn text_of(trace: &Path) -> Option<String> {
    Some(String::from_utf8_lossy(&std::fs::read(trace).ok()?).into_owned())
}

fn lines(text: &[u8]) -> Option<u64> {
    let lines = text.split(|&byte| byte == b'\n');
    Some(lines.filter(|line| !line.is_empty()).count() as u64)
}

const PLAIN: Build = Build {
    feature: "",
    is_unstable: false,
};
const METRICS: Build = Build {
    feature: "metrics",
    is_unstable: false,
};
const UNSTABLE: Build = Build {
    feature: "",
    is_unstable: true,
};
const DIAL9: Build = Build {
    feature: "dial9",
    is_unstable: true,
};
const CONSOLE: Build = Build {
    feature: "console",
    is_unstable: true,
};

const fn rust(name: &'static str, how: How, build: Build, handicap: u64) -> Contestant {
    Contestant {
        name,
        language: Language::Rust,
        how,
        build,
        handicap,
    }
}

const fn python(name: &'static str, how: How) -> Contestant {
    Contestant {
        name,
        language: Language::Python,
        how,
        build: PLAIN,
        handicap: 1,
    }
}

pub const CONTESTANTS: [Contestant; 13] = [
    rust("none", How::Within, PLAIN, 1),
    rust("asyncprof", How::Asyncprof, PLAIN, 1),
    rust("perf record -F 997 -g", How::Perf, PLAIN, 1),
    rust("tokio-metrics 0.5.2", How::Within, METRICS, 1),
    rust("none, `tokio_unstable`", How::Within, UNSTABLE, 1),
    rust("dial9 0.5.7", How::Within, DIAL9, 1),
    rust("console-subscriber 0.5.0", How::Within, CONSOLE, 20),
    python("none", How::Within),
    python("asyncprof", How::Asyncprof),
    python("py-spy record -r 100", How::PySpy),
    python("pyinstrument", How::Pyinstrument),
    python("yappi", How::Yappi),
    python("viztracer --log_async", How::Viztracer),
];
