//! Lines of a source to paths, and refusal where name and source do not agree.

use super::*;

const SOURCE: &str = r#"
pub async fn outer<T: Fn(u8) -> [u8; 4]>(f: T) -> impl Future {
    let x = "}";
    inner.await
}
mod deep {
    unsafe impl<T: Iterator<Item = u8>> Future for Leaf<'_, T> where T: Send {
        fn poll(&mut self) -> Poll<()> {
            let done = || {
                true
            };
        }
    }
    pin_project! { pub struct Leaf<T> { f: fn(T) -> u8 } }
    impl<'a> Leaf<&'a str> {
        pub(crate) async unsafe fn
            wait(self) {
            async { 1 }.await
        }
    }
    impl Future for std::pin::Pin<Box<dyn Send>> {
        fn poll(&mut self) {
        }
    }
}
macro_rules! reader { ($name:ident) => {
    impl Future for $name { fn poll(&mut self) {} }
} }
trait Ext { fn given(&self) { 1 } fn required(&self) -> u8; }
"#;

#[test]
fn lines_are_in_functions() {
    let source = Source::parse(SOURCE);
    let path = |bare: &str, line| source.path_of(bare, line, "app");
    assert_eq!(path("{async_fn#0}<T>", 4).unwrap(), "app::outer::{async_fn#0}<T>");
    assert_eq!(
        path("poll<u8>", 8).unwrap(),
        "<app::deep::Leaf<T> as Future>::poll<u8>"
    );
    assert_eq!(
        path("{closure#0}", 10).unwrap(),
        "<app::deep::Leaf<T> as Future>::poll::{closure#0}"
    );
    assert_eq!(
        path("{async_block#0}", 18).unwrap(),
        "app::deep::Leaf::wait::{async_block#0}"
    );
    assert_eq!(
        path("{async_fn#0}", 18).unwrap(),
        "app::deep::Leaf::wait::{async_fn#0}"
    );
    assert_eq!(
        path("poll", 23).unwrap(),
        "app::deep::<impl Future for std::pin::Pin<Box<dyn Send>>>::poll"
    );
    assert_eq!(
        path("poll", 27).unwrap(),
        "app::poll",
        "a type that only a macro's caller knows"
    );
    assert_eq!(path("given", 29).unwrap(), "app::Ext::given");
}

#[test]
fn a_source_that_does_not_agree_is_not_used() {
    let source = Source::parse(SOURCE);
    for (bare, line) in [
        ("other", 4),
        ("{async_fn#0}", 8),
        ("poll", 4),
        ("outer", 900),
        ("outer", 0),
    ] {
        assert_eq!(source.path_of(bare, line, "app"), None, "{bare} {line}");
    }
}

#[test]
fn unbalanced_text_is_no_problem() {
    for text in [
        "}}}",
        "fn",
        "fn a(",
        "impl",
        "impl < {",
        "impl for {",
        "mod {{{",
        "async fn a { { }",
    ] {
        Source::parse(text);
    }
}
