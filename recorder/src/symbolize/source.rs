//! The functions of a source file: which one a line is in, and its path below the file's module.

use std::collections::HashSet;

use super::tokens::{Token, tokens};

pub(super) struct Source {
    functions: Vec<FunctionItem>,
    /// Types that the file itself defines.
    types: HashSet<String>,
}

struct FunctionItem {
    lines: std::ops::RangeInclusive<u32>,
    /// From the file's root in; the last is the function itself.
    scopes: Vec<Scope>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Scope {
    /// A module or a trait.
    Named(String),
    Function {
        name: String,
        is_async: bool,
    },
    Impl {
        of_trait: Option<String>,
        for_type: String,
    },
}

impl Source {
    pub(super) fn parse(text: &str) -> Source {
        Parser::default().run(&tokens(text))
    }

    /// The path of the function around the line, if it agrees with the bare name that the debug information has.
    pub(super) fn path_of(&self, bare: &str, line: u32, module: &str) -> Option<String> {
        let around = self
            .functions
            .iter()
            .filter(|function| function.lines.contains(&line));
        let agreeing =
            around.filter(|function| function.scopes.last().is_some_and(|last| last.agrees_with(bare)));
        let function = agreeing.max_by_key(|function| *function.lines.start())?;
        let (last, outer) = function.scopes.split_last()?;
        let mut path = outer
            .iter()
            .fold(module.to_owned(), |path, scope| self.joined(path, scope));
        if bare.starts_with('{') {
            path = self.joined(path, last);
        }
        Some(format!("{path}::{bare}"))
    }

