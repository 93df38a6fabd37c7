//! asyncio in every CPython that is at hand: exact counts, waits as long as the program says, and nothing to be noticed.

use std::collections::BTreeSet;
use std::process::{Command, Stdio};

use asyncprof_core::profile::{Row, State, TaskKind};

use crate::support::pythons::{Python, assert_whole, functions, pythons, recorded, script, sum, waits};
use crate::support::recording::{Folder, Recording};
use crate::support::run::{report, text};
use crate::support::truth;

#[test]
fn counts_are_exact() {
    for python in pythons() {
        let recording = recorded(python, "counts.py", &[]);
        assert_eq!(recording.output.stdout, b"done\n", "{}", recording.stderr());
        let profile = recording.profile();
        let version = &python.version;
        assert_eq!(
            profile.processes[0].runtime,
            format!("asyncio (CPython {version})")
        );
        let group = |name: &str| {
            let mut groups = profile.groups.iter();
            groups.find(|group| profile.string(group.name) == name).unwrap()
        };
        let (outer, main) = (group("counts.outer"), group("counts.main"));
        assert_eq!(
            (outer.tasks, outer.completed, outer.polls.episodes),
            (1000, 1000, 3000)
        );
        assert_eq!((main.tasks, main.completed, main.polls.episodes), (1, 1, 2));
        let waits = |leaf: &str| {
            sum(&profile, |row| {
                row.state == State::Waiting && functions(&profile, row).contains(&leaf)
            })
        };
        assert_eq!(waits("asyncio.tasks.sleep").0, 2000, "{version}");
        assert_eq!(waits("counts.inner").0, 2000, "{version}");
        assert_eq!(waits("counts.main").0, 1, "{version}");
        assert_whole(&profile, version);
    }
}

/// Where each wait is, for what and how long, compared with what the program has measured.
#[test]
fn waits_are_as_long_as_they_were() {
    for python in pythons() {
        let recording = recorded(python, "waits.py", &[]);
        assert_eq!(recording.output.stdout, b"done\n", "{}", recording.stderr());
        let profile = recording.profile();
        let truths = truth::read(&recording.folder.path().join("truth"));
        assert_eq!(truths.len(), 16);
        let is_step = |row: &Row| {
            matches!(row.state, State::Running | State::OnCpu | State::Blocked)
                && profile.group(row.group).kind != TaskKind::Blocking
        };
        let (_, steps_ns) = sum(&profile, is_step);
        for truth in truths {
            // Before 3.11 code does not know the class that it is of.
            let (module, qualified) = truth.site.split_once('.').unwrap();
            let plain = format!("{module}.{}", qualified.rsplit('.').next().unwrap());
            let site = if python.minor < 11 { &plain } else { &truth.site };
            let at_site = |row: &Row| functions(&profile, row).contains(&site.as_str());
            let (episodes, waiting_ns) = sum(&profile, |row| row.state == State::Waiting && at_site(row));
            let (_, scheduled_ns) = sum(&profile, |row| row.state == State::Scheduled && at_site(row));
            let place = format!("{} in {}", truth.site, python.version);
            assert_eq!(episodes, truth.episodes, "{place}");
            let kinds: BTreeSet<&str> = waits(&profile, site)
                .keys()
                .map(|(kind, _)| kind.name())
                .collect();
            assert_eq!(kinds, BTreeSet::from([truth.kind.as_str()]), "{place}");
            // What the steps before and after the wait took is in the truth, too, and may be long on a busy machine.
            let (found, told) = ((waiting_ns + scheduled_ns) as f64, truth.total_ns as f64);
            assert!(
                found > told * 0.98 - steps_ns as f64 && found < told * 1.02,
                "{place}: {found} for {told}"
            );
        }
        assert_eq!(profile.quality.tasks_seen_late, 0, "{}", python.version);
        assert_eq!(profile.quality.wakes_unseen, 0, "{}", python.version);
    }
}

/// What keeps the loop is named by its Python functions, whether it blocks, or runs C or Python.
#[test]
fn what_keeps_the_loop_is_named() {
    for python in pythons() {
        let recording = recorded(python, "blocks.py", &[]);
        let profile = recording.profile();
        let version = &python.version;
        let spent = |function: &str, states: &[State]| {
            let is_meant =
                |row: &Row| states.contains(&row.state) && functions(&profile, row).contains(&function);
            sum(&profile, is_meant).1 as f64
        };
        let truths = truth::read(&recording.folder.path().join("truth"));
        assert_eq!(truths.len(), 3);
        for truth in truths {
            // A busy machine takes the CPU away for a while: that counts as blocked.
            let states = match truth.site.as_str() {
                "blocks.sleeps" => &[State::Blocked][..],
                _ => &[State::OnCpu, State::Blocked],
            };
            let ns = spent(&truth.site, states);
            let share = ns / truth.total_ns as f64;
            assert!((0.8..1.2).contains(&share), "{} in {version}: {ns}", truth.site);
        }
        let dumps = spent("json.dumps", &[State::OnCpu, State::Blocked]);
        assert!(dumps > 0.0, "{version}");
        let warned = report(&recording.folder)["warnings"].to_string();
        assert!(
            warned.contains(" kept its event loop for up to ") && warned.contains("asyncio.to_thread"),
            "{version}: {warned}"
        );
        let lines: Vec<u32> = profile
            .frames
            .iter()
            .flat_map(|frame| &frame.functions)
            .filter(|function| profile.string(function.name) == "blocks.sleeps")
            .map(|function| function.line)
            .collect();
        assert!(lines.contains(&13), "{version}: {lines:?}");
    }
}

