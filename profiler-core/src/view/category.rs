//! Whose code a function is: the app's, a library's, the runtime's, or plumbing that nobody wants to read.
//!
//! The tables below are matched against display names (see [`super::names`]), by whole path segments, first
//! match first. They name modules rather than types, because debug information often knows only the module.

use super::names::crate_of;
use super::python;

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Category {
    /// The user's own crates.
    App,
    /// Crates that are neither the app nor the runtime's machinery.
    Library,
    /// Between the operating system's thread and the future: scheduler, task harness, drivers, main's glue.
    Runtime,
    /// Under an await or between two futures: shims that pass `poll` or a waker on.
    Plumbing,
}

/// The category of a function from its display name and source file (empty if unknown).
pub fn category(display: &str, file: &str) -> Category {
    if python::is_function(display, file) {
        return python::category(display, file);
    }
    let path = behind_reference(display);
    if let Some(&(_, category)) = TABLE.iter().find(|(known, _)| is_under(path, known)) {
        return category;
    }
    let owner = crate_of(display);
    if owner.len() <= 2 && owner.starts_with(|c: char| c.is_ascii_uppercase()) {
        // A blanket implementation of which only the type parameter is left.
        return Plumbing;
    }
    // A program of the user's may have the name of a library.
    if is_library_file(file) || LIBRARIES.contains(&owner) && !is_program_file(file) {
        return Category::Library;
    }
    match owner {
        "core" | "alloc" | "std" => Category::Plumbing,
        // C symbols such as `clone3` or `sqlite3_step` when no file says otherwise.
        "" if file.is_empty() => Category::Library,
        _ => Category::App,
    }
}

/// A hidden function that still tells what is waited for, shown when nothing better is left under an await.
pub fn tells_the_leaf(display: &str) -> bool {
    LEAVES.iter().any(|path| is_under(display, path))
}

/// Functions of one part are shown once where they call each other: a module of tokio, or a whole crate.
pub fn part_of(display: &str) -> &str {
    if python::is_path(display) {
        return python::part_of(display);
    }
    let owner = crate_of(display);
    if owner != "tokio" {
        return owner;
    }
    let end = display
        .match_indices("::")
        .nth(2)
        .map_or(display.len(), |(at, _)| at);
    &display[..end]
}

/// `path` itself, or something inside it. Generics in the name are passed over: `Harness<…>::complete` is
/// under `Harness::complete`. Paths of Python's have dots.
pub fn is_under(display: &str, path: &str) -> bool {
    if path.contains('.') {
        return python::is_in(display, path);
    }
    let mut rest = display;
    let mut segments = path.split("::").peekable();
    while let Some(segment) = segments.next() {
        let Some(after) = rest.strip_prefix(segment) else {
            return false;
        };
        rest = after_generics(after);
        match rest.strip_prefix("::") {
            Some(inner) => rest = inner,
            None => return rest.is_empty() && segments.peek().is_none(),
        }
    }
    true
}

/// `core::ops::Fn` for `&dyn core::ops::Fn`.
fn behind_reference(display: &str) -> &str {
    let mut path = display.trim_start_matches(['&', '*']);
    for word in ["mut ", "const ", "dyn "] {
        path = path.strip_prefix(word).unwrap_or(path);
    }
    path
}

fn after_generics(text: &str) -> &str {
    let mut depth = 0_i32;
    for (at, byte) in text.bytes().enumerate() {
        match byte {
            b'<' => depth += 1,
            b'>' if depth > 0 => depth -= 1,
            _ if depth == 0 => return &text[at..],
            _ => {}
        }
    }
    ""
}

fn is_library_file(file: &str) -> bool {
    [
        "/registry/src/",
        "/git/checkouts/",
        "/rustc/",
        "/rustlib/src/",
        "/library/std/",
        "/library/core/",
    ]
    .iter()
    .chain(&["/library/alloc/"])
    .any(|part| file.contains(part))
}

/// What no library is built from.
fn is_program_file(file: &str) -> bool {
    file.ends_with("/src/main.rs") || file.contains("/src/bin/")
}

use Category::{App, Library, Plumbing, Runtime};

