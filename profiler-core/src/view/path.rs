//! Which calls of an await stack are shown, and what the stack says about the kind of the wait.
//!
//! Hidden by default: what is between poll and the user's first function (the runtime, a web server's
//! connections and routers), and the plumbing under an await.
//! What a library calls inside itself is shown by its first and its last function. Of what runs or blocks in a poll the
//! app's call and the function at the end are shown, plumbing or not.

use super::category::{Category, part_of, tells_the_leaf};
use super::functions::{Call, Functions, NameId, Place};
use super::kind::{Kind, Named, Rules};
use super::names::crate_of;
use crate::profile::{Profile, StackId, StringId};

/// One shown frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Shown {
    pub(super) name: NameId,
    pub(super) raw: StringId,
    pub(super) category: Category,
    pub(super) place: Option<Place>,
}

impl Shown {
    fn of(call: &Call) -> Shown {
        Shown {
            name: call.name,
            raw: call.raw,
            category: call.category,
            place: call.place,
        }
    }
}

/// The frames to show of the stack of a thread that was found in a poll, root first. `in_full`: all that is below the
/// app's innermost function, for pictures of nothing else.
pub(super) fn visible_busy(
    functions: &Functions,
    calls: &[Call],
    show_runtime: bool,
    in_full: bool,
) -> Vec<Shown> {
    let Some(own) = calls.iter().rposition(|call| call.category == Category::App) else {
        return visible(functions, calls, show_runtime);
    };
    let (app, under_app) = calls.split_at(own + 1);
    let mut shown = visible(functions, app, show_runtime);
    if show_runtime || in_full {
        shown.extend(under_app.iter().map(Shown::of));
        return shown;
    }
    let owner = |call: &Call| crate_of(functions.names.text(call.name));
    // A library's own functions below that which the app calls say little to the app's author.
    let mut shown_of = None;
    for (at, call) in under_app.iter().enumerate() {
        let is_first = at == 0 || owner(&under_app[at - 1]) != owner(call);
        let is_telling = call.category != Category::Plumbing || owner(call) == "std";
        let is_leaf = at + 1 == under_app.len() && shown_of.as_ref() != Some(&owner(call));
        if is_leaf || is_first && is_telling {
            shown.push(Shown::of(call));
            shown_of = Some(owner(call));
        }
    }
    shown
}

/// The frames to show of a stack, root first.
pub(super) fn visible(functions: &Functions, calls: &[Call], show_runtime: bool) -> Vec<Shown> {
    if show_runtime {
        return calls.iter().map(Shown::of).collect();
    }
    let mut shown: Vec<Shown> = Vec::new();
    let mut run: Vec<Shown> = Vec::new();
    let mut last_app: Option<(usize, &Call)> = None;
    for (index, call) in calls.iter().enumerate() {
        match call.category {
            Category::App => {
                if last_app.is_none() {
                    run.clear();
                }
                flush_run(functions, &mut run, &mut shown);
                match (last_app, shown.last_mut()) {
                    // A closure or async block of the function that calls it: one frame, with the inner line.
                    (Some((_, caller)), Some(top)) if top.name == call.name && caller.raw != call.raw => {
                        top.place = call.place.or(top.place);
                    }
                    _ => shown.push(Shown::of(call)),
                }
                last_app = Some((index, call));
            }
            // The app's closure again, in a line of the macro that wrote it (`join!`, `select!`).
            Category::Library if run.is_empty() && last_app.is_some_and(|(_, app)| app.name == call.name) => {
            }
            Category::Library => run.push(Shown::of(call)),
            Category::Runtime | Category::Plumbing => {}
        }
    }
    let leaf_is_app = run.is_empty();
    flush_run(functions, &mut run, &mut shown);
    if leaf_is_app {
        let under_app = &calls[last_app.map_or(0, |(index, _)| index + 1)..];
        let leaf = under_app
            .iter()
            .rev()
            .find(|call| tells_the_leaf(functions.names.text(call.name)));
        shown.extend(leaf.map(Shown::of));
    }
    shown
}