#[test]
fn names_are_of_any_script() {
    const LENGTH_NS: f64 = 0.2e9;
    for python in pythons() {
        let recording = recorded(python, "scripts.py", &[]);
        assert_eq!(recording.output.stdout, b"done\n", "{}", recording.stderr());
        let profile = recording.profile();
        let running = &[State::OnCpu, State::Blocked][..];
        for (names, states) in [
            (["größe", "ждёт", "𠀀"], &[State::Waiting][..]),
            (["zählt", "считает", "𠀁"], running),
            (["schläft", "спит", "𠀂"], &[State::Blocked]),
        ] {
            for name in names {
                let name = format!("scripts.{name}");
                let is_meant = |row: &Row| {
                    states.contains(&row.state) && functions(&profile, row).contains(&name.as_str())
                };
                let share = sum(&profile, is_meant).1 as f64 / LENGTH_NS;
                // A busy machine may take the CPU away.
                assert!(share > 0.3, "{name} in {}: {share}", python.version);
            }
        }
    }
}

/// Everything that a program prints and how it ends is as without us: a test for each version, so that they run beside each
/// other.
macro_rules! programs_do_not_notice {
    ($($test:ident: $minor:literal;)*) => {
        $(#[test]
        fn $test() {
            for python in pythons().iter().filter(|python| python.minor == $minor) {
                assert_nothing_noticed(python);
            }
        })*
    };
}

programs_do_not_notice! {
    programs_of_3_8_do_not_notice: 8;
    programs_of_3_9_do_not_notice: 9;
    programs_of_3_10_do_not_notice: 10;
    programs_of_3_11_do_not_notice: 11;
    programs_of_3_12_do_not_notice: 12;
    programs_of_3_13_do_not_notice: 13;
    programs_of_3_14_do_not_notice: 14;
    programs_of_3_15_do_not_notice: 15;
}

fn assert_nothing_noticed(python: &Python) {
    let ways = [
        "deep",
        "raises",
        "exits",
        "exits_at_once",
        "cancelled",
        "forgotten",
        "unraisable",
        "traced",
        "many_gathers",
        "recursion",
        "names",
        "fork",
        "fork_within",
        "threads",
        "again",
        "daemon",
        "eager",
        "pool",
        "modules",
        "garbage",
    ];
    for way in ways {
        for mode in [&[][..], &["-X", "dev"]] {
            let program = script("ways.py");
            let args: Vec<&str> = mode.iter().copied().chain([program.as_str(), way]).collect();
            let folder = Folder::new();
            // They mostly nap: both at once take half of the time.
            let alone = Command::new(&python.program)
                .args(&args)
                .current_dir(folder.path())
                .stdin(Stdio::null())
                .stdout(Stdio::piped())
                .stderr(Stdio::piped())
                .spawn()
                .unwrap();
            let recorded = Recording::new(&["-q"], text(&python.program), &args).output;
            let alone = alone.wait_with_output().unwrap();
            let place = format!("{way} {mode:?} in {}", python.version);
            // We ourselves say that there was nothing to record in some.
            let said = String::from_utf8_lossy(&recorded.stderr).into_owned();
            let said: String = said
                .split_inclusive('\n')
                .filter(|line| !line.starts_with("asyncprof: no task time recorded: "))
                .collect();
            assert_eq!(said, String::from_utf8_lossy(&alone.stderr), "{place}");
            assert_eq!(recorded.stdout, alone.stdout, "{place}");
            assert_eq!(recorded.status.code(), alone.status.code(), "{place}");
        }
    }
}

/// A thread that is asked in the middle of a call or a return has frames that are half made.
#[test]
fn bug_threads_are_asked_at_any_instruction() {
    for python in pythons() {
        for _ in 0..5 {
            let output = recorded(python, "load.py", &[]).output;
            assert_eq!(output.stdout, b"done\n", "{}: {}", python.version, output.status);
        }
    }
}

/// A forked child that runs a loop is a process of its own.
#[test]
fn forked_children_are_recorded() {
    for python in pythons() {
        let profile = recorded(python, "ways.py", &["fork"]).profile();
        assert_eq!(profile.processes.len(), 2, "{}", python.version);
        let name = |index: usize| profile.string(profile.groups[index].name);
        let in_child = (0..profile.groups.len()).filter(|&at| profile.groups[at].process.0 == 1);
        let names: Vec<&str> = in_child.map(name).collect();
        assert!(names.contains(&"ways.deep"), "{}: {names:?}", python.version);
    }
}
