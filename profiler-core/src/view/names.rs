//! Function names as their author wrote them: no hash, no closure numbers, no mangling left-overs, short generics.
//!
//! Works on demangled text only, of both manglings; it never fails, at worst a name stays as it is.

use std::borrow::Cow;

use super::python;

/// Generic arguments longer than this are shown as `<…>`.
const MAX_GENERIC_CHARS: usize = 24;
/// Types nested deeper than this are elided, whatever their length.
const MAX_DEPTH: u32 = 4;

/// What to show for a demangled function name: `app::handle` for `app::handle::{{closure}}`.
pub fn display_name(raw: &str) -> String {
    let name = without_disambiguators(without_hash(raw.trim()));
    let shown = render(&name, 0, Segments::All);
    if shown.is_empty() {
        name.into_owned()
    } else {
        shown
    }
}

/// The crate or package a function belongs to: that of the type for a trait method, of the trait for a blanket one.
/// Empty where the name does not tell.
pub fn crate_of(display: &str) -> &str {
    if python::is_path(display) {
        return display.split('.').next().unwrap_or_default();
    }
    let name = display
        .trim_start_matches(['&', '*', '<', '(', '['])
        .trim_start_matches("mut ");
    let name = name.trim_start_matches("dyn ");
    let end = name
        .find(|c: char| !(c.is_alphanumeric() || c == '_'))
        .unwrap_or(name.len());
    if name[end..].starts_with("::") {
        &name[..end]
    } else {
        ""
    }
}

/// A display name shortened to its last two path segments: `handler::get_user`.
pub fn short_name(display: &str) -> &str {
    if python::is_path(display) {
        return python::short_name(display);
    }
    let mut starts = split_path(display)
        .into_iter()
        .rev()
        .map(|part| offset_in(display, part));
    let last = starts.next().unwrap_or(0);
    &display[starts.next().unwrap_or(last)..]
}

fn offset_in(whole: &str, part: &str) -> usize {
    part.as_ptr() as usize - whole.as_ptr() as usize
}

fn without_hash(name: &str) -> &str {
    match name.rfind("::h") {
        Some(at) if name.len() - at == 19 && name[at + 3..].bytes().all(|b| b.is_ascii_hexdigit()) => {
            &name[..at]
        }
        _ => name,
    }
}

/// Removes `[0a1b2c3d]` behind an identifier, which is how v0 tells two versions of a crate apart.
fn without_disambiguators(name: &str) -> Cow<'_, str> {
    if !name.contains('[') {
        return Cow::Borrowed(name);
    }
    let mut out = String::with_capacity(name.len());
    let mut rest = name;
    while let Some(at) = rest.find('[') {
        let (before, bracket) = rest.split_at(at);
        out.push_str(before);
        let inside = bracket[1..].split(']').next().unwrap_or("");
        let behind_name = before.ends_with(|c: char| c.is_alphanumeric() || c == '_');
        let closed = bracket.len() > inside.len() + 1;
        if behind_name && closed && !inside.is_empty() && inside.bytes().all(|b| b.is_ascii_hexdigit()) {
            rest = &bracket[inside.len() + 2..];
        } else {
            out.push('[');
            rest = &bracket[1..];
        }
    }
    out.push_str(rest);
    Cow::Owned(out)
}

#[derive(Clone, Copy, PartialEq)]
enum Segments {
    All,
    /// Only the last, as in generic arguments.
    Last,
}

fn render(name: &str, depth: u32, segments: Segments) -> String {
    let parts = split_path(name);
    let mut shown: Vec<String> = Vec::with_capacity(parts.len());
    for (index, part) in parts.iter().enumerate() {
        let part = part.trim();
        if part.starts_with('{') {
            continue;
        }
        // Legacy names escape the `<` they begin with by a `_`.
        let part = part
            .strip_prefix('_')
            .filter(|rest| rest.starts_with('<'))
            .unwrap_or(part);
        if part.starts_with('<') && part.ends_with('>') {
            let inner = &part[1..part.len() - 1];
            if let Some(target) = implementing_type(inner) {
                // The path of the impl block says nothing that the type does not, if that has one itself.
                let target = target.trim_start_matches(['&', '*']);
                let target = target.strip_prefix("mut ").unwrap_or(target);
                if split_path(target).len() > 1 {
                    shown.clear();
                }
                shown.push(render_type(target, depth + 1, Segments::All));
            } else if index == 0 {
                shown.push(render_type(inner, depth + 1, Segments::All));
            } else if let Some(owner) = shown.last_mut().filter(|owner| names_a_type(owner)) {
                owner.push_str(&short_generics(inner, depth).unwrap_or_else(|| "<…>".to_owned()));
            }
            continue;
        }
        shown.push(render_segment(part, depth));
    }
    match segments {
        Segments::All => shown.join("::"),
        Segments::Last => shown.pop().unwrap_or_default(),
    }
}

