//! anyio's task groups, and Starlette's middleware, which is made of them: each wait is of the right kind, as often as it
//! was, and linked to the task that ended it.

use asyncprof_core::profile::TaskKind;
use asyncprof_core::view::Kind::{Channel, Join, Lock, Timer};

use crate::support::observed::tasks_named;
use crate::support::pythons::{assert_whole, expected, python_with_packages, recorded, waits};

const LOOP: &str = "(no task)";
const MIDDLEWARE: &str = "starlette.middleware.base.BaseHTTPMiddleware.__call__.call_next.coro";

fn assert_linked(args: &[&str]) {
    let python = match python_with_packages() {
        Ok(python) => python,
        Err(why) => return eprintln!("skipped: {why}"),
    };
    let recording = recorded(&python, "groups.py", args);
    assert_eq!(recording.output.stdout, b"done\n", "{}", recording.stderr());
    let profile = recording.profile();
    // anyio names its tasks.
    for (name, tasks) in [
        ("__main__.slow", 6),
        ("__main__.quick", 12),
        ("__main__.groups", 3),
    ] {
        let group = tasks_named(&profile, TaskKind::Task, name);
        let found = (group.tasks, group.completed, group.polls.episodes);
        assert_eq!(found, (tasks, tasks, 2 * tasks), "{name}");
    }
    for (function, found) in [
        ("groups", &[(Join, "__main__.slow", 6)][..]),
        ("nests", &[(Join, "__main__.groups", 3)]),
        ("works", &[(Timer, LOOP, 3)]),
        // A callback of anyio's own passes the cancellation on, to who waits for the group, too.
        ("cancels", &[(Timer, LOOP, 3), (Join, LOOP, 3)]),
        ("starts", &[(Join, "__main__.starts.ready", 6)]),
        (
            "hands_over",
            &[
                (Channel, "__main__.hands_over.sends", 3),
                (Join, "__main__.hands_over.sends", 3),
            ],
        ),
        ("limits", &[(Join, "__main__.limits.holds", 3)]),
        (
            "limits.holds",
            &[(Timer, LOOP, 6), (Lock, "__main__.limits.holds", 3)],
        ),
        ("passes", &[(Channel, MIDDLEWARE, 3)]),
        ("asks", &[(Channel, MIDDLEWARE, 3), (Join, MIDDLEWARE, 3)]),
        ("answer", &[(Timer, LOOP, 3)]),
    ] {
        let in_function = waits(&profile, &format!("groups.{function}"));
        assert_eq!(in_function, expected(found), "{function}");
    }
    assert_whole(&profile, "groups.py");
}

#[test]
fn waits_in_groups_are_linked_to_the_child_that_ended_them() {
    assert_linked(&[]);
}

#[test]
fn waits_in_groups_are_linked_on_uvloop() {
    assert_linked(&["uvloop"]);
}
