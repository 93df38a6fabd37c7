//! Recording works at all.

use crate::support::fixtures::fixture;
use crate::support::recording::Recording;

#[test]
fn a_release_build_is_recorded_without_loss() {
    let recording = Recording::new(&[], fixture("waits", "release", "sleep"), &[]);
    assert!(recording.output.status.success(), "{}", recording.stderr());
    let profile = recording.profile();
    assert_eq!(profile.quality.events_lost, 0);
    assert_eq!(profile.quality.wakes_unseen, 0);
    assert!(recording.folder.path().join("flamegraph.svg").exists());
}