/// `T` of `T as Trait` and of `impl Trait for T`; the trait where `T` is only a type parameter.
fn implementing_type(inner: &str) -> Option<&str> {
    let (target, implemented) = match inner.strip_prefix("impl ") {
        Some(implementation) => match split_top(implementation, " for ") {
            Some((implemented, target)) => (target, implemented),
            None => return Some(implementation),
        },
        None => split_top(inner, " as ")?,
    };
    let bare = target.trim_start_matches('&').trim_start_matches("mut ");
    // With a path before it, `impl Trait for Type` names a type of that module, whatever its length.
    let parameter = is_parameter(bare) && (!inner.starts_with("impl ") || bare.len() <= 3);
    Some(if parameter { implemented } else { target })
}

fn render_segment(part: &str, depth: u32) -> String {
    match part.find('<') {
        Some(at) if at > 0 && part.ends_with('>') && part.as_bytes()[at - 1] != b'-' => {
            if !names_a_type(part) {
                return part[..at].to_owned();
            }
            let inner = &part[at + 1..part.len() - 1];
            let generics = short_generics(inner, depth).unwrap_or_else(|| "<…>".to_owned());
            format!("{}{generics}", &part[..at])
        }
        _ => part.to_owned(),
    }
}

/// `T`: real types come with their path or are lower-case primitives.
fn is_parameter(argument: &str) -> bool {
    argument.starts_with('\'')
        || argument.starts_with(|c: char| c.is_ascii_uppercase())
            && argument.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_')
}

/// Only types keep their generics: debug information and symbol tables disagree about those of functions.
fn names_a_type(segment: &str) -> bool {
    segment.starts_with(|c: char| c.is_uppercase())
}

/// The arguments in angle brackets, nothing where they are only the parameters' own names, or `None` if they
/// would be too long to help.
fn short_generics(inner: &str, depth: u32) -> Option<String> {
    if split_arguments(inner)
        .iter()
        .all(|argument| is_parameter(argument.trim()))
    {
        return Some(String::new());
    }
    if depth >= MAX_DEPTH {
        return None;
    }
    let mut out = String::from("<");
    for (index, argument) in split_arguments(inner).into_iter().enumerate() {
        if index > 0 {
            out.push_str(", ");
        }
        out.push_str(&render_type(argument.trim(), depth + 1, Segments::Last));
        if out.chars().count() > MAX_GENERIC_CHARS {
            return None;
        }
    }
    out.push('>');
    Some(out)
}

fn render_type(name: &str, depth: u32, segments: Segments) -> String {
    if depth > MAX_DEPTH {
        return "…".to_owned();
    }
    let body = name.trim_start_matches(['&', '*']);
    let body = ["mut ", "const ", "dyn "]
        .iter()
        .fold(body, |rest, word| rest.strip_prefix(word).unwrap_or(rest));
    let prefix = &name[..name.len() - body.len()];
    match body.as_bytes().first() {
        Some(b'(' | b'[') => name.to_owned(),
        _ => format!("{prefix}{}", render(body, depth, segments)),
    }
}

/// Splits at `::` outside all brackets; a `<` directly behind a `::` begins a part of its own.
fn split_path(name: &str) -> Vec<&str> {
    let bytes = name.as_bytes();
    let (mut parts, mut start, mut depth, mut at) = (Vec::new(), 0, 0_i32, 0);
    while at < bytes.len() {
        depth += nesting(bytes, at);
        if depth <= 0 && bytes[at] == b':' && bytes.get(at + 1) == Some(&b':') {
            parts.push(&name[start..at]);
            at += 2;
            start = at;
        } else {
            at += 1;
        }
    }
    parts.push(&name[start..]);
    parts.retain(|part| !part.is_empty());
    parts
}

fn split_arguments(inner: &str) -> Vec<&str> {
    let bytes = inner.as_bytes();
    let (mut parts, mut start, mut depth) = (Vec::new(), 0, 0_i32);
    for at in 0..bytes.len() {
        depth += nesting(bytes, at);
        if depth == 0 && bytes[at] == b',' {
            parts.push(&inner[start..at]);
            start = at + 1;
        }
    }
    parts.push(&inner[start..]);
    parts
}

