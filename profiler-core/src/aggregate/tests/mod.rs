//! The aggregator against schedulers whose truth is known, and against any events at all.

mod any_order;
mod branches;
mod cases;
mod causal;
mod delays;
mod losses;
mod parents;
mod passed;
mod roots;
mod sim_relays;
mod simulator;
mod thinned;
mod truth;

use super::aggregator::Aggregator;
use super::raw::RawProfile;
use super::rows::Probe;
use crate::event::{Event, Kind};
use crate::profile::State;

/// Short for a test, so that most polls are split each by itself.
const SAMPLING_PERIOD_NS: u64 = 1000;

/// An event of a ring at its time.
type Timed = (usize, u64, Event);

fn event(kind: Kind, subject: u64, aux: u16, value: u64) -> Event {
    Event {
        kind,
        ticks: 0,
        subject,
        aux,
        value,
    }
}

/// What comes of these events, in a recording that ends at `end_ns`.
fn aggregate(events: impl IntoIterator<Item = Timed>, end_ns: u64) -> (RawProfile, Probe) {
    let mut aggregator = Aggregator::new();
    aggregator.set_sampling_period(SAMPLING_PERIOD_NS);
    for (ring, at_ns, event) in events {
        if event.kind == Kind::Sample {
            let state = [State::OnCpu, State::Blocked][usize::from(event.aux % 2)];
            let weight_ns = event.subject * SAMPLING_PERIOD_NS;
            aggregator.sample(ring, at_ns, state, event.value as u32, weight_ns);
        }
        aggregator.event(ring, at_ns, event, u32::from);
    }
    for process in 0..8 {
        aggregator.process_ended(process, end_ns);
    }
    let probe = std::mem::take(&mut aggregator.tally.rows.probe);
    (aggregator.finish(end_ns), probe)
}
