//! What a program tells of itself, by labels, work and wrapped tasks, reaches whoever records it: the linked agent or
//! the preloaded one, with tokio's tables or without.

use std::path::Path;

use asyncprof_core::profile::{Profile, State, TaskKind};

use crate::linked::program;
use crate::support::alone::{Alone, load};
use crate::support::fixtures::{static_fixture, strip_all};
use crate::support::recording::Folder;
use crate::support::run::{record_command, run, text};
use crate::support::truth;

/// How the program's clients are seen.
#[derive(Clone, Copy)]
struct Client {
    /// How their name ends: without a path of the module in the program, the crate's is told from its folder's.
    name: &'static str,
    /// The label of the task that has spawned them.
    inherited: Option<&'static str>,
}

const TAPPED: Client = Client {
    name: "::told::client",
    inherited: Some("shop"),
};

const WRAPPED: Client = Client {
    name: "told client",
    inherited: Some("shop"),
};

/// Spawns are not seen there.
const STATIC: Client = Client {
    name: "::told::client",
    inherited: None,
};

/// The requests of each client have their route and their work, and each client counts once, by this name. What the
/// program measures of a wait is a little more: from before the poll that begins it to its next poll.
fn check(profile: &Profile, folder: &Folder, client: Client) {
    profile.check().unwrap();
    let quality = &profile.quality;
    let gaps = (quality.events_lost, quality.wakes_unseen, quality.labels_lost);
    assert_eq!(gaps, (0, 0, 0), "{quality:?}");
    let truths = truth::read(&folder.path().join("truth"));
    assert_eq!(truths.len(), 2, "{truths:?}");
    for truth in truths {
        let route = |labels| {
            profile.label(labels, "route") == Some(truth.site.as_str())
                && profile.label(labels, "service") == client.inherited
        };
        let rows = profile.rows.iter().filter(|row| route(row.labels));
        let of = |state| {
            let rows = rows.clone().filter(move |row| row.state == state);
            rows.fold((0, 0), |sum, row| {
                (sum.0 + row.stats.total_ns, sum.1 + row.stats.episodes)
            })
        };
        let (waited, delayed) = (of(State::Waiting), of(State::Scheduled));
        assert_eq!(waited.1, truth.episodes, "{truth:?}");
        let slack = truth.total_ns / 50 + truth.episodes * 500_000;
        assert!(
            (waited.0 + delayed.0).abs_diff(truth.total_ns) <= slack,
            "{waited:?} {delayed:?} of {truth:?}"
        );
        let work = profile.work.iter().filter(|work| route(work.labels));
        assert_eq!(
            work.map(|work| work.units).sum::<u64>(),
            truth.episodes,
            "{truth:?}"
        );
    }
    let clients = profile
        .groups
        .iter()
        .filter(|group| group.kind == TaskKind::Task && profile.string(group.name).ends_with("client"));
    let clients = clients.map(|group| (profile.string(group.name), group.tasks));
    let clients: Vec<_> = clients.filter(|client| client.0 != "late client").collect();
    assert!(
        matches!(clients[..], [(name, 6)] if name.ends_with(client.name)),
        "{clients:?}"
    );
}

fn alone(program: &Path, client: Client) {
    let alone = Alone::new(program, "told");
    let profile = alone.good("snapshot: made\nwritten: true\n");
    check(&profile, &alone.folder, client);
}

fn under_the_command(program: &Path, client: Client) -> Profile {
    let folder = Folder::new();
    let own = folder.path().join("a.data");
    let mut command = record_command(&folder, &["-q", "--", text(program), "told", text(&own)]);
    let ran = run(command.env("WAITS_TRUTH", folder.path().join("truth")));
    assert_eq!(ran.code, 0, "{}", ran.stderr);
    let known_to_others =
        "snapshot: this process is recorded by the asyncprof command, which alone knows its tasks";
    assert_eq!(ran.stdout, format!("{known_to_others}\nwritten: false\n"));
    assert!(!own.exists());
    let profile = load(&folder.path().join("asyncprof.data"), &ran);
    check(&profile, &folder, client);
    profile
}

#[test]
fn alone_to_the_linked_agent() {
    alone(&program(), TAPPED);
}

#[test]
fn under_the_command_to_the_preloaded_agent() {
    under_the_command(&program(), TAPPED);
}

/// Without symbols there is no way into tokio: the wrapped tasks are what is seen.
#[test]
fn of_a_stripped_program_the_wrapped_tasks_are_seen() {
    let stripped = strip_all(&program());
    alone(&stripped, WRAPPED);
    let notes = under_the_command(&stripped, WRAPPED).quality.notes;
    let how = "was seen by what it told of itself alone: it holds tokio 1.54.1 but no symbols";
    assert!(notes.iter().any(|note| note.contains(how)), "{notes:?}");
}

#[test]
fn a_static_program_tells_its_own_agent() {
    match static_fixture("linked", "linked-static") {
        Ok(program) => {
            alone(&program, STATIC);
            under_the_command(&program, STATIC);
        }
        Err(why) => println!("skipped: no static program can be built here: {why}"),
    }
}
