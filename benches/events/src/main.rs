//! How long the aggregator takes for an event, in streams that look like those of the loads: `just bench-events`.

mod streams;

use std::hint::black_box;
use std::time::Instant;

use asyncprof_core::aggregate::Aggregator;
use clap::Parser;

use streams::{STREAMS, Stream, Timed};

const SAMPLING_PERIOD_NS: u64 = 1_000_000_000 / 199;

#[derive(Debug, Parser)]
struct Options {
    /// Only this stream
    #[arg(long, value_parser = STREAMS)]
    stream: Option<String>,
    /// How often the stream's turn is given to the aggregator
    #[arg(long, default_value_t = 1000)]
    turns: u64,
    /// With a new aggregator each time; the median is printed
    #[arg(long, default_value_t = 9)]
    repetitions: usize,
    /// Only print how many events the turns have
    #[arg(long)]
    count: bool,
}

fn main() {
    let options = Options::parse();
    let is_meant = |name: &&str| options.stream.as_ref().is_none_or(|stream| stream == name);
    for name in STREAMS.into_iter().filter(is_meant) {
        let stream = Stream::named(name);
        let events = stream.turn.len() as u64 * options.turns;
        if options.count {
            println!("{events}");
            continue;
        }
        let mut ns: Vec<f64> = (0..options.repetitions)
            .map(|_| aggregate(&stream, options.turns) / events as f64)
            .collect();
        ns.sort_by(f64::total_cmp);
        if let Some(median) = ns.get(ns.len() / 2) {
            println!("{name}: {median:.1} ns per event");
        }
    }
}

/// Nanoseconds that the turns take.
fn aggregate(stream: &Stream, turns: u64) -> f64 {
    let mut aggregator = Aggregator::new();
    aggregator.set_sampling_period(SAMPLING_PERIOD_NS);
    let mut give = |events: &[Timed], from_ns| {
        for timed in events {
            aggregator.event(timed.ring, from_ns + timed.at_ns, timed.event, |_| 1);
        }
    };
    give(&stream.begin, 0);
    let start = Instant::now();
    for turn in 0..turns {
        give(&stream.turn, stream.turn_ns * turn);
    }
    let taken = start.elapsed();
    black_box(aggregator.finish(stream.turn_ns * turns));
    taken.as_nanos() as f64
}
