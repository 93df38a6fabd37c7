//! Interpreters that are not as usual, and little room: the program runs as it would alone, and the profile says what is
//! missing.

use std::path::{Path, PathBuf};
use std::process::Command;

use asyncprof_core::profile::State;

use crate::support::pythons::{Python, functions, pythons, script, sum};
use crate::support::recording::{Folder, Recording, asyncprof};
use crate::support::run::{Ran, recorded_programs, report, run, text, waits_in};

/// The folder that the interpreter was installed to.
fn home(python: &Python) -> &Path {
    python
        .program
        .ancestors()
        .nth(2)
        .expect("bin/python3 in a folder")
}

/// `fixtures/python/embed.c` with this interpreter in it.
fn embedded(python: &Python, folder: &Folder, options: &[&str]) -> PathBuf {
    built(python, folder, &["--cflags", "--ldflags", "--embed"], options)
}

/// `fixtures/python/embed.c` with the flags that the interpreter says for these.
fn built(python: &Python, folder: &Folder, needs: &[&str], options: &[&str]) -> PathBuf {
    let config = python.program.with_file_name("python3-config");
    let flags = Command::new(config).args(needs).output();
    let flags = String::from_utf8(flags.expect("it comes with the interpreter").stdout).unwrap();
    let program = folder.path().join("embed");
    let ran = run(Command::new("cc")
        .args(options)
        .arg(script("embed.c"))
        .arg("-o")
        .arg(&program)
        .args(flags.split_whitespace()));
    assert_eq!(ran.code, 0, "{}", ran.stderr);
    program
}

fn recorded(folder: &Folder, python: &Python, command: &[&str]) -> Ran {
    let mut record = asyncprof(folder);
    record.args(["record", "--"]).args(command);
    run(record.env("PYTHONHOME", home(python)))
}

#[test]
fn a_stripped_interpreter() {
    for python in pythons() {
        let folder = Folder::new();
        let stripped = folder.path().join("python3");
        let strip = run(Command::new("strip")
            .arg("--strip-all")
            .arg("-o")
            .arg(&stripped)
            .arg(&python.program));
        assert_eq!(strip.code, 0, "{}", strip.stderr);
        let ran = recorded(&folder, python, &[text(&stripped), &script("loops.py")]);
        assert_eq!((ran.code, ran.stdout.as_str()), (0, "done\n"), "{}", ran.stderr);
        let naps = waits_in(&report(&folder), "loops.nap").0;
        assert_eq!(naps, 100, "{}", python.version);
    }
}

/// The system's own, built in ways that pyenv's are not: stripped, with a shared library, or with asyncio's C module in it.
#[test]
fn the_distributions_interpreter() {
    let python = Path::new("/usr/bin/python3");
    if !python.exists() {
        return eprintln!("skipped: there is no {}", python.display());
    }
    let recording = Recording::new(&["-q"], python, &[&script("counts.py")]);
    assert_eq!(recording.output.stdout, b"done\n", "{}", recording.stderr());
    let profile = recording.profile();
    let waits = sum(&profile, |row| {
        row.state == State::Waiting && functions(&profile, row).contains(&"counts.inner")
    });
    assert_eq!(waits.0, 2000);
}

/// asyncio in a second interpreter of the process crashes 3.12.1 alone. From 3.13 on its types are new ones, which are not
/// seen, as the interpreter drops all hooks at its end.
#[test]
fn interpreters_in_a_program_of_another_language() {
    for python in pythons() {
        let rounds = if python.minor == 12 { 1 } else { 2 };
        let folder = Folder::new();
        let program = embedded(python, &folder, &[]);
        let ran = recorded(
            &folder,
            python,
            &[text(&program), &rounds.to_string(), &script("loops.py")],
        );
        assert_eq!(
            (ran.code, ran.stdout.as_str()),
            (0, &*"done\n".repeat(rounds)),
            "{}",
            ran.stderr
        );
        let report = report(&folder);
        let seen = 100 * rounds as u64 - report["quality"]["tasks_seen_late"].as_u64().unwrap();
        let naps = waits_in(&report, "loops.nap").0;
        assert_eq!(naps, seen, "{}", python.version);
        assert!(python.minor > 11 || naps == 200, "{}: {naps}", python.version);
    }
}

#[test]
fn interpreters_that_are_not_known() {
    let Some(python) = pythons().last() else { return };
    for (version, says) in [
        (
            "3.16.0a1 (main)",
            "it runs in Python 3.16.0a1; asyncprof knows CPython 3.8 to 3.15",
        ),
        (
            "3.14.0 free-threading build (main)",
            "it runs in a free-threaded CPython 3.14.0;",
        ),
    ] {
        let folder = Folder::new();
        let program = embedded(python, &folder, &[&format!("-DVERSION=\"{version}\"")]);
        let ran = recorded(&folder, python, &[text(&program), "1", &script("loops.py")]);
        assert_eq!((ran.code, ran.stdout.as_str()), (0, "done\n"), "{}", ran.stderr);
        assert!(ran.stderr.contains(says), "{}", ran.stderr);
    }
}

