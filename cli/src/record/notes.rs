//! What the user should know of programs that ran unobserved, or in part: why, and what to do about it.

use std::collections::{BTreeMap, BTreeSet};

use asyncprof_core::process_info::Tap;
use asyncprof_core::region::PROCESS_SLOTS;
use asyncprof_recorder::Recorded;

use super::target::Target;

/// How many programs a sentence lists.
const LISTED: usize = 3;

/// A sentence for each reason.
pub(super) fn notes(recorded: &Recorded, processes_lost: u64, target: &Target) -> Vec<String> {
    if recorded.processes.is_empty() {
        let why = target.obstacle.clone().unwrap_or_else(|| {
            "the agent did not start in it: it ended before it could, or its loader ignored LD_PRELOAD".into()
        });
        return vec![format!("{} ran unobserved: {why}", target.path.display())];
    }
    // One that links the library joins for what it tells, whatever came of its runtime.
    let tells = |pid| {
        let mut of_process = recorded.processes.iter().filter(|info| info.pid == pid);
        of_process.any(|info| info.tap == Tap::Library)
    };
    let mut missing = BTreeMap::<(&str, &str, &str), BTreeSet<u32>>::new();
    let mut without = BTreeMap::<&str, u64>::new();
    for info in &recorded.processes {
        let (how, why) = match &info.tap {
            Tap::Tokio { .. } | Tap::Asyncio { .. } | Tap::Library => continue,
            Tap::NoRuntime | Tap::Python { .. } => {
                *without.entry(&info.executable).or_default() += 1;
                continue;
            }
            Tap::Refused { reason } if tells(info.pid) => {
                ("was seen by what it told of itself alone", reason)
            }
            Tap::Refused { reason } => ("ran unobserved", reason),
            Tap::Partial { lacks } => ("was seen in part", lacks),
        };
        let pids = missing.entry((&info.executable, how, why)).or_default();
        pids.insert(info.pid);
    }
    let is_anything_tapped = recorded.processes.iter().any(|info| info.tap.is_tapped());
    if missing.is_empty() && !is_anything_tapped {
        return vec![no_tokio(&without)];
    }
    let sentence = |((executable, how, why), pids): ((&str, &str, &str), BTreeSet<u32>)| {
        let which = match (pids.first(), pids.len()) {
            (Some(pid), 1) => format!("process {pid}"),
            (_, number) => format!("{number} processes"),
        };
        format!("{executable} ({which}) {how}: {why}")
    };
    let mut notes: Vec<String> = missing.into_iter().map(sentence).collect();
    if processes_lost > 0 {
        notes.push(format!(
            "{processes_lost} processes ran unobserved: there is room for {PROCESS_SLOTS} at one time; record a \
             smaller part of what starts them"
        ));
    }
    notes
}

fn no_tokio(programs: &BTreeMap<&str, u64>) -> String {
    let mut by_number: Vec<(&str, u64)> = programs
        .iter()
        .map(|(program, number)| (*program, *number))
        .collect();
    by_number.sort_by_key(|&(_, number)| std::cmp::Reverse(number));
    let mut listed: Vec<&str> = by_number
        .iter()
        .take(LISTED)
        .map(|(program, _)| *program)
        .collect();
    let more = format!("{} more", programs.len().saturating_sub(LISTED));
    if programs.len() > LISTED {
        listed.push(&more);
    }
    format!(
        "neither tokio nor asyncio was found in {}; record a program that is built with tokio, or a Python program that \
         imports asyncio; if one is started from there, see to \
         it that it is dynamically linked and keeps LD_PRELOAD in its environment",
        listed.join(", ")
    )
}
