//! Where a poll kept its worker: what is known of a poll's inside.

use asyncprof_core::profile::{StackId, State};
use asyncprof_core::view::Analysis;

use super::report_data::place_of;
use super::units;

/// The place in the source for a poll that kept its worker.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) struct BlockingPlace {
    /// On-cpu, blocked, or only known to be running.
    state: State,
    /// The app's innermost function; None where the task ended with the poll and nothing more is known.
    pub(super) function: Option<String>,
    pub(super) file: String,
    pub(super) line: u32,
    place: String,
    /// What it called that blocks or burns, if that is not the app's.
    called: Option<String>,
}

/// Of a poll, or of several that did the same, and where.
pub(super) fn blocking_place(analysis: &Analysis<'_>, (state, stack): (State, StackId)) -> BlockingPlace {
    let site = match state {
        State::OnCpu | State::Blocked => analysis.busy_site(stack),
        _ => analysis.await_site(stack),
    };
    let (file, line, place) = place_of(analysis, site);
    BlockingPlace {
        state,
        function: site.map(|site| analysis.name(site.function).to_owned()),
        file,
        line,
        place,
        called: site
            .and_then(|site| site.awaited)
            .map(|name| analysis.name(name).to_owned()),
    }
}

impl BlockingPlace {
    /// `until the await in app::fetch at src/main.rs:18`, or `blocked in std::thread::sleep, called by app::nap at …`.
    pub(super) fn words(&self) -> String {
        let Some(function) = &self.function else {
            return "until the task ended".to_owned();
        };
        let at = match self.place.as_str() {
            "" => function.clone(),
            place => format!("{function} at {place}"),
        };
        let called = self.called.as_ref();
        let in_words = called.map_or_else(|| at.clone(), |called| format!("{called}, called by {at}"));
        units::printable(&match self.state {
            State::OnCpu => format!("on the CPU in {in_words}"),
            State::Blocked => format!("blocked in {in_words}"),
            _ => format!("until the await in {at}"),
        })
    }
}
