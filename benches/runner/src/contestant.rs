//! The profilers that are compared, each as its documentation says to use it.

use std::path::Path;
use std::process::Command;

use crate::build::{Build, Programs};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum How {
    /// Nothing, or a profiler that is linked in.
    Alone,
    Asyncprof,
    Perf,
}

#[derive(Debug)]
pub struct Contestant {
    pub name: &'static str,
    pub how: How,
    pub build: Build,
    /// How many times less work it gets in the loads that it slows down most.
    pub handicap: u64,
}

impl Contestant {
    pub fn is_baseline(&self) -> bool {
        self.how == How::Alone && self.build.feature.is_empty()
    }

    /// The load's command, whose traces go into `folder`.
    pub fn command(&self, programs: &Programs, load: &str, size: u64, folder: &Path) -> Command {
        let program = programs.load(self.build, load);
        let mut command = match self.how {
            How::Alone => Command::new(&program),
            How::Asyncprof => {
                let mut command = Command::new(programs.asyncprof());
                command.args(["record", "--quiet", "--output"]);
                command.arg(folder.join("asyncprof.data")).arg("--").arg(&program);
                command
            }
            How::Perf => {
                let mut command = Command::new("perf");
                command.args(["record", "--quiet", "-F", "997", "-g", "-o"]);
                command.arg(folder.join("perf.data")).arg("--").arg(&program);
                command
            }
        };
        command
            .arg(size.to_string())
            .current_dir(folder)
            .env("TOKIO_CONSOLE_RECORD_PATH", folder.join("console.json"))
            .env("TOKIO_CONSOLE_BIND", "127.0.0.1:0")
            .env("DIAL9_TRACE_DIR", folder.join("dial9"));
        command
    }

    /// What it has recorded, from what it has left in `folder`; none if it counts for itself.
    pub fn recorded(&self, programs: &Programs, folder: &Path) -> Option<u64> {
        match self.how {
            How::Alone => None,
            How::Asyncprof => {
                let mut report = Command::new(programs.asyncprof());
                report
                    .args(["report", "--json"])
                    .arg(folder.join("asyncprof.data"));
                let report: serde_json::Value = serde_json::from_slice(&report.output().ok()?.stdout).ok()?;
                report["quality"]["events"].as_u64()
            }
            How::Perf => {
                let mut script = Command::new("perf");
                script
                    .args(["script", "-F", "time", "-i"])
                    .arg(folder.join("perf.data"));
                let times = script.output().ok()?.stdout;
                Some(
                    times
                        .split(|&byte| byte == b'\n')
                        .filter(|line| line.contains(&b':'))
                        .count() as u64,
                )
            }
        }
    }
}

const PLAIN: Build = Build {
    feature: "",
    is_unstable: false,
};
const UNSTABLE: Build = Build {
    feature: "",
    is_unstable: true,
};

pub const CONTESTANTS: [Contestant; 7] = [
    Contestant {
        name: "none",
        how: How::Alone,
        build: PLAIN,
        handicap: 1,
    },
    Contestant {
        name: "asyncprof",
        how: How::Asyncprof,
        build: PLAIN,
        handicap: 1,
    },
    Contestant {
        name: "perf record -F 997 -g",
        how: How::Perf,
        build: PLAIN,
        handicap: 1,
    },
    Contestant {
        name: "tokio-metrics 0.5.2",
        how: How::Alone,
        build: Build {
            feature: "metrics",
            is_unstable: false,
        },
        handicap: 1,
    },
    Contestant {
        name: "none, `tokio_unstable`",
        how: How::Alone,
        build: UNSTABLE,
        handicap: 1,
    },
    Contestant {
        name: "dial9 0.5.7",
        how: How::Alone,
        build: Build {
            feature: "dial9",
            is_unstable: true,
        },
        handicap: 1,
    },
    Contestant {
        name: "console-subscriber 0.5.0",
        how: How::Alone,
        build: Build {
            feature: "console",
            is_unstable: true,
        },
        handicap: 20,
    },
];
