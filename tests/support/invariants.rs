//! What holds for every recording.

use asyncprof_core::profile::{Profile, State};

/// What the profile may lack.
#[derive(Clone, Copy, Debug)]
pub struct Quality {
    /// Whether every task's spawn is seen.
    sees_spawns: bool,
    has_lines: bool,
    may_lose_events: bool,
}

impl Quality {
    pub fn complete(sees_spawns: bool) -> Quality {
        Quality {
            sees_spawns,
            has_lines: true,
            may_lose_events: false,
        }
    }

    /// More events come than the rings hold.
    pub fn lossy() -> Quality {
        Quality {
            may_lose_events: true,
            ..Quality::complete(false)
        }
    }

    /// Of a program without line tables, which the profile says.
    pub fn without_lines(self) -> Quality {
        Quality {
            has_lines: false,
            ..self
        }
    }
}

/// Each row's windows add up to its total, the tables fit together, and nothing is missing that should be there.
pub fn check(profile: &Profile, expected: Quality) {
    profile.check().unwrap();
    for row in &profile.rows {
        let windows: u64 = row.windows.iter().map(|window| window.1).sum();
        assert_eq!(windows, row.stats.total_ns, "{row:?}");
    }
    let quality = &profile.quality;
    assert_eq!((quality.threads_lost, quality.stacks_lost), (0, 0), "{quality:?}");
    assert!(quality.frames_total > 0, "{quality:?}");
    let is_about_lines = |note: &String| note.contains("has no line tables");
    let notes: Vec<bool> = quality.notes.iter().map(is_about_lines).collect();
    let expected_notes: &[bool] = if expected.has_lines { &[] } else { &[true] };
    assert_eq!(notes, expected_notes, "{quality:?}");
    if !expected.may_lose_events {
        let gaps = (quality.events_lost, quality.wakes_unseen, quality.waits_split);
        assert_eq!(gaps, (0, 0, 0), "{quality:?}");
        assert_eq!(
            (quality.tasks_left_out, quality.stacks_left_out),
            (0, 0),
            "{quality:?}"
        );
        assert!(profile.rows.iter().all(|row| row.state != State::Lost));
    }
    assert!(
        !expected.sees_spawns || quality.tasks_seen_late == 0,
        "{quality:?}"
    );
}
