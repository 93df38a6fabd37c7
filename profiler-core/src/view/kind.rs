//! What a suspended task waits for: an ordered table of rules over the functions at the end of its await stack.
//!
//! The stack is read from the leaf upwards, as far as the app's own code: the first function with a rule
//! decides. A rule may ask for a caller too (`within`), because a oneshot under hyper's client is a wait for
//! the network while the same oneshot elsewhere is a channel. Where inlining left no telling function, the
//! stack of whoever woke the task is the second source.
//!
//! Rules of the user's come before all that, and read the whole stack: they may name the app's own functions,
//! wherever on it.

use super::category::is_under;
use super::kind_table::{AWAITS, Row, WAKER_CELL, WAKES};
use super::python_kinds::{PYTHON_AWAITS, PYTHON_WAKES};

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    /// Sockets, pipes, files, processes, name resolution, and answers of remote services.
    Io,
    Timer,
    /// Mutex, rwlock, semaphore, pool slot.
    Lock,
    Channel,
    /// Another task's end.
    Join,
    /// A blocking task's end.
    Blocking,
    Notify,
    Yield,
    Other,
}

impl Kind {
    pub const ALL: [Kind; 9] = [
        Kind::Io,
        Kind::Timer,
        Kind::Lock,
        Kind::Channel,
        Kind::Join,
        Kind::Blocking,
        Kind::Notify,
        Kind::Yield,
        Kind::Other,
    ];

    pub fn name(self) -> &'static str {
        match self {
            Kind::Io => "io",
            Kind::Timer => "timer",
            Kind::Lock => "lock",
            Kind::Channel => "channel",
            Kind::Join => "join",
            Kind::Blocking => "blocking",
            Kind::Notify => "notify",
            Kind::Yield => "yield",
            Kind::Other => "other",
        }
    }
}

/// One line of the table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rule {
    /// Path of a module, type or function: `tokio::sync::oneshot`, `asyncio.locks`, `aiohttp.` (a package of Python's).
    /// With a leading `~`: text anywhere in the raw name.
    pub at: String,
    /// A caller between that function and the app's own code; empty for any.
    pub within: String,
    pub kind: Kind,
}

impl Rule {
    pub fn new(at: impl Into<String>, within: impl Into<String>, kind: Kind) -> Rule {
        Rule {
            at: at.into(),
            within: within.into(),
            kind,
        }
    }
}

/// One function as the rules see it.
#[derive(Clone, Copy, Debug)]
pub struct Named<'a> {
    pub display: &'a str,
    pub raw: &'a str,
    /// Whether a rule of the table in question names it; others are only looked at as callers.
    pub decides: bool,
}

/// The rules in force, first match first.
#[derive(Clone, Debug)]
pub struct Rules {
    user: Vec<Rule>,
    awaits: Vec<Rule>,
    wakes: Vec<Rule>,
}

impl Default for Rules {
    fn default() -> Rules {
        let rule = |&(at, within, kind): &Row| Rule::new(at, within, kind);
        Rules {
            user: Vec::new(),
            awaits: AWAITS.iter().chain(PYTHON_AWAITS).map(rule).collect(),
            wakes: WAKES.iter().chain(PYTHON_WAKES).map(rule).collect(),
        }
    }
}

impl Rules {
    /// Puts rules of the user's in front of the built-in ones, in the order given.
    pub fn with_user_rules(mut self, rules: impl IntoIterator<Item = Rule>) -> Rules {
        self.user.extend(rules);
        self
    }

    pub(super) fn has_user_rules(&self) -> bool {
        !self.user.is_empty()
    }

    /// Whether any rule of the user's is about this function.
    pub fn name_user(&self, display: &str, raw: &str) -> bool {
        names_any(&self.user, display, raw)
    }

    /// Whether any built-in await rule is about this function.
    pub fn name_await(&self, display: &str, raw: &str) -> bool {
        !is_under(display, WAKER_CELL) && names_any(&self.awaits, display, raw)
    }

    /// Whether any wake rule is about this function.
    pub fn name_wake(&self, display: &str, raw: &str) -> bool {
        names_any(&self.wakes, display, raw)
    }

