//! Servers of several processes: each request is under the worker that has answered it.

use std::collections::BTreeMap;
use std::fs;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::path::Path;
use std::thread;

use asyncprof_core::profile::{Profile, State};

use crate::support::fixtures::{python_environment, workspace_root};
use crate::support::pythons::functions;
use crate::support::recording::{Folder, asyncprof};
use crate::support::run::{Running, signal, text, wait_until};

/// Answers by the process that gave them.
type Answers = BTreeMap<u32, u64>;

struct Server {
    folder: Folder,
    running: Running,
    port: u16,
}

impl Server {
    /// `python -m ARGS`, which says where it listens, serving a copy of `service.py`. None where there is no Python for it.
    fn start(args: &[&str]) -> Option<Server> {
        let python = match python_environment() {
            Ok(python) => python,
            Err(why) => {
                eprintln!("skipped: {why}");
                return None;
            }
        };
        let folder = Folder::new();
        let service = workspace_root().join("fixtures/python/service.py");
        fs::copy(service, folder.path().join("service.py")).unwrap();
        let mut command = asyncprof(&folder);
        command
            .args(["record", "-q", "--", text(&python), "-m"])
            .args(args);
        let running = Running::start(&mut command);
        let mut port = None;
        wait_until("it says where it listens", || {
            port = port_in(&running.stderr());
            port.is_some()
        });
        Some(Server {
            folder,
            running,
            port: port?,
        })
    }

    /// Asks, so many at a time, until this many processes have answered, none of which is in `known`.
    fn ask_until(&self, processes: usize, known: &Answers) -> Answers {
        let mut answers = Answers::new();
        wait_until("all of them have answered", || {
            thread::scope(|scope| {
                let asked: Vec<_> = (0..4).map(|_| scope.spawn(|| ask(self.port))).collect();
                for process in asked.into_iter().filter_map(|answer| answer.join().unwrap()) {
                    *answers.entry(process).or_default() += 1;
                }
            });
            answers
                .keys()
                .filter(|process| !known.contains_key(process))
                .count()
                == processes
        });
        answers
    }

    fn finish(self) -> Profile {
        signal(self.running.pid(), libc::SIGTERM);
        let ran = self.running.finish();
        let profile = Profile::load(self.folder.path().join("asyncprof.data"));
        profile.unwrap_or_else(|error| panic!("{error}\n{}", ran.stderr))
    }
}

fn port_in(said: &str) -> Option<u16> {
    let (_, rest) = said.split_once("http://127.0.0.1:")?;
    let (port, _) = rest.split_once(|c: char| !c.is_ascii_digit())?;
    port.parse().ok()
}

/// The process that answers; None if the one that was asked has ended.
fn ask(port: u16) -> Option<u32> {
    let mut connection = TcpStream::connect(("127.0.0.1", port)).ok()?;
    connection
        .write_all(b"GET /worker HTTP/1.1\r\nHost: test\r\nConnection: close\r\n\r\n")
        .ok()?;
    let mut answer = String::new();
    connection.read_to_string(&mut answer).ok()?;
    answer.rsplit_once("\r\n\r\n")?.1.trim().parse().ok()
}

/// Each answer has waited once, in the process that gave it.
fn assert_all_there(profile: &Profile, answers: &Answers) {
    let mut waits = Answers::new();
    for row in &profile.rows {
        let is_worker = functions(profile, row).contains(&"service.worker");
        if row.state == State::Waiting && is_worker {
            let process = profile.group(row.group).process;
            let pid = profile.processes[process.0 as usize].pid;
            *waits.entry(pid).or_default() += row.stats.episodes;
        }
    }
    assert_eq!(&waits, answers);
    assert_eq!(profile.quality.events_lost, 0);
}

#[test]
fn uvicorn_with_workers() {
    let uvicorn = ["uvicorn", "service:app", "--port", "0", "--workers", "2"];
    let Some(server) = Server::start(&uvicorn) else {
        return;
    };
    let answers = server.ask_until(2, &Answers::new());
    assert_all_there(&server.finish(), &answers);
}

#[test]
fn gunicorn_with_workers_of_uvicorn() {
    let gunicorn = "gunicorn -k uvicorn.workers.UvicornWorker -w 2 --bind 127.0.0.1:0 service:app";
    let Some(server) = Server::start(&gunicorn.split(' ').collect::<Vec<_>>()) else {
        return;
    };
    let answers = server.ask_until(2, &Answers::new());
    assert_all_there(&server.finish(), &answers);
}

#[test]
fn uvicorn_that_reloads() {
    let Some(server) = Server::start(&["uvicorn", "service:app", "--port", "0", "--reload"]) else {
        return;
    };
    let mut answers = server.ask_until(1, &Answers::new());
    let service: &Path = &server.folder.path().join("service.py");
    let changed = fs::read_to_string(service).unwrap() + "\n# changed\n";
    fs::write(service, changed).unwrap();
    for (process, more) in server.ask_until(1, &answers.clone()) {
        *answers.entry(process).or_default() += more;
    }
    assert_all_there(&server.finish(), &answers);
}
