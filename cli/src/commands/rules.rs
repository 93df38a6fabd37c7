//! `--rules FILE`: rules of the user's for the kinds of waits, in front of the built-in ones. See docs/rules.md.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, anyhow};
use asyncprof_core::view::{Kind, Rule, Rules};
use clap::Args;
use serde::Deserialize;
use serde::de::{Deserializer, Error};

#[derive(Debug, Args)]
pub(super) struct RulesArg {
    /// Tell the kinds of waits by the rules in this file first (see docs/rules.md)
    #[arg(long = "rules", value_name = "FILE.toml")]
    file: Option<PathBuf>,
}

impl RulesArg {
    pub(super) fn is_given(&self) -> bool {
        self.file.is_some()
    }

    /// The built-in rules, behind those of the file if there is one.
    pub(super) fn load(&self) -> Result<Rules> {
        match &self.file {
            None => Ok(Rules::default()),
            Some(file) => Ok(Rules::default().with_user_rules(read(file)?)),
        }
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RulesFile {
    #[serde(default)]
    wait: Vec<WaitRule>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct WaitRule {
    #[serde(deserialize_with = "function")]
    at: String,
    #[serde(default, deserialize_with = "function")]
    within: String,
    #[serde(deserialize_with = "kind")]
    kind: Kind,
}

fn read(file: &Path) -> Result<Vec<Rule>> {
    let shown = file.display();
    let text = std::fs::read_to_string(file).with_context(|| format!("cannot read the rules in {shown}"))?;
    parse(&text).map_err(|(line, what)| anyhow!("{shown}, line {line}: {what}"))
}

/// The rules, or the line of the first mistake and what it is.
fn parse(text: &str) -> Result<Vec<Rule>, (usize, String)> {
    let file: RulesFile = toml::from_str(text).map_err(|error| {
        let at = error.span().map_or(text.len(), |span| span.start.min(text.len()));
        let line = 1 + text.as_bytes()[..at]
            .iter()
            .filter(|&&byte| byte == b'\n')
            .count();
        (line, error.message().trim().replace('\n', "; "))
    })?;
    let rule = |wait: WaitRule| Rule::new(wait.at, wait.within, wait.kind);
    Ok(file.wait.into_iter().map(rule).collect())
}

fn kind<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Kind, D::Error> {
    let name = String::deserialize(deserializer)?;
    let known = Kind::ALL.into_iter().find(|kind| kind.name() == name);
    known.ok_or_else(|| {
        let names = Kind::ALL.map(Kind::name).join(", ");
        D::Error::custom(format!("there is no kind `{name}`; the kinds are {names}"))
    })
}

fn function<'de, D: Deserializer<'de>>(deserializer: D) -> Result<String, D::Error> {
    let name = String::deserialize(deserializer)?;
    match name.trim_start_matches('~').trim() {
        "" => Err(D::Error::custom(
            "the name is empty; it should be the path of a module, type or function, or ~ and a part of a name",
        )),
        _ => Ok(name),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rules_in_their_order() {
        let text = "# ours\n[[wait]]\nat = 'app::Queue'\nkind = 'channel'\n\n[[wait]]\nat = '~oneshot'\n\
                    within = 'app::db'\nkind = 'io'\n";
        let expected = [
            Rule::new("app::Queue", "", Kind::Channel),
            Rule::new("~oneshot", "app::db", Kind::Io),
        ];
        assert_eq!(parse(text).unwrap(), expected);
        assert_eq!(parse("").unwrap(), []);
    }

    #[test]
    fn mistakes_have_a_line_and_say_what_is_allowed() {
        for (text, line, what) in [
            (
                "[[wait]]\nat = 'a'\nkind = 'nap'",
                3,
                "no kind `nap`; the kinds are io, timer, lock",
            ),
            (
                "[[wait]]\nat = 'a'\n\nkin = 'io'",
                4,
                "unknown field `kin`, expected one of `at`, `within`, `kind`",
            ),
            ("[[waits]]\nat = 'a'", 1, "unknown field `waits`, expected `wait`"),
            ("\n[[wait]]\nat = 'a'", 2, "missing field `kind`"),
            ("[[wait]]\nat = ''\nkind = 'io'", 2, "the name is empty"),
            (
                "[[wait]]\nat = 'a'\nwithin = '~'\nkind = 'io'",
                3,
                "the name is empty",
            ),
            (
                "[[wait]]\nat = 7",
                2,
                "invalid type: integer `7`, expected a string",
            ),
            ("[[wait]]\nat = 'a", 2, "literal string"),
        ] {
            let (at, said) = parse(text).unwrap_err();
            assert!(said.contains(what), "{text}: {said}");
            assert!(!said.contains('\n'), "{said}");
            assert_eq!(at, line, "{text}: {said}");
        }
    }
}
