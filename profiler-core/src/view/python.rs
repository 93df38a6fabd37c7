//! Python's functions: whose code they are, and how their dotted names are read.
//!
//! A name is the module's path and the qualified name in it: `asyncio.locks.Lock.acquire`. That it is Python's is told
//! by the source file; the types of futures, at the ends of stacks, have none.

use super::category::Category::{self, App, Library, Plumbing, Runtime};

/// Whether a function is Python's: `<frozen runpy>` and `<string>` are files of its, too.
pub(super) fn is_function(name: &str, file: &str) -> bool {
    file.ends_with(".py")
        || file.ends_with(".pyx")
        || file.starts_with('<')
        || file.is_empty() && is_path(name)
}

pub(super) fn category(display: &str, file: &str) -> Category {
    if let Some(&(_, category)) = TABLE.iter().find(|(path, _)| is_in(display, path)) {
        return category;
    }
    let is_standard = |file: &str| {
        let mut parents = file.rsplit('/').skip(1);
        parents.any(|folder| {
            folder
                .strip_prefix("python3.")
                .is_some_and(|minor| minor.bytes().all(|byte| byte.is_ascii_digit()))
        })
    };
    let is_installed = ["/site-packages/", "/dist-packages/"]
        .iter()
        .any(|folder| file.contains(folder));
    if is_installed || is_standard(file) || file.is_empty() || file.starts_with("<frozen") {
        Library
    } else {
        App
    }
}

/// Whether a name is a dotted path of Python's, and not one of the C compiler's (`work.part.0`).
pub(super) fn is_path(display: &str) -> bool {
    let is_identifier = |part: &str| part.starts_with(|c: char| c.is_alphabetic() || c == '_' || c == '<');
    let mut parts = display.split('.').peekable();
    let first = parts.next();
    parts.peek().is_some()
        && !display.contains("::")
        && first.is_some_and(is_identifier)
        && parts.all(|part| is_identifier(part) && !COMPILERS_PARTS.contains(&part))
}

const COMPILERS_PARTS: [&str; 5] = ["part", "cold", "constprop", "isra", "llvm"];

/// `display` itself, or something in it: a path with a dot in it, one at its end if it is a package alone.
pub(super) fn is_in(display: &str, path: &str) -> bool {
    display
        .strip_prefix(path.trim_end_matches('.'))
        .is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
}

/// `Lock.acquire` of `asyncio.locks.Lock.acquire`.
pub(super) fn short_name(display: &str) -> &str {
    let mut dots = display.rmatch_indices('.').map(|(at, _)| at);
    let _last = dots.next();
    dots.next().map_or(display, |at| &display[at + 1..])
}

/// Functions of one part are shown once where they call each other: a module of asyncio, or a whole package.
pub(super) fn part_of(display: &str) -> &str {
    let dots = if is_in(display, "asyncio.") { 2 } else { 1 };
    let end = display.match_indices('.').nth(dots - 1);
    &display[..end.map_or(display.len(), |(at, _)| at)]
}

const TABLE: &[(&str, Category)] = &[
    // Between the thread and the task.
    ("asyncio.runners", Runtime),
    ("asyncio.base_events.BaseEventLoop.run_forever", Runtime),
    ("asyncio.base_events.BaseEventLoop.run_until_complete", Runtime),
    ("asyncio.base_events.BaseEventLoop._run_once", Runtime),
    ("asyncio.base_events.BaseEventLoop._run_forever_setup", Runtime),
    ("asyncio.base_events.BaseEventLoop.create_task", Runtime),
    ("asyncio.events.Handle", Runtime),
    ("asyncio.tasks.create_task", Runtime),
    ("asyncio.tasks.ensure_future", Runtime),
    ("asyncio.tasks._ensure_future", Runtime),
    ("asyncio.taskgroups.TaskGroup.create_task", Runtime),
    ("uvloop.", Runtime),
    ("runpy.", Runtime),
    ("threading.", Runtime),
    ("asyncio.base_events.BaseEventLoop.run_in_executor", Runtime),
    ("asyncio.base_events.run_in_executor", Runtime),
    ("concurrent.futures.thread", Runtime),
    ("importlib.", Runtime),
    ("multiprocessing.", Runtime),
    // What is awaited at the end, of whatever kind.
    ("_asyncio.", Plumbing),
    ("concurrent.futures.Future", Plumbing),
    // What frameworks put between a request and the function that answers it.
    ("asyncio.coroutines", Plumbing),
    ("contextlib.", Plumbing),
    ("contextvars.", Plumbing),
    ("functools.", Plumbing),
    ("uvicorn.", Plumbing),
    ("gunicorn.", Plumbing),
    ("hypercorn.", Plumbing),
    ("starlette.", Plumbing),
    ("fastapi.", Plumbing),
    ("aiohttp.web", Plumbing),
    ("aiohttp.web_protocol", Plumbing),
    ("aiohttp.web_app", Plumbing),
    ("anyio.to_thread", Library),
    (
        "anyio._backends._asyncio.AsyncIOBackend.run_sync_in_worker_thread",
        Library,
    ),
    ("anyio._backends._asyncio.WorkerThread", Runtime),
    ("anyio._backends._asyncio.TaskGroup._run_wrapped_task", Plumbing),
    ("anyio.", Plumbing),
    ("greenlet.", Plumbing),
    ("sqlalchemy.util._concurrency_py3k", Plumbing),
    ("sqlalchemy.util.concurrency", Plumbing),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whose_code() {
        let std = |module: &str| format!("/usr/lib/python3.12/{module}.py");
        let site = |module: &str| format!("/srv/venv/lib/python3.12/site-packages/{module}.py");
        for (name, file, expected) in [
            ("app.handle", "/srv/app.py".to_owned(), App),
            ("asyncio.tasks.sleep", std("asyncio/tasks"), Library),
            ("asyncio.runners.Runner.run", std("asyncio/runners"), Runtime),
            ("asyncio.events.Handle._run", std("asyncio/events"), Runtime),
            (
                "starlette.routing.Router.app",
                site("starlette/routing"),
                Plumbing,
            ),
            ("httpx._client.AsyncClient.get", site("httpx/_client"), Library),
            ("anyio.to_thread.run_sync", site("anyio/to_thread"), Library),
            ("runpy._run_code", "<frozen runpy>".to_owned(), Runtime),
            ("main.<module>", "/home/u/python3.x/main.py".to_owned(), App),
            ("fastapi_app.main", "/srv/fastapi_app.py".to_owned(), App),
            ("_asyncio.Future", String::new(), Plumbing),
            ("asyncpg.protocol.protocol.Protocol", String::new(), Library),
        ] {
            assert!(is_function(name, &file));
            assert_eq!(category(name, &file), expected, "{name}");
        }
    }

    #[test]
    fn dotted_names() {
        assert!(is_path("asyncio.tasks.sleep") && is_path("app.<module>"));
        for other in ["main", "work.part.0", "work.cold", "a::b.c", "memcpy", "x.1", ""] {
            assert!(!is_path(other), "{other}");
        }
        assert!(is_in("asyncio.locks.Lock.acquire", "asyncio.locks") && is_in("uvloop.run", "uvloop."));
        assert!(!is_in("asyncio.locksmith", "asyncio.locks"));
        assert_eq!(short_name("asyncio.locks.Lock.acquire"), "Lock.acquire");
        assert_eq!(short_name("app.main"), "app.main");
        assert_eq!(part_of("asyncio.locks.Lock.acquire"), "asyncio.locks");
        assert_eq!(part_of("httpx._client.get"), "httpx");
    }
}
