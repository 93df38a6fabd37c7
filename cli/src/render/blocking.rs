//! Where a poll kept its worker: what is known of a poll's inside.

use asyncprof_core::profile::StackId;
use asyncprof_core::view::{Analysis, AwaitSite};

use super::report_data::place_of;
use super::units;

/// The place in the source for a poll that kept its worker.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) struct BlockingPlace {
    /// None where the task ended with the poll.
    pub(super) function: Option<String>,
    pub(super) file: String,
    pub(super) line: u32,
    place: String,
}

/// Of a poll, or of several that have this stack: the await at which it ended.
pub(super) fn blocking_place(analysis: &Analysis<'_>, stack: StackId) -> BlockingPlace {
    let site: Option<AwaitSite> = analysis.await_site(stack);
    let (file, line, place) = place_of(analysis, site);
    BlockingPlace {
        function: site.map(|site| analysis.name(site.function).to_owned()),
        file,
        line,
        place,
    }
}

impl BlockingPlace {
    /// `until the await in app::fetch at src/main.rs:18`.
    pub(super) fn words(&self) -> String {
        let text = match &self.function {
            Some(function) if self.place.is_empty() => format!("until the await in {function}"),
            Some(function) => format!("until the await in {function} at {}", self.place),
            None => "until the task ended".to_owned(),
        };
        units::printable(&text)
    }
}
