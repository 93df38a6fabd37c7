//! What the recording missed, in one line.

use asyncprof_core::profile::Quality;

use super::units;

/// One line: what is missing, or that nothing is.
pub(super) fn quality(quality: &Quality) -> String {
    let mut gaps = Vec::new();
    for (count, what, how) in [
        (quality.events_lost, "event", "lost (buffer full)"),
        (quality.threads_lost, "thread", "without a buffer"),
        (quality.stacks_lost, "stack", "lost"),
        (quality.tasks_seen_late, "task", "first seen after the spawn"),
        (quality.wakes_unseen, "wake", "unseen"),
        (quality.labels_lost, "label", "shown as …"),
        (quality.waits_split, "wait", "split over several branches"),
    ] {
        if count > 0 {
            gaps.push(format!("{} {how}", units::counted(count, what)));
        }
    }
    if quality.tasks_left_out > 0 {
        let all = quality.tasks_recorded.saturating_add(quality.tasks_left_out);
        gaps.push(format!(
            "{} of an estimated {} tasks recorded (1 in {} at times)",
            units::count(quality.tasks_recorded),
            units::count(all),
            units::count(quality.heaviest_task),
        ));
    }
    if quality.tasks_cut_short > 0 {
        gaps.push(format!(
            "of {} only the beginning recorded (one that stayed counts for up to {})",
            units::counted(quality.tasks_cut_short, "task"),
            units::count(quality.heaviest_task),
        ));
    }
    if quality.stacks_left_out > 0 {
        let waits = units::counted(quality.stacks_left_out, "wait");
        gaps.push(format!("stacks of {waits} likely under 10 µs not taken"));
    }
    if quality.frames_unsymbolised > 0 {
        let share = units::percent(quality.frames_unsymbolised, quality.frames_total);
        gaps.push(format!("{share} of the code addresses without a name"));
    }
    let events = units::counted(quality.events, "event");
    let gaps = if gaps.is_empty() {
        "nothing lost".to_owned()
    } else {
        gaps.join(", ")
    };
    let cost = if quality.program_cpu_ns == 0 {
        String::new()
    } else {
        let share = units::percent(quality.overhead_ns, quality.program_cpu_ns);
        format!(", recording cost about {share} of the program's CPU time")
    };
    let clock = if quality.clock.is_empty() {
        String::new()
    } else {
        format!(", clock {}", quality.clock)
    };
    format!("{events}, {gaps}{cost}{clock}")
}
