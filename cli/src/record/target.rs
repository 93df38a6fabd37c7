//! Looks at the command before it is started: where it is, and whether it can be recorded at all.

use std::env;
use std::ffi::OsStr;
use std::fs::{self, File};
use std::io::Read;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use object::LittleEndian;
use object::elf::{EM_X86_64, FileHeader64, PT_INTERP};
use object::read::elf::{FileHeader, ProgramHeader};

/// Why a command cannot be started; the exit codes are the shell's.
#[derive(Debug, thiserror::Error)]
pub(crate) enum NotStartable {
    #[error("{0}: command not found; give its path, as in ./{0}, or check PATH")]
    NotFound(String),
    #[error("{0}: no such file; check the path, or build the program first")]
    NoSuchFile(String),
    #[error("{path}: cannot be executed: {why}")]
    NotExecutable { path: String, why: String },
}

impl NotStartable {
    pub(crate) fn exit_code(&self) -> u8 {
        match self {
            NotStartable::NotFound(_) | NotStartable::NoSuchFile(_) => 127,
            NotStartable::NotExecutable { .. } => 126,
        }
    }
}

/// A command that can be started.
#[derive(Debug)]
pub(super) struct Target {
    pub(super) path: PathBuf,
    /// Why the agent will not be in the process; None if it will, as far as can be told from outside.
    pub(super) obstacle: Option<String>,
    /// Whether preloading could keep the program from starting.
    pub(super) preload_is_unsafe: bool,
    /// Whether it may be a script, with or without `#!`.
    pub(super) is_text: bool,
}

/// Finds the command as a shell would.
pub(super) fn find(command: &OsStr) -> Result<Target, NotStartable> {
    let shown = || command.to_string_lossy().into_owned();
    let not_executable = |path: &Path, why: String| NotStartable::NotExecutable {
        path: path.display().to_string(),
        why,
    };
    let path = if command.as_bytes().contains(&b'/') {
        PathBuf::from(command)
    } else {
        let folders = env::var_os("PATH").unwrap_or_else(|| "/usr/local/bin:/usr/bin:/bin".into());
        let candidates = || env::split_paths(&folders).map(|folder| folder.join(command));
        // One that cannot be executed counts if there is no other: it is what was meant.
        candidates()
            .find(|path| is_executable(path))
            .or_else(|| candidates().find(|path| path.is_file()))
            .ok_or_else(|| NotStartable::NotFound(shown()))?
    };
    let metadata = match fs::metadata(&path) {
        Ok(metadata) => metadata,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            return Err(NotStartable::NoSuchFile(shown()));
        }
        Err(error) => return Err(not_executable(&path, error.to_string())),
    };
    if metadata.is_dir() {
        return Err(not_executable(
            &path,
            "it is a folder; name a program in it".into(),
        ));
    }
    if !is_executable(&path) {
        return Err(not_executable(
            &path,
            format!("it has no execute permission; try: chmod +x {}", path.display()),
        ));
    }
    let mut obstacle = None;
    let mut preload_is_unsafe = false;
    let program = interpreter(&path);
    match &program {
        Program::Static => {
            obstacle = Some(
                "it is statically linked, so nothing can be preloaded into it; build it for a target with \
                             a dynamic C library (for example x86_64-unknown-linux-gnu without +crt-static)"
                    .into(),
            );
        }
        Program::OtherLoader(loader) => {
            preload_is_unsafe = true;
            obstacle = Some(format!(
                "it is loaded by {loader}, and the agent is built for glibc; build it for \
                                     x86_64-unknown-linux-gnu"
            ));
        }
        Program::OtherMachine => {
            preload_is_unsafe = true;
            obstacle = Some("it is not a 64-bit x86 program, the only kind recorded so far".into());
        }
        Program::Glibc | Program::Text | Program::Unreadable => {}
    }
    // Only the kernel's answer counts for scripts, whose own bits mean nothing.
    if metadata.permissions().mode() & 0o6000 != 0 && program != Program::Text {
        obstacle = Some(
            "it is set-user-ID or set-group-ID, and the system's loader does not preload into such \
                         programs; record a copy without that bit"
                .into(),
        );
    }
    Ok(Target {
        path,
        obstacle,
        preload_is_unsafe,
        is_text: program == Program::Text,
    })
}

fn is_executable(path: &Path) -> bool {
    fs::metadata(path).is_ok_and(|metadata| metadata.is_file() && metadata.permissions().mode() & 0o111 != 0)
}

#[derive(Debug, PartialEq, Eq)]
enum Program {
    Glibc,
    Static,
    OtherLoader(String),
    OtherMachine,
    /// No program in machine code.
    Text,
    /// A file that we may execute but not read.
    Unreadable,
}

fn interpreter(path: &Path) -> Program {
    let mut start = Vec::new();
    let read = File::open(path).and_then(|file| file.take(1 << 16).read_to_end(&mut start));
    if read.is_err() {
        return Program::Unreadable;
    }
    if !start.starts_with(b"\x7fELF") {
        // A zero byte in its first line tells other data from text, as shells have it.
        let line = start.split(|&byte| byte == b'\n').next().unwrap_or_default();
        return if line.contains(&0) {
            Program::Unreadable
        } else {
            Program::Text
        };
    }
    let Ok(header) = FileHeader64::<LittleEndian>::parse(&*start) else {
        return Program::OtherMachine;
    };
    if header.e_machine(LittleEndian) != EM_X86_64 {
        return Program::OtherMachine;
    }
    let Ok(segments) = header.program_headers(LittleEndian, &*start) else {
        return Program::Unreadable;
    };
    let Some(interp) = segments
        .iter()
        .find(|segment| segment.p_type(LittleEndian) == PT_INTERP)
    else {
        return Program::Static;
    };
    let loader = interp.data(LittleEndian, &*start).unwrap_or_default();
    let loader = String::from_utf8_lossy(loader).trim_end_matches('\0').to_owned();
    if loader.contains("ld-linux-x86-64") || loader.is_empty() {
        Program::Glibc
    } else {
        Program::OtherLoader(loader)
    }
}