const TABLE: &[(&str, Category)] = &[
    ("asyncprof::demo", App),
    ("asyncprof", Plumbing),
    ("tokio::runtime::task::join", Library),
    ("tokio::runtime::signal", Plumbing),
    ("tokio::runtime::coop", Plumbing),
    ("tokio::runtime::context::defer", Plumbing),
    ("tokio::runtime", Runtime),
    ("tokio::coop", Plumbing),
    ("tokio::task::coop", Plumbing),
    ("tokio::task::local", Runtime),
    ("tokio::task::spawn", Runtime),
    ("tokio::task::blocking", Runtime),
    ("tokio::task::builder", Runtime),
    ("tokio::future", Plumbing),
    ("tokio::macros", Plumbing),
    ("tokio::util", Plumbing),
    ("tokio::loom", Plumbing),
    ("tokio::sync::task", Plumbing),
    ("tokio::sync::batch_semaphore", Plumbing),
    ("tokio::sync::mpsc::chan", Plumbing),
    ("tokio::sync::mpsc::list", Plumbing),
    ("tokio::sync::watch::changed_impl", Plumbing),
    ("tokio::io::poll_evented", Plumbing),
    ("tokio::io::async_read", Plumbing),
    ("tokio::io::async_write", Plumbing),
    ("tokio::io::async_buf_read", Plumbing),
    ("tokio::fs::asyncify", Plumbing),
    ("tokio_util::sync::reusable_box", Plumbing),
    ("tower::buffer", Library),
    ("tower::limit", Library),
    ("tower", Plumbing),
    ("tower_http::follow_redirect", Plumbing),
    ("tower_service", Plumbing),
    ("tower_layer", Plumbing),
    ("axum::serve", Library),
    ("axum", Plumbing),
    ("axum_core", Plumbing),
    ("futures_util::lock", Library),
    ("futures_util::stream::futures_unordered", Library),
    ("futures_util::stream::futures_ordered", Library),
    ("futures_util::future::join_all", Library),
    ("futures_util", Plumbing),
    ("futures_core", Plumbing),
    ("futures_task", Plumbing),
    ("futures_sink", Plumbing),
    ("futures_channel::lock", Plumbing),
    ("hyper::common", Plumbing),
    ("hyper_util::common", Plumbing),
    ("hyper_util::rt", Plumbing),
    ("hyper_util::service", Plumbing),
    ("http_body", Plumbing),
    ("http_body_util", Plumbing),
    ("sync_wrapper", Plumbing),
    ("pin_project", Plumbing),
    ("pin_project_lite", Plumbing),
    ("tracing::instrument", Plumbing),
    ("tracing_futures", Plumbing),
    ("atomic_waker", Plumbing),
    // A trait of a library's, implemented for the standard type: line tables do not have its path.
    ("Waker", Plumbing),
    ("want", Plumbing),
    ("async_trait", Plumbing),
    ("std::rt", Runtime),
    ("std::sys::backtrace", Runtime),
    ("std::sys_common", Runtime),
    ("std::sys", Runtime),
    ("std::thread", Runtime),
    ("std::panic", Runtime),
    ("std::panicking", Runtime),
    ("__rust_begin_short_backtrace", Runtime),
    ("main", Runtime),
    ("_start", Runtime),
    ("__libc_start_main", Runtime),
    ("__libc_start_main_impl", Runtime),
    ("__libc_start_call_main", Runtime),
    ("start_thread", Runtime),
    ("clone", Runtime),
    ("clone3", Runtime),
    ("__clone3", Runtime),
    ("__rust_try", Runtime),
    // The allocator's shims, at the end of every spawn's stack.
    ("__rustc", Runtime),
    ("__rdl_alloc", Runtime),
    ("__rust_alloc", Runtime),
    ("asyncprof_agent", Runtime),
    // Python's, for what `asyncio.gather` awaits.
    ("_GatheringFuture", Plumbing),
    ("std", Plumbing),
    ("core", Plumbing),
    ("alloc", Plumbing),
];

const LEAVES: &[&str] = &[
    "tokio::runtime::io",
    "tokio::runtime::time",
    "tokio::runtime::signal",
    "tokio::runtime::process",
    "tokio::sync::batch_semaphore",
    "tokio::sync::mpsc",
    "tokio::io",
    "tokio::fs",
    "tokio::util",
    "tokio::task::local",
    "futures_util",
    "tower",
    "axum",
    "want",
    "hyper::common",
];