fn split_top<'a>(text: &'a str, separator: &str) -> Option<(&'a str, &'a str)> {
    let bytes = text.as_bytes();
    let mut depth = 0_i32;
    for at in 0..bytes.len() {
        depth += nesting(bytes, at);
        if depth == 0 && bytes[at..].starts_with(separator.as_bytes()) {
            return Some((&text[..at], &text[at + separator.len()..]));
        }
    }
    None
}

/// +1 for an opening bracket, -1 for a closing one; the `>` of `->` is none.
fn nesting(bytes: &[u8], at: usize) -> i32 {
    match bytes[at] {
        b'<' | b'(' | b'[' | b'{' => 1,
        b'>' if at > 0 && bytes[at - 1] == b'-' => 0,
        b'>' | b')' | b']' | b'}' => -1,
        _ => 0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn names_are_shown_as_written() {
        for (raw, shown) in [
            ("app::handle::{{closure}}", "app::handle"),
            ("app::handle::{async_fn#0}", "app::handle"),
            (
                "app::handle::{async_fn#0}::{closure#1}::{async_block#0}",
                "app::handle",
            ),
            (
                "app::handle::{{closure}}::{{closure}}::h0123456789abcdef",
                "app::handle",
            ),
            ("app[0a1b2c3d]::handle::{closure#0}", "app::handle"),
            ("<app[0a1b2c3d]::Server>::run::{closure#0}", "app::Server::run"),
            (
                "<tokio::time::sleep::Sleep as core::future::future::Future>::poll",
                "tokio::time::sleep::Sleep::poll",
            ),
            ("_<app::Timer as core::future::Future>::poll", "app::Timer::poll"),
            (
                "app::codec::<impl app::Decode for app::Wire>::decode",
                "app::Wire::decode",
            ),
            (
                "core::ptr::drop_in_place<app::handle::{{closure}}>",
                "core::ptr::drop_in_place",
            ),
            (
                "<core::pin::Pin<P> as core::future::future::Future>::poll",
                "core::pin::Pin::poll",
            ),
            (
                "<F as futures_core::future::TryFuture>::try_poll",
                "futures_core::future::TryFuture::try_poll",
            ),
            (
                "<&mut F as core::future::future::Future>::poll",
                "core::future::future::Future::poll",
            ),
            ("app::parse::<u32>", "app::parse"),
            (
                "app::parse::<alloc::vec::Vec<alloc::string::String>>",
                "app::parse",
            ),
            (
                "tokio::task::spawn::spawn::<app::a_module::a_function_with_a_long_name::{async_fn#0}>",
                "tokio::task::spawn::spawn",
            ),
            (
                "tokio::runtime::task::core::Core<app::a_very_long_future_name, tokio::runtime::Handle>::poll",
                "tokio::runtime::task::core::Core<…>::poll",
            ),
            ("app::Fill::<[u8; 8]>::run", "app::Fill<[u8; 8]>::run"),
            (
                "<alloc::vec::Vec<u8> as app::Take>::take",
                "alloc::vec::Vec<u8>::take",
            ),
            ("<fn(u8) -> u8 as app::Call>::call", "fn(u8) -> u8::call"),
            (
                "tokio::sync::oneshot::{impl#9}::poll<core::result::Result<u8, alloc::string::String>>",
                "tokio::sync::oneshot::poll",
            ),
            ("main", "main"),
            ("{closure#0}", "{closure#0}"),
            ("", ""),
        ] {
            assert_eq!(display_name(raw), shown, "{raw}");
        }
    }

    #[test]
    fn crates_and_short_names() {
        assert_eq!(crate_of("app::handle"), "app");
        assert_eq!(crate_of("&mut tokio::net::TcpStream::poll"), "tokio");
        assert_eq!(crate_of("main"), "");
        assert_eq!(
            short_name("app::db::Pool<Vec<a::B>>::get"),
            "Pool<Vec<a::B>>::get"
        );
        assert_eq!(short_name("main"), "main");
    }

    #[test]
    fn deep_nesting_is_cheap() {
        let name = format!("{}u8{}", "A<".repeat(50_000), ">".repeat(50_000));
        assert!(display_name(&name).len() < 100);
    }

    proptest! {
        #[test]
        fn any_text_is_shown_somehow(raw in "[a-z:<>{}()\\[\\]# ,&;\u{e4}\u{1F600}_-]{0,60}") {
            let shown = display_name(&raw);
            prop_assert_eq!(shown.is_empty(), raw.trim().is_empty());
            let _ = (crate_of(&shown), short_name(&shown));
        }
    }
}