    /// The kind that the user's rules give to a whole await stack, leaf FIRST.
    pub fn of_user(&self, leaf_first: &[Named<'_>]) -> Option<Kind> {
        first_match(&self.user, leaf_first)
    }

    /// The kind told by the functions between the app's innermost frame and the leaf, leaf FIRST.
    pub fn of_await(&self, leaf_first: &[Named<'_>]) -> Option<Kind> {
        first_match(&self.awaits, leaf_first)
    }

    /// The kind told by the functions on the stack of the wake, innermost FIRST.
    pub fn of_wake(&self, leaf_first: &[Named<'_>]) -> Option<Kind> {
        first_match(&self.wakes, leaf_first)
    }
}

fn first_match(rules: &[Rule], leaf_first: &[Named<'_>]) -> Option<Kind> {
    leaf_first
        .iter()
        .enumerate()
        .filter(|(_, function)| function.decides)
        .find_map(|(index, function)| {
            let callers = &leaf_first[index + 1..];
            let holds = |rule: &&Rule| {
                matches(function.display, function.raw, &rule.at)
                    && (rule.within.is_empty()
                        || callers
                            .iter()
                            .any(|caller| matches(caller.display, caller.raw, &rule.within)))
            };
            rules.iter().find(holds).map(|rule| rule.kind)
        })
}

fn names_any(rules: &[Rule], display: &str, raw: &str) -> bool {
    rules.iter().any(|rule| matches(display, raw, &rule.at))
}

fn matches(display: &str, raw: &str, pattern: &str) -> bool {
    match pattern.strip_prefix('~') {
        Some(text) => raw.contains(text),
        None => is_under(display, pattern),
    }
}

/// Joins the two sources: what the await stack tells, and what the wake tells.
pub fn decide(awaited: Option<Kind>, woken: Option<Kind>, woken_by_blocking_task: bool) -> Kind {
    match (awaited, woken) {
        (Some(Kind::Join), _) | (None, Some(Kind::Join)) if woken_by_blocking_task => Kind::Blocking,
        // Bounded channels wait in a semaphore and watch channels in a `Notify`. Where the channel's own function
        // was inlined away on the waiting side, the waking side still shows it.
        (Some(Kind::Lock | Kind::Notify), Some(Kind::Channel)) => Kind::Channel,
        (Some(kind), _) | (None, Some(kind)) => kind,
        (None, None) => Kind::Other,
    }
}

#[cfg(test)]
mod tests {
    use super::super::names::display_name;
    use super::*;

    fn kind_of(leaf_first: &[&str]) -> Option<Kind> {
        let displays: Vec<String> = leaf_first.iter().map(|raw| display_name(raw)).collect();
        let named: Vec<Named<'_>> = displays
            .iter()
            .zip(leaf_first)
            .map(|(display, raw)| Named {
                display,
                raw,
                decides: Rules::default().name_await(display, raw),
            })
            .collect();
        Rules::default().of_await(&named)
    }

    #[test]
    fn tokio_leaves() {
        const CLONE: &str = "<core::task::wake::Waker as core::clone::Clone>::clone";
        let sleep = "<tokio::time::sleep::Sleep as core::future::future::Future>::poll";
        let semaphore = "<tokio::sync::batch_semaphore::Acquire as core::future::future::Future>::poll";
        let timeout = "<tokio::time::timeout::Timeout<T> as core::future::future::Future>::poll";
        let read = "tokio::runtime::io::registration::Registration::poll_ready";
        let join = "<tokio::runtime::task::join::JoinHandle<T> as core::future::future::Future>::poll";
        for (stack, kind) in [
            (
                vec![
                    CLONE,
                    "tokio::sync::task::atomic_waker::AtomicWaker::register",
                    sleep,
                ],
                Kind::Timer,
            ),
            (vec![CLONE, read, timeout], Kind::Io),
            (vec![CLONE, sleep, timeout], Kind::Timer),
            (
                vec![semaphore, "tokio::sync::mutex::Mutex<T>::lock::{{closure}}"],
                Kind::Lock,
            ),
            (
                vec![
                    semaphore,
                    "tokio::sync::mpsc::bounded::Sender<T>::send::{{closure}}",
                ],
                Kind::Channel,
            ),
            (vec!["tokio::sync::mpsc::chan::Rx<T,S>::recv"], Kind::Channel),
            (vec!["tokio::sync::oneshot::{impl#9}::poll<u8>"], Kind::Channel),
            (
                vec![
                    "<tokio::sync::oneshot::Receiver<T> as F>::poll",
                    "hyper::client::dispatch::x",
                ],
                Kind::Io,
            ),
            (vec!["<tokio::sync::notify::Notified as F>::poll"], Kind::Notify),
            (
                vec![
                    "<tokio::sync::notify::Notified as F>::poll",
                    "tokio::sync::watch::Receiver<T>::changed",
                ],
                Kind::Channel,
            ),
            (vec![join], Kind::Join),
            (vec![join, "tokio::fs::asyncify::{{closure}}"], Kind::Io),
            (
                vec!["tokio::task::join_set::JoinSet<T>::poll_join_next"],
                Kind::Join,
            ),
            (
                vec![
                    "tokio::runtime::task::harness::try_read_output<tokio::runtime::blocking::task::BlockingTask<f>>",
                ],
                Kind::Blocking,
            ),
            (
                vec!["tokio::task::yield_now::yield_now::{{closure}}"],
                Kind::Yield,
            ),
            (vec![read, "<tokio::process::Child>::wait::{closure#0}"], Kind::Io),
            (
                vec!["sqlx_core::pool::inner::PoolInner<DB>::acquire_permit"],
                Kind::Lock,
            ),
            (
                vec![
                    "flume::async::RecvFut<T>::poll_inner",
                    "sqlx_core::query::Query<DB,A>::fetch_all",
                ],
                Kind::Blocking,
            ),
            (
                vec![
                    "event_listener::TaskRef::into_task",
                    "sqlx_core::pool::inner::spawn_maintenance_tasks::{{closure}}",
                ],
                Kind::Notify,
            ),
            (
                vec![
                    "tokio::sync::task::atomic_waker::AtomicWaker::register_by_ref",
                    sleep,
                    "bb8::inner::Reaper<M>::run::{{closure}}",
                ],
                Kind::Timer,
            ),
        ] {
            assert_eq!(kind_of(&stack), Some(kind), "{stack:?}");
        }
        assert_eq!(
            kind_of(&[CLONE, timeout]),
            None,
            "an inlined timeout does not say which side it waits for"
        );
    }

    /// Before CPython 3.11, where tests with packages do not run.
    #[test]
    fn python_functions_that_do_not_know_their_class() {
        const WAIT: &str = "asyncio.locks.wait";
        let anyio = |function: &str| format!("anyio._backends._asyncio.{function}");
        let [event, limiter, receives, group, start] =
            ["wait", "acquire_on_behalf_of", "receive", "__aexit__", "start"].map(anyio);
        for (stack, kind) in [
            (vec![WAIT], Kind::Notify),
            (vec![WAIT, &event], Kind::Notify),
            (vec![WAIT, &event, "anyio.streams.memory.receive"], Kind::Channel),
            (vec![WAIT, &limiter], Kind::Lock),
            (vec![WAIT, &receives], Kind::Io),
            (vec!["asyncio.locks.acquire"], Kind::Lock),
            (vec![&group], Kind::Join),
            (vec![&start], Kind::Join),
        ] {
            assert_eq!(kind_of(&stack), Some(kind), "{stack:?}");
        }
    }

    #[test]
    fn the_waker_tells_the_rest() {
        assert_eq!(decide(None, Some(Kind::Timer), false), Kind::Timer);
        assert_eq!(decide(Some(Kind::Join), None, true), Kind::Blocking);
        assert_eq!(decide(Some(Kind::Io), Some(Kind::Join), true), Kind::Io);
        assert_eq!(decide(None, None, true), Kind::Other);
        assert_eq!(
            decide(Some(Kind::Lock), Some(Kind::Channel), false),
            Kind::Channel,
            "an inlined mpsc send"
        );
    }
}