/// Of a run of library calls: of each part its first, of each crate its first and last.
fn flush_run(functions: &Functions, run: &mut Vec<Shown>, shown: &mut Vec<Shown>) {
    let part = |frame: &Shown| part_of(functions.names.text(frame.name));
    let owner = |frame: &Shown| crate_of(functions.names.text(frame.name));
    run.dedup_by(|next, kept| part(next) == part(kept));
    for (index, frame) in run.iter().enumerate() {
        let inside = |other: Option<&Shown>| other.is_some_and(|other| owner(other) == owner(frame));
        if !(index > 0 && inside(run.get(index - 1)) && inside(run.get(index + 1))) {
            shown.push(*frame);
        }
    }
    run.clear();
}

/// What the stack tells about a wait: the calls under the app's innermost function, and that one itself.
pub(super) fn kind_of_await(
    profile: &Profile,
    functions: &Functions,
    rules: &Rules,
    stack: StackId,
) -> Option<Kind> {
    let mut under_app = Vec::new();
    for call in functions.stack(profile, stack).rev() {
        under_app.push(named(profile, functions, &call, call.in_await_rule));
        if call.category == Category::App {
            break;
        }
    }
    rules.of_await(&under_app)
}

/// The kind that a rule of the user's gives to a wait, wherever on its stack.
pub(super) fn kind_of_user(
    profile: &Profile,
    functions: &Functions,
    rules: &Rules,
    stack: StackId,
) -> Option<Kind> {
    if !rules.has_user_rules() {
        return None;
    }
    let named: Vec<Named<'_>> = functions
        .stack(profile, stack)
        .rev()
        .map(|call| named(profile, functions, &call, call.in_user_rule))
        .collect();
    rules.of_user(&named)
}

/// What the stack of a wake tells about the wait that it ended.
pub(super) fn kind_of_wake(
    profile: &Profile,
    functions: &Functions,
    rules: &Rules,
    stack: StackId,
) -> Option<Kind> {
    let calls: Vec<Call> = functions.stack(profile, stack).rev().collect();
    let own = calls
        .iter()
        .position(|call| call.category == Category::App)
        .unwrap_or(calls.len());
    let of = |calls: &[Call]| {
        let named: Vec<Named<'_>> = calls
            .iter()
            .map(|call| named(profile, functions, call, call.in_wake_rule))
            .collect();
        rules.of_wake(&named)
    };
    // What the waking task's own code did further up says nothing about the wait. But where a driver calls the
    // app's code, that is a waker which passes the wake on.
    of(&calls[..own]).or_else(|| of(&calls[own..]).filter(|kind| matches!(kind, Kind::Timer | Kind::Io)))
}

fn named<'a>(profile: &'a Profile, functions: &'a Functions, call: &Call, decides: bool) -> Named<'a> {
    Named {
        display: functions.names.text(call.name),
        raw: profile.string(call.raw),
        decides,
    }
}

#[cfg(test)]
mod tests {
    use super::super::kind::Rule;
    use super::super::testing::ProfileBuilder;
    use super::*;

    fn shown(stack: &[&str]) -> Vec<String> {
        let mut builder = ProfileBuilder::new();
        let id = builder.stack(stack);
        let profile = builder.build();
        let functions = Functions::of(&profile, &Rules::default());
        let calls: Vec<Call> = functions.stack(&profile, id).collect();
        let frames = visible(&functions, &calls, false);
        frames
            .iter()
            .map(|frame| functions.names.text(frame.name).to_owned())
            .collect()
    }