/// Where an interpreter's functions keep their variables is needed for links between waits only.
#[test]
fn an_interpreter_whose_variables_are_not_understood() {
    for python in pythons() {
        let folder = Folder::new();
        let program = embedded(python, &folder, &["-DHIDDEN=\"PyCell_Type\"", "-rdynamic", "-O2"]);
        let ran = recorded(&folder, python, &[text(&program), "1", &script("loops.py")]);
        let version = &python.version;
        assert_eq!((ran.code, ran.stdout.as_str()), (0, "done\n"), "{}", ran.stderr);
        let report = report(&folder);
        assert_eq!(waits_in(&report, "loops.nap").0, 100, "{version}");
        let says = format!(
            "was seen in part: asyncprof does not understand the variables of its CPython {version}, so waits are not \
             linked"
        );
        let notes = report["quality"]["notes"].to_string();
        assert!(
            ran.stderr.contains(&says) && notes.contains(&says),
            "{}",
            ran.stderr
        );
    }
}

/// Loaded after the program has started, an interpreter is not looked for.
#[test]
fn an_interpreter_that_is_loaded_later() {
    for python in pythons() {
        let library = home(python).join(format!("lib/libpython3.{}.so.1.0", python.minor));
        if !library.exists() {
            eprintln!("skipped: Python {} has no shared library", python.version);
            continue;
        }
        let folder = Folder::new();
        let library = format!("-DLIBRARY=\"{}\"", text(&library));
        let program = built(python, &folder, &["--cflags"], &[&library, "-ldl"]);
        let ran = recorded(&folder, python, &[text(&program), "1", &script("loops.py")]);
        assert_eq!((ran.code, ran.stdout.as_str()), (0, "done\n"), "{}", ran.stderr);
        let says = "neither tokio nor asyncio was found in ";
        let report = report(&folder);
        let notes = report["quality"]["notes"].to_string();
        assert!(
            ran.stderr.contains(says) && notes.contains(says),
            "{}",
            ran.stderr
        );
        assert_eq!(recorded_programs(&report), [""; 0], "{}", python.version);
        assert_eq!(waits_in(&report, "loops.nap").0, 0, "{}", python.version);
    }
}

/// From 3.14 on asyncio's C module is not told of tasks that are not its own.
#[test]
fn tasks_that_python_code_drives() {
    for python in pythons().iter().filter(|python| python.minor < 14) {
        for (way, is_missing, seen) in [("none", false, 3), ("factory", true, 0), ("replaced", true, 0)] {
            let folder = Folder::new();
            let ran = recorded(
                &folder,
                python,
                &[text(&python.program), &script("unseen.py"), way],
            );
            let place = format!("{way} in {}: {}", python.version, ran.stderr);
            assert_eq!((ran.code, ran.stdout.as_str()), (0, "done\n"), "{place}");
            let report = report(&folder);
            assert_eq!(waits_in(&report, "unseen.nap").0, seen, "{place}");
            let says = "was seen in part: it has tasks that Python code drives";
            let times = report["quality"]["notes"].to_string().matches(says).count();
            assert_eq!(times, usize::from(is_missing), "{place}");
            assert_eq!(ran.stderr.contains(says), is_missing, "{place}");
        }
    }
}

/// With less room than we need we stay out; with more there is no difference for the program.
#[test]
fn a_limited_address_space() {
    for python in pythons() {
        for limit_kib in [64, 96, 112, 128, 144, 192, 256, 4096].map(|mib| mib * 1024) {
            let folder = Folder::new();
            let program = format!(
                "ulimit -v {limit_kib}; exec {} {}",
                text(&python.program),
                script("loops.py")
            );
            let ran = recorded(&folder, python, &["sh", "-c", &program]);
            let place = format!("{} in {limit_kib} KiB: {}", python.version, ran.stderr);
            assert_eq!((ran.code, ran.stdout.as_str()), (0, "done\n"), "{place}");
            let naps = waits_in(&report(&folder), "loops.nap").0;
            let is_said = ran.stderr.contains("too little for a recording")
                || ran.stderr.contains("neither tokio nor asyncio was found");
            assert!(naps == 100 || (naps == 0 && is_said), "{place}: {naps}");
            assert!(limit_kib < 1 << 20 || naps == 100, "{place}");
        }
    }
}

/// The parent of what an extension module forks goes on, and so does the child.
#[test]
fn a_fork_that_the_interpreter_does_not_know_of() {
    for python in pythons() {
        let recording = Recording::new(&["-q"], &python.program, &[&script("ways.py"), "fork_in_c"]);
        let (output, version) = (&recording.output, &python.version);
        assert_eq!(
            String::from_utf8_lossy(&output.stdout),
            "child\nparent\n",
            "{version}"
        );
        assert!(output.status.success(), "{version}: {}", recording.stderr());
        let profile = recording.profile();
        let naps = sum(&profile, |row| {
            row.state == State::Waiting && functions(&profile, row).contains(&"ways.nap")
        });
        assert_eq!(naps.0, 2, "{version}");
    }
}