    fn joined(&self, path: String, scope: &Scope) -> String {
        match scope {
            Scope::Named(name) | Scope::Function { name, .. } => format!("{path}::{name}"),
            // In a macro, whose arguments are not known here.
            Scope::Impl { for_type, .. } if for_type.contains('$') => path,
            Scope::Impl { of_trait, for_type } => {
                let name = for_type.split('<').next().unwrap_or(for_type);
                match of_trait {
                    Some(of_trait) if self.types.contains(name) => {
                        format!("<{path}::{for_type} as {of_trait}>")
                    }
                    None if self.types.contains(name) => format!("{path}::{name}"),
                    // As the compiler writes it where the type is from elsewhere.
                    Some(of_trait) => format!("{path}::<impl {of_trait} for {for_type}>"),
                    None => format!("{path}::<impl {for_type}>"),
                }
            }
        }
    }
}

impl Scope {
    fn agrees_with(&self, bare: &str) -> bool {
        match self {
            Scope::Function { is_async, .. } if bare.starts_with("{async_fn") => *is_async,
            Scope::Function { .. } if bare.starts_with('{') => true,
            Scope::Function { name, .. } => bare.split('<').next() == Some(name),
            Scope::Named(_) | Scope::Impl { .. } => false,
        }
    }
}

#[derive(Default)]
struct Parser {
    functions: Vec<FunctionItem>,
    types: HashSet<String>,
    /// One per open brace, with the line where its item begins.
    open: Vec<(Option<Scope>, u32)>,
    /// An item whose body has not begun, and how many parentheses and brackets are open in its head.
    head: Option<Head>,
}

struct Head {
    scope: Option<Scope>,
    /// Of its first token.
    at: usize,
    nesting: usize,
}

impl Parser {
    fn run(mut self, tokens: &[Token<'_>]) -> Source {
        for (at, token) in tokens.iter().enumerate() {
            let next = tokens
                .get(at + 1)
                .filter(|next| next.is_word())
                .map(|next| next.text.to_owned());
            match (token.text, next) {
                ("struct" | "enum" | "union", Some(name)) => {
                    self.types.insert(name);
                }
                ("mod" | "trait", Some(name)) if self.head.is_none() => {
                    self.begin(at, Some(Scope::Named(name)))
                }
                ("fn", Some(name)) if self.head.is_none() => {
                    let is_async = is_async(&tokens[..at]);
                    self.begin(at, Some(Scope::Function { name, is_async }));
                }
                ("impl", _) if self.head.is_none() && begins_item(&tokens[..at]) => self.begin(at, None),
                ("(" | "[", _) => self.head.iter_mut().for_each(|head| head.nesting += 1),
                (")" | "]", _) => self
                    .head
                    .iter_mut()
                    .for_each(|head| head.nesting = head.nesting.saturating_sub(1)),
                (";", _) => self.head = self.head.take().filter(|head| head.nesting > 0),
                ("{", _) => self.enter(at, tokens),
                ("}", _) => self.leave(token.line),
                _ => {}
            }
        }
        Source {
            functions: self.functions,
            types: self.types,
        }
    }

    fn begin(&mut self, at: usize, scope: Option<Scope>) {
        self.head = Some(Head {
            scope,
            at,
            nesting: 0,
        });
    }

    fn enter(&mut self, at: usize, tokens: &[Token<'_>]) {
        let entered = match self.head.take_if(|head| head.nesting == 0) {
            Some(Head { scope, at: first, .. }) => (
                scope.or_else(|| impl_scope(&tokens[first + 1..at])),
                tokens[first].line,
            ),
            None => (None, tokens[at].line),
        };
        self.open.push(entered);
    }

    fn leave(&mut self, line: u32) {
        if let Some((Some(Scope::Function { .. }), first_line)) = self.open.last() {
            let scopes = self.open.iter().filter_map(|(scope, _)| scope.clone()).collect();
            self.functions.push(FunctionItem {
                lines: *first_line..=line,
                scopes,
            });
        }
        self.open.pop();
    }
}

/// Whether the tokens before `fn` make it an async one.
fn is_async(before: &[Token<'_>]) -> bool {
    let mut qualifiers = before
        .iter()
        .rev()
        .take_while(|token| ["async", "unsafe", "extern"].contains(&token.text));
    qualifiers.any(|token| token.text == "async")
}

/// Elsewhere `impl` stands in a type.
fn begins_item(before: &[Token<'_>]) -> bool {
    before
        .last()
        .is_none_or(|last| ["{", "}", ";", "]", "unsafe", "default"].contains(&last.text))
}

/// From the tokens between `impl` and its body.
fn impl_scope(mut head: &[Token<'_>]) -> Option<Scope> {
    if head.first()?.text == "<" {
        head = &head[at_depth_0(&head[1..], |token| token.text == ">")? + 2..];
    }
    head = &head[..at_depth_0(head, |token| token.text == "where").unwrap_or(head.len())];
    let (of_trait, for_type) = match at_depth_0(head, |token| token.text == "for") {
        Some(at) => (Some(text(&head[..at])), text(&head[at + 1..])),
        None => (None, text(head)),
    };
    Some(Scope::Impl { of_trait, for_type })
}

/// The first such token that is not within angle brackets.
fn at_depth_0(tokens: &[Token<'_>], wanted: impl Fn(&Token<'_>) -> bool) -> Option<usize> {
    let mut depth = 0usize;
    for (at, token) in tokens.iter().enumerate() {
        if depth == 0 && wanted(token) {
            return Some(at);
        }
        let is_arrow = at > 0 && tokens[at - 1].text == "-";
        match token.text {
            "<" => depth += 1,
            ">" if !is_arrow => depth = depth.saturating_sub(1),
            _ => {}
        }
    }
    None
}

fn text(tokens: &[Token<'_>]) -> String {
    let mut text = String::new();
    let mut after_word = false;
    for token in tokens {
        // Lifetimes are no tokens: of `<'a, T>` only `<, T>` is left.
        if token.text == "," && text.ends_with('<') {
            continue;
        }
        if after_word && token.is_word() || text.ends_with(',') {
            text.push(' ');
        }
        text.push_str(token.text);
        after_word = token.is_word();
    }
    text
}

#[cfg(test)]
#[path = "tests/source.rs"]
mod tests;