    #[test]
    fn what_blocks_or_burns_is_shown_to_the_end() {
        let busy = |stack: &[&str]| {
            let mut builder = ProfileBuilder::new();
            let id = builder.stack(&[&HARNESS[..], stack].concat());
            let profile = builder.build();
            let functions = Functions::of(&profile, &Rules::default());
            let calls: Vec<Call> = functions.stack(&profile, id).collect();
            let frames = visible_busy(&functions, &calls, false, false);
            let name = |frame: &Shown| functions.names.text(frame.name).to_owned();
            frames.iter().map(name).collect::<Vec<_>>()
        };
        let nap = [
            "app::nap::{{closure}}",
            "std::thread::sleep",
            "std::sys::thread::unix::sleep",
            "clock_nanosleep",
        ];
        assert_eq!(busy(&nap), ["app::nap", "std::thread::sleep", "clock_nanosleep"]);
        let dump = [
            "app::dump",
            "serde_json::ser::to_string",
            "serde_json::ser::Serializer::collect",
            "core::fmt::write",
            "core::fmt::Formatter::pad",
        ];
        assert_eq!(
            busy(&dump),
            [
                "app::dump",
                "serde_json::ser::to_string",
                "core::fmt::Formatter::pad"
            ]
        );
        assert_eq!(busy(&["app::run", "app::burn"]), ["app::run", "app::burn"]);
    }

    const HARNESS: [&str; 3] = [
        "tokio::runtime::task::raw::poll",
        "tokio::runtime::task::core::Core<T,S>::poll",
        "<core::pin::Pin<P> as core::future::future::Future>::poll",
    ];

    fn in_task(stack: &[&str]) -> Vec<String> {
        shown(&[&HARNESS[..], stack].concat())
    }

    #[test]
    fn an_ordinary_sleep() {
        let stack = [
            "app::handle::{{closure}}",
            "app::nap::{{closure}}",
            "<tokio::time::sleep::Sleep as core::future::future::Future>::poll",
            "tokio::runtime::time::entry::TimerEntry::poll_elapsed",
            "tokio::sync::task::atomic_waker::AtomicWaker::register",
            "<core::task::wake::Waker as core::clone::Clone>::clone",
        ];
        assert_eq!(
            in_task(&stack),
            ["app::handle", "app::nap", "tokio::time::sleep::Sleep::poll"]
        );
    }

    #[test]
    fn a_leaf_is_left_when_everything_is_machinery() {
        let stack = [
            "app::read::{async_fn#0}",
            "tokio::runtime::io::registration::Registration::poll_ready",
        ];
        let expected = [
            "app::read",
            "tokio::runtime::io::registration::Registration::poll_ready",
        ];
        assert_eq!(in_task(&stack), expected);
        assert_eq!(in_task(&[]), [""; 0], "the harness alone is nothing to show");
    }

    #[test]
    fn closures_join_their_function_but_recursion_stays() {
        let block = [
            "app::run::{async_fn#0}",
            "core::future::poll_fn",
            "app::run::{async_fn#0}::{closure#1}",
        ];
        assert_eq!(in_task(&block), ["app::run"]);
        let join = [
            "app::run::{{closure}}",
            "app::run::{closure#0} @ /u/.cargo/registry/src/i/tokio-1.54.1/src/macros/join.rs:179",
        ];
        assert_eq!(in_task(&join), ["app::run"]);
        assert_eq!(
            in_task(&["app::walk::{async_fn#0}", "app::walk::{async_fn#0}"]),
            ["app::walk", "app::walk"]
        );
    }

    #[test]
    fn a_library_shows_its_first_and_last() {
        let stack = [
            "hyper_util::server::conn::auto::Connection::poll",
            "hyper::server::conn::http1::Connection::poll",
            "hyper::proto::h1::dispatch::Dispatcher::poll_catch",
            "hyper::proto::h1::dispatch::Dispatcher::poll_read",
            "tower::util::oneshot::Oneshot::poll",
            "app::handler::{{closure}}",
            "tokio::sync::mutex::Mutex<T>::lock::{{closure}}",
            "tokio::sync::mutex::Mutex<T>::acquire::{{closure}}",
            "<tokio::sync::batch_semaphore::Acquire as core::future::future::Future>::poll",
        ];
        let server = [
            "hyper_util::server::conn::auto::Connection::poll",
            "hyper::server::conn::http1::Connection::poll",
        ];
        assert_eq!(in_task(&stack[..5]), server);
        let under_the_server = ["app::handler", "tokio::sync::mutex::Mutex::lock"];
        assert_eq!(in_task(&stack), under_the_server);
        let called = [&["app::call::{{closure}}"][..], &stack[..5]].concat();
        assert_eq!(in_task(&called), [&["app::call"][..], &server].concat());
    }

