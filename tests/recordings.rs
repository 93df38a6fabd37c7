//! Recording works at all.

use asyncprof_core::profile::{Profile, TaskKind};

use crate::support::fixtures::fixture;
use crate::support::recording::{Folder, Recording, asyncprof};

#[test]
fn a_release_build_is_recorded_without_loss() {
    let recording = Recording::new(&[], fixture("waits", "release", "sleep"), &[]);
    assert!(recording.output.status.success(), "{}", recording.stderr());
    let profile = recording.profile();
    assert_eq!(profile.quality.events_lost, 0);
    assert_eq!(profile.quality.wakes_unseen, 0);
    assert!(recording.folder.path().join("flamegraph.svg").exists());
}

/// The demo queries SQLite in more blocking closures than a profile remembers polls, each longer than any poll of a
/// task.
#[test]
fn bug_blocking_closures_took_all_places_among_the_longest_polls() {
    let folder = Folder::new();
    let output = asyncprof(&folder)
        .args(["demo", "--duration", "3s"])
        .output()
        .unwrap();
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    let profile = Profile::load(folder.path().join("asyncprof.data")).unwrap();
    assert!(!profile.longest_polls.is_empty());
    for poll in &profile.longest_polls {
        assert!(matches!(
            profile.group(poll.group).kind,
            TaskKind::Task | TaskKind::Root
        ));
    }
}
