//! The DSL of the accuracy tests: builds of a program, and the sites at which it waits.

use std::fmt;
use std::ops::RangeInclusive;
use std::path::PathBuf;

use asyncprof_core::view::Kind;

use super::comparison::Comparison;
use super::fixtures::{fixture, strip_debug};
use super::invariants::{self, Quality};
use super::observed::{Shown, shown};
use super::recording::Recording;
use super::truth;

/// How a fixture is built.
#[derive(Clone, Copy, Debug)]
pub struct Build {
    pub package: &'static str,
    pub profile: &'static str,
    pub has_lines: bool,
}

impl Build {
    pub fn of(package: &'static str, profile: &'static str) -> Build {
        Build {
            package,
            profile,
            has_lines: true,
        }
    }

    /// Without line tables: inlined functions have no name.
    pub fn stripped(profile: &'static str) -> Build {
        Build {
            has_lines: false,
            ..Build::of("waits", profile)
        }
    }

    fn program(&self, name: &str) -> PathBuf {
        let program = fixture(self.package, self.profile, name);
        if self.has_lines {
            program
        } else {
            strip_debug(&program)
        }
    }
}

impl fmt::Display for Build {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let lines = if self.has_lines { "" } else { " stripped" };
        write!(f, "{}/{}{lines}", self.package, self.profile)
    }
}

/// One await of a program, or the running of its blocking tasks.
pub struct Site {
    /// As in the truth.
    pub name: &'static str,
    pub kind: Kind,
    /// Await stacks as shown, root first; the last is how the name of the library's leaf begins.
    paths: Vec<Vec<&'static str>>,
    pub waits: Option<RangeInclusive<u64>>,
    pub is_running: bool,
    pub from_spawn: bool,
    pub doubt_ns: f64,
}

/// An await at `stack`: functions separated by ` > `, root first, the beginning of the library's leaf last.
pub fn site(name: &'static str, kind: Kind, stack: &'static str) -> Site {
    Site {
        name,
        kind,
        paths: vec![stack.split(" > ").collect()],
        waits: None,
        is_running: false,
        from_spawn: false,
        doubt_ns: 0.0,
    }
}

/// What blocking tasks run.
pub fn work(name: &'static str) -> Site {
    Site {
        is_running: true,
        ..site(name, Kind::Blocking, "")
    }
}

impl Site {
    /// The same await under another caller, or in other branches.
    pub fn or(mut self, stack: &'static str) -> Site {
        self.paths.push(stack.split(" > ").collect());
        self
    }

    /// The number of waits: each await is polled right after that which it waits for has begun.
    pub fn waits(mut self, waits: u64) -> Site {
        self.waits = Some(waits..=waits);
        self
    }

    /// The number of awaits: one that is polled late, as on a busy machine, may find all done.
    pub fn waits_at_most(mut self, awaits: u64) -> Site {
        self.waits = Some(0..=awaits);
        self
    }

    /// Whose waits are they where two branches are ready when the task is polled? The wake-up tells the profile, the
    /// order in which it looks tells the program. On a busy machine that happens now and then.
    pub fn beside_another(mut self, each_ns: u32, waits: u32) -> Site {
        self.doubt_ns = f64::from(each_ns) * f64::from(waits) / 2.0;
        self
    }

    /// The truth was taken by the root task, from before the spawn until it has heard of the end.
    pub fn measured_from_spawn(mut self) -> Site {
        self.from_spawn = true;
        self
    }

    pub fn is_at(&self, row: &Shown) -> bool {
        let matches = |path: &Vec<&str>| {
            let (leaf, callers) = path.split_last().expect("a path has a leaf");
            row.functions.len() > callers.len()
                && row
                    .functions
                    .iter()
                    .zip(callers)
                    .all(|(shown, named)| shown == named)
                && row.functions[callers.len()].starts_with(leaf)
        };
        self.paths.iter().any(matches)
    }

    pub fn roots(&self) -> impl Iterator<Item = &'static str> + '_ {
        self.paths.iter().map(|path| path[0])
    }
}

/// Records `program` in this build and checks that the profile tells the truth at all sites, and that nothing was
/// lost or inconsistent. `silent` are functions at which no wait may be seen.
pub fn check(build: Build, program: &str, sites: &[Site], silent: &[&str]) {
    let recording = Recording::new(&[], build.program(program), &[]);
    assert!(recording.output.status.success(), "{}", recording.stderr());
    let truth = truth::read(&recording.folder.path().join("truth"));
    assert!(!truth.is_empty(), "the program measured nothing");
    let profile = recording.profile();
    let quality = Quality::complete(build.package != "tokio-1.28");
    let quality = if build.has_lines {
        quality
    } else {
        quality.without_lines()
    };
    invariants::check(&profile, quality);

    let comparison = Comparison {
        title: format!("{program} {build}"),
        rows: shown(&profile),
        profile: &profile,
        truth,
    };
    if build.has_lines {
        sites.iter().for_each(|site| comparison.check_site(site));
        silent.iter().for_each(|name| comparison.check_silent(name));
    } else {
        comparison.check_totals(sites);
    }
}