/// Crates that are nobody's app, for names without a source file.
#[rustfmt::skip]
const LIBRARIES: &[&str] = &[
    "actix_http", "actix_rt", "actix_server", "actix_service", "actix_web", "ahash", "anyhow", "arc_swap",
    "async_channel", "async_compression", "async_executor", "async_global_executor", "async_io",
    "async_lock", "async_nats", "async_std", "async_stream", "async_task", "aws_config", "aws_sdk_s3",
    "aws_smithy_async", "aws_smithy_http", "aws_smithy_http_client", "aws_smithy_runtime",
    "aws_smithy_runtime_api", "backon", "bb8", "bb8_postgres", "bb8_redis", "blocking", "bytes", "chrono",
    "crossbeam_channel", "dashmap", "deadpool", "deadpool_postgres", "deadpool_redis", "deadpool_runtime",
    "diesel", "diesel_async", "event_listener", "flume", "fred", "futures", "futures_channel",
    "futures_executor", "futures_io", "futures_lite", "futures_timer", "governor", "h2", "h3", "h3_quinn",
    "hickory_proto", "hickory_resolver", "http", "httparse", "hyper", "hyper_rustls", "hyper_timeout",
    "hyper_tls", "hyper_util", "indexmap", "isahc", "jsonrpsee", "jsonrpsee_core", "kanal", "kube",
    "kube_client", "kube_runtime", "lapin", "libsqlite3_sys", "lettre", "log", "mio", "moka", "mongodb",
    "mysql_async", "native_tls", "notify", "once_cell", "openssl", "opentelemetry", "opentelemetry_otlp",
    "opentelemetry_sdk", "parking_lot", "parking_lot_core", "pingora_core", "poem", "polling", "prost",
    "quick_cache", "quinn", "quinn_proto", "quinn_udp", "r2d2", "rayon", "rayon_core", "rdkafka", "redis",
    "regex", "reqwest", "reqwest_middleware", "ring", "rocket", "rumqttc", "rusqlite", "russh", "rustls",
    "salvo", "scylla", "sea_orm", "serde", "serde_json", "smol", "socket2", "sqlx", "sqlx_core",
    "sqlx_mysql", "sqlx_postgres", "sqlx_sqlite", "surf", "tarpc", "tokio", "tokio_native_tls",
    "tokio_openssl", "tokio_postgres", "tokio_rusqlite", "tokio_rustls", "tokio_serde", "tokio_stream",
    "tokio_test", "tokio_tungstenite", "tokio_util", "tonic", "tower_http", "tracing", "tracing_core",
    "tracing_subscriber", "trust_dns_proto", "trust_dns_resolver", "tungstenite", "ureq", "warp", "zbus",
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whose_code() {
        for (display, file, expected) in [
            ("app::handle", "", Category::App),
            ("app::handle", "src/main.rs", Category::App),
            (
                "my_dep::call",
                "/home/u/.cargo/registry/src/index-1/my_dep-1.0.0/src/lib.rs",
                Library,
            ),
            ("tokio::runtime::task::core::Core<T,S>::poll", "", Runtime),
            ("tokio::runtime::task::join::JoinHandle<T>::poll", "", Library),
            (
                "tokio::time::sleep::Sleep::poll",
                "/home/user/tokio/src/time/sleep.rs",
                Library,
            ),
            ("tokio::task::coop::poll_proceed", "", Plumbing),
            ("core::future::future::Future::poll", "", Plumbing),
            (
                "alloc::boxed::Box<F, A>::poll",
                "/rustc/0123/library/alloc/src/boxed.rs",
                Plumbing,
            ),
            ("std::rt::lang_start", "", Runtime),
            ("tokio::sync::mutex::Mutex<T>::lock", "", Library),
            (
                "tokio::sync::task::atomic_waker::AtomicWaker::register",
                "",
                Plumbing,
            ),
            ("mainframe::run", "", Category::App),
            ("__rustc::__rdl_alloc", "", Runtime),
            (
                "&Waker::into_waker",
                "/r/registry/src/i/tokio-1.54.1/src/x.rs",
                Plumbing,
            ),
            (
                "&dyn core::ops::function::Fn<(), Output = i32>::call_once",
                "/rustc/0/f.rs",
                Plumbing,
            ),
            ("blocking::main", "/home/u/blocking/src/main.rs", Category::App),
            ("blocking::unblock", "", Library),
            (
                "blocking::unblock",
                "/home/u/app/vendor/blocking/src/lib.rs",
                Library,
            ),
            ("main", "", Runtime),
            ("sqlite3_step", "", Library),
        ] {
            assert_eq!(category(display, file), expected, "{display} {file}");
        }
    }

    #[test]
    fn whole_segments_without_generics() {
        assert!(is_under("a::B<c::D<e>>::f", "a::B::f"));
        assert!(is_under("a::B<…>", "a"));
        assert!(!is_under("ab::c", "a"));
        assert!(!is_under("a", "a::b"));
        assert!(!is_under("a<b>c::d", "a"));
    }

    #[test]
    fn parts() {
        assert_eq!(
            part_of("tokio::sync::watch::Receiver<T>::changed"),
            "tokio::sync::watch"
        );
        assert_eq!(part_of("tokio::spawn"), "tokio::spawn");
        assert_eq!(part_of("hyper::proto::h1::conn::poll"), "hyper");
    }
}
