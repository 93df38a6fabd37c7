//! The demo for Python: a service that this command carries inside, run by an interpreter that has what it needs.

use std::env;
use std::ffi::OsString;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Result, anyhow, bail};

use super::DemoServiceCommand;

const SHOP: &str = include_str!("shop.py");
/// Runs the program in its first argument as one in a file, which need not be there.
const RUN: &str = "import sys; exec(compile(sys.argv.pop(1), 'demo/shop.py', 'exec'))";
/// Prints what the shop needs and the interpreter lacks, after its version; its exit code is 1 if it is too old.
const LOOK: &str = "\
import importlib.util, sys
print('%d.%d.%d' % sys.version_info[:3])
print(*(name for name in ('fastapi', 'uvicorn', 'httpx') if importlib.util.find_spec(name) is None))
sys.exit(sys.version_info < (3, 9))";

/// The command that runs the shop, and how that is shown.
pub(super) fn command(
    python: Option<&Path>,
    service: &DemoServiceCommand,
) -> Result<(Vec<OsString>, Vec<String>)> {
    let python = python.map_or_else(default_python, Path::to_owned);
    check(&python)?;
    let args = [
        service.duration.as_secs_f64().to_string(),
        service.rate.max(1).to_string(),
        (service.slow_upstream.unwrap_or_default().as_secs_f64() * 1e3).to_string(),
    ];
    let shown = [python.display().to_string(), "demo/shop.py".into()];
    let mut command = vec![python.into_os_string()];
    command.extend(["-c", RUN, SHOP].map(OsString::from));
    command.extend(args.iter().map(OsString::from));
    Ok((command, shown.into_iter().chain(args).collect()))
}

fn default_python() -> PathBuf {
    match env::var_os("VIRTUAL_ENV").filter(|folder| !folder.is_empty()) {
        Some(folder) => Path::new(&folder).join("bin/python3"),
        None => "python3".into(),
    }
}

/// Whether this interpreter can run the shop; else what to do about it.
fn check(python: &Path) -> Result<()> {
    let shown = python.display();
    let looked = Command::new(python)
        .args(["-c", LOOK])
        .output()
        .map_err(|error| match error.kind() {
            ErrorKind::NotFound => anyhow!(
                "{shown}: not found; install Python 3.9 or later, or say where it is: asyncprof demo --python PATH"
            ),
            _ => anyhow!("{shown} cannot be run: {error}"),
        })?;
    let said = String::from_utf8_lossy(&looked.stdout);
    let mut lines = said.lines();
    let (Some(version), Some(missing)) = (lines.next(), lines.next()) else {
        let why = String::from_utf8_lossy(&looked.stderr);
        bail!("{shown} is no Python that the demo can run on: {}", why.trim());
    };
    if !looked.status.success() {
        bail!("{shown} is Python {version}; the demo needs 3.9 or later: asyncprof demo --python PATH");
    }
    if !missing.is_empty() {
        bail!(
            "the demo needs packages that {shown} (Python {version}) does not have; install them with\n  \
             {shown} -m pip install {missing}\n\
             in a virtual environment if that is refused, and name its interpreter: asyncprof demo --python PATH"
        );
    }
    Ok(())
}