    #[test]
    fn a_waker_of_the_apps_own_passes_on_what_the_driver_says() {
        let kind = |stack: &[&str]| {
            let mut builder = ProfileBuilder::new();
            let id = builder.stack(stack);
            let profile = builder.build();
            let rules = Rules::default();
            kind_of_wake(&profile, &Functions::of(&profile, &rules), &rules, id)
        };
        let relay = [
            "<app::Relay as alloc::task::Wake>::wake",
            "tokio::runtime::task::waker::wake_by_ref",
        ];
        let driver = "tokio::runtime::time::Driver::process_at_time";
        assert_eq!(kind(&[&[driver][..], &relay].concat()), Some(Kind::Timer));
        let sender = "tokio::sync::mpsc::unbounded::UnboundedSender<T>::send";
        assert_eq!(
            kind(&[&[sender][..], &relay].concat()),
            None,
            "a task's own doing"
        );
    }

    #[test]
    fn rules_of_the_users_see_the_whole_stack() {
        use super::super::analysis::Analysis;
        use crate::profile::{State, TaskKind};
        let kind = |rules: &[Rule]| {
            let mut builder = ProfileBuilder::new();
            let group = builder.group("task", TaskKind::Task, 1);
            let stack = builder.stack(&[
                "app::handle::{{closure}}",
                "<app::Db<T> as app::Store>::get::{async_fn#0}",
                "app::helper::{{closure}}",
                "<tokio::sync::oneshot::Receiver<T> as core::future::future::Future>::poll",
            ]);
            builder.row(group, stack, State::Waiting, 1, 7);
            let profile = builder.build();
            let rules = Rules::default().with_user_rules(rules.iter().cloned());
            let analysis = Analysis::new(&profile, &rules);
            analysis.rows(false).next().expect("a row").1
        };
        let waiting = super::super::Activity::Waiting;
        assert_eq!(kind(&[]), waiting(Kind::Channel));
        let of_db = Rule::new("app::Db", "", Kind::Io);
        assert_eq!(kind(std::slice::from_ref(&of_db)), waiting(Kind::Io));
        let of_helper = Rule::new("app::helper", "", Kind::Lock);
        assert_eq!(
            kind(&[of_db.clone(), of_helper]),
            waiting(Kind::Lock),
            "the innermost"
        );
        let elsewhere = Rule::new("tokio::sync::oneshot", "app::other", Kind::Lock);
        let within = Rule::new("tokio::sync::oneshot", "app::handle", Kind::Notify);
        assert_eq!(kind(&[elsewhere, within]), waiting(Kind::Notify));
        assert_eq!(
            kind(&[Rule::new("~as app::Store", "", Kind::Blocking)]),
            waiting(Kind::Blocking)
        );
    }

    #[test]
    fn a_root_task() {
        let stack = [
            "_start",
            "main",
            "std::rt::lang_start::{{closure}}",
            "core::ops::function::FnOnce::call_once",
            "app::main",
            "tokio::runtime::runtime::Runtime::block_on",
            "tokio::runtime::park::CachedParkThread::block_on",
            "app::main::{{closure}}",
            "<tokio::sync::oneshot::Receiver<T> as core::future::future::Future>::poll",
        ];
        assert_eq!(
            shown(&stack),
            ["app::main", "tokio::sync::oneshot::Receiver::poll"]
        );
    }
}
