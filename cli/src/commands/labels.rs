//! `--label KEY=VALUE`: only the time under one label.

use anyhow::{Result, bail};
use asyncprof_core::profile::Profile;
use clap::Args;

/// How many labels a message lists.
const LISTED: usize = 8;

#[derive(Debug, Args)]
pub(super) struct LabelArg {
    /// Only the time under this label, given by the program with `asyncprof::label`; may be repeated
    #[arg(long = "label", value_name = "KEY=VALUE", value_parser = parse)]
    labels: Vec<(String, String)>,
}

fn parse(text: &str) -> Result<(String, String)> {
    match text.split_once('=') {
        Some((key, value)) if !key.is_empty() => Ok((key.into(), value.into())),
        _ => bail!("expected KEY=VALUE, such as route=/users/{{id}}"),
    }
}

impl LabelArg {
    pub(super) fn is_given(&self) -> bool {
        !self.labels.is_empty()
    }

    /// Leaves only what has these labels. Fails if nothing has.
    pub(super) fn apply(&self, profile: &mut Profile) -> Result<()> {
        for (key, value) in &self.labels {
            let known = known(profile);
            if !profile.retain_label(key, value) {
                bail!("nothing is labelled {key}={value} in this profile{known}");
            }
        }
        Ok(())
    }
}

/// Fails if no task has a label of this key.
pub(super) fn check_key(profile: &Profile, key: &str) -> Result<()> {
    if profile.labels().all(|label| label.0 != key) {
        bail!("no task has a label {key} in this profile{}", known(profile));
    }
    Ok(())
}

fn known(profile: &Profile) -> String {
    let mut labels: Vec<String> = profile
        .labels()
        .map(|(key, value)| format!("{key}={value}"))
        .collect();
    labels.sort_unstable();
    let more = labels.len().saturating_sub(LISTED);
    labels.truncate(LISTED);
    match (labels.is_empty(), more) {
        (true, _) => ": its program labels nothing (see asyncprof::label)".to_owned(),
        (_, 0) => format!("; there are {}", labels.join(", ")),
        _ => format!("; there are {} and {more} more", labels.join(", ")),
    }
}
