//! Coroutines that Cython has made have their functions in await stacks, and name tasks.

use std::fs;
use std::process::Command;

use asyncprof_core::profile::State;

use crate::support::fixtures::python_environment;
use crate::support::pythons::{functions, script, sum};
use crate::support::recording::{Folder, asyncprof};
use crate::support::run::{run, text};

#[test]
fn coroutines_of_cython() {
    let python = match python_environment() {
        Ok(python) => python,
        Err(why) => return eprintln!("skipped: {why}"),
    };
    let folder = Folder::new();
    let module = folder.path().join("compiled.c");
    let translated = run(Command::new(&python)
        .args(["-m", "cython", "-3", "-o", text(&module)])
        .arg(script("compiled.pyx")));
    assert_eq!(translated.code, 0, "{}", translated.stderr);
    let headers = run(Command::new(&python).args([
        "-c",
        "import sysconfig; print(sysconfig.get_path('include'), end='')",
    ]));
    let compiled = run(Command::new("cc")
        .args(["-shared", "-fPIC", "-w", "-I", &headers.stdout])
        .arg(&module)
        .arg("-o")
        .arg(folder.path().join("compiled.so")));
    assert_eq!(compiled.code, 0, "{}", compiled.stderr);
    let program = folder.path().join("compiles.py");
    fs::copy(script("compiles.py"), &program).unwrap();

    let ran = run(asyncprof(&folder).args(["record", "-q", "--", text(&python), text(&program)]));
    assert_eq!((ran.code, ran.stdout.as_str()), (0, "done\n"), "{}", ran.stderr);
    let profile = asyncprof_core::profile::Profile::load(folder.path().join("asyncprof.data")).unwrap();
    let path = ["compiled.outer", "compiled.inner", "asyncio.tasks.sleep"];
    let waits = |root: &str| {
        sum(&profile, |row| {
            let functions = functions(&profile, row);
            row.state == State::Waiting
                && functions.first() == Some(&root)
                && functions.windows(3).any(|frames| frames == path)
        })
        .0
    };
    assert_eq!((waits("compiles.main"), waits("compiled.outer")), (1, 3));
    let mut groups = profile.groups.iter();
    let tasks = groups.find(|group| profile.string(group.name) == "compiled.outer");
    assert_eq!(tasks.map(|group| group.tasks), Some(3));
}
