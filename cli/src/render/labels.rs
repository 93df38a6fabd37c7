//! What a box of the picture is called: short enough to be read in it. The whole name is in its tooltip.

use asyncprof_core::view::names::{crate_of, short_name};
use asyncprof_core::view::{Category, FrameKind};

use super::units;

/// The label of a frame with this whole name.
pub(crate) fn label(name: &str, kind: FrameKind) -> String {
    let label = match kind {
        FrameKind::Function(Category::App) => short_name(name).to_owned(),
        FrameKind::Function(_) => library(name),
        FrameKind::Group(_) => group(name),
        FrameKind::Root => format!("{name} tasks"),
        FrameKind::Others(frames) => others(frames as usize),
        FrameKind::Process
        | FrameKind::State(_)
        | FrameKind::WokenBy(_)
        | FrameKind::Behind
        | FrameKind::NoTask
        | FrameKind::Source(_) => name.to_owned(),
    };
    if label.is_empty() { name.to_owned() } else { label }
}

/// Of frames that are too narrow to be drawn one by one.
pub(crate) fn others(frames: usize) -> String {
    format!("(other: {})", units::counted(frames as u64, "frame"))
}

/// A function's name in at most `max` characters, shortened only if it must be.
pub(crate) fn at_most(name: &str, max: usize) -> String {
    if name.chars().count() <= max {
        return name.to_owned();
    }
    units::tail(&library(name), max)
}

/// `hyper::…::SendRequest::try_send` for a deeper path: whose code it is, and what. To poll a future is what
/// every `.await` does, so there the future is enough.
fn library(name: &str) -> String {
    let short = short_name(name);
    let short = match short.strip_suffix("::poll") {
        Some(future) if future.starts_with(|c: char| c.is_uppercase()) => future,
        _ => short,
    };
    let owner = crate_of(name);
    let is_whole = name == short || name.strip_suffix("::poll") == Some(short);
    match name.strip_prefix(owner) {
        // A Python package's parts are mostly one function deep.
        Some(path) if path.starts_with('.') => short.to_owned(),
        Some(path) if !is_whole && !owner.is_empty() => {
            let between = if path
                .strip_prefix("::")
                .is_some_and(|path| path.starts_with(short))
            {
                "::"
            } else {
                "::…::"
            };
            format!("{owner}{between}{short}")
        }
        _ => short.to_owned(),
    }
}

/// Only a path is shortened, behind the words before it; what an author called a task stays.
fn group(name: &str) -> String {
    let (kind, path) = match name.strip_prefix('[').and_then(|rest| rest.split_once("] ")) {
        Some((kind, path)) => (format!("[{kind}] "), path),
        None => (String::new(), name),
    };
    let (spawned, path) = match path.strip_prefix("spawned in ") {
        Some(path) => ("spawned in ", path),
        None => ("", path),
    };
    let path = if path.contains(char::is_whitespace) {
        path
    } else {
        short_name(path)
    };
    format!("{kind}{spawned}{path}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn functions() {
        let app = |name| label(name, FrameKind::Function(Category::App));
        assert_eq!(app("shop::api::orders::get_order"), "orders::get_order");
        assert_eq!(app("main"), "main");
        for (name, expected) in [
            ("tokio::time::sleep::Sleep::poll", "tokio::…::Sleep"),
            (
                "hyper::client::conn::http1::SendRequest::try_send",
                "hyper::…::SendRequest::try_send",
            ),
            ("tokio::sync::mutex::Mutex<T>::lock", "tokio::…::Mutex<T>::lock"),
            ("axum::serve::handle_connection", "axum::serve::handle_connection"),
            ("reqwest::Pending::poll", "reqwest::Pending"),
            ("mio::poll", "mio::poll"),
            ("sqlite3_step", "sqlite3_step"),
            ("[unknown in libc.so.6]", "[unknown in libc.so.6]"),
        ] {
            assert_eq!(label(name, FrameKind::Function(Category::Library)), expected);
        }
    }

    #[test]
    fn only_long_names_are_shortened() {
        let name = "hyper::client::conn::http1::SendRequest::try_send";
        assert_eq!(at_most(name, 60), name);
        assert_eq!(at_most(name, 40), "hyper::…::SendRequest::try_send");
        assert_eq!(at_most(name, 20), "…ndRequest::try_send");
    }

    #[test]
    fn groups() {
        for (name, expected) in [
            ("shop::api::orders::get_order", "orders::get_order"),
            ("[root task] shop::main", "[root task] shop::main"),
            (
                "[blocking task] spawned in a::b::load",
                "[blocking task] spawned in b::load",
            ),
            ("GET a::b::c of it", "GET a::b::c of it"),
            ("(unnamed)", "(unnamed)"),
        ] {
            assert_eq!(group(name), expected);
        }
    }
}
