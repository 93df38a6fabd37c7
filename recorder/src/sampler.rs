//! The sampler thread: drains all rings every 10 to 40 ms, brings their events into one order of time and gives
//! them to the aggregator.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashMap, VecDeque};
use std::io;
use std::sync::Arc;
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use asyncprof_core::aggregate::{Aggregator, RawProfile};
use asyncprof_core::clock::{TickRate, simultaneous_reading};
use asyncprof_core::event::{Event, Found, Kind};
use asyncprof_core::process_info::ProcessInfo;
use asyncprof_core::profile::State as TaskState;
use asyncprof_core::region::Region;
use crossbeam_channel::{Receiver, Sender, bounded, unbounded};
use parking_lot::Mutex;

use crate::burden::Burden;
use crate::live::LiveTasks;
use crate::overload::Overload;
use crate::pause::pause_until;
use crate::processes::Processes;
use crate::recording::{Parts, Settings};
use crate::stacks::BlockedSample;
use crate::symbolize::ObjectFile;

/// Between two drains. Each takes a CPU from somebody, and what ran there finds its caches cold: a quiet program is left
/// alone longer. The rings have room for what the busiest of programs writes meanwhile.
const DRAIN_INTERVALS: [Duration; 2] = [Duration::from_millis(10), Duration::from_millis(40)];
/// Events that a ring may hold at a drain, roughly, before drains come sooner: more would push the program's own data
/// out of its caches.
const EASY_FILL: usize = 4096;
/// How long an event may be on its way into its ring: a thread can be preempted between reading the clock and
/// writing the event. Younger events wait for the next drain.
const SETTLING_NS: u64 = 2_000_000;
/// After this silence of ours, programs take us for killed and stop writing. Long enough for a recorder that was
/// stopped from the terminal and continued, or starved.
const GONE_AFTER_NS: u64 = 60_000_000_000;

/// Events given to the aggregator before the rings are drained again: a few milliseconds of work.
const FEED_CHUNK: usize = 1 << 14;
/// Rings are not drained meanwhile if so many events are held: some 25 MB.
const MOST_HELD: usize = 3 << 18;

/// Samples of blocked threads, and how often threads are looked at.
#[derive(Clone, Debug)]
pub(crate) struct Sampling {
    pub(crate) blocked: Receiver<BlockedSample>,
    pub(crate) period_ns: u64,
}

/// What can be shown while recording.
#[derive(Clone, Copy, Debug, Default)]
pub struct Progress {
    pub tasks_alive: usize,
    pub events: u64,
    pub events_lost: u64,
    pub tapped_processes: usize,
}

/// What found no room in the region.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Lost {
    pub(crate) events: u64,
    pub(crate) threads: u64,
    pub(crate) stacks: u64,
}

impl Lost {
    /// All that was lost in this region, but for what was lost before.
    fn since(before: Lost, region: &Region) -> Lost {
        Lost {
            events: region.events_lost().saturating_sub(before.events),
            threads: region.threads_lost().saturating_sub(before.threads),
            stacks: region.stacks_lost().saturating_sub(before.stacks),
        }
    }
}

/// Everything recorded, before names.
#[derive(Debug)]
pub struct Recorded {
    pub(crate) raw: RawProfile,
    /// In the order of their numbers in `raw`.
    pub processes: Vec<ProcessInfo>,
    /// The object files of these processes by path, opened while the processes ran: what lies at the path later
    /// may be another build.
    pub(crate) files: HashMap<String, ObjectFile>,
    /// Ticks of the processes' own times to nanoseconds.
    pub(crate) rate: TickRate,
    /// Of the part that this is.
    pub(crate) duration_ns: u64,
    pub(crate) damaged_rings: u64,
    pub(crate) lost: Lost,
    pub(crate) burden: Burden,
    /// What stood in the way of looking at threads, if something did.
    pub obstacle: Option<String>,
}

/// What the thread is asked for.
#[derive(Debug)]
enum Ask {
    SoFar(Sender<Recorded>),
    Live {
        most: usize,
        to: Sender<LiveTasks>,
    },
    /// All up to these ticks, and to end.
    Finish {
        at_ticks: u64,
    },
}

/// A running sampler thread.
#[derive(Debug)]
pub(crate) struct Sampler {
    asks: Sender<Ask>,
    thread: JoinHandle<Recorded>,
    progress: Arc<Mutex<Progress>>,
}

impl Sampler {
    /// `sampling` is none if threads are not sampled.
    pub(crate) fn start(
        region: Arc<Region>,
        sampling: Option<Sampling>,
        settings: Settings,
    ) -> io::Result<Sampler> {
        let (asks, asked) = unbounded();
        let progress = Arc::new(Mutex::new(Progress::default()));
        let shown = Arc::clone(&progress);
        let thread = thread::Builder::new()
            .name("asyncprof-drain".into())
            .spawn(move || {
                (settings.begin_thread)();
                State::new(region, sampling, &settings).run(&asked, &shown)
            })?;
        Ok(Sampler {
            asks,
            thread,
            progress,
        })
    }

    pub(crate) fn progress(&self) -> Progress {
        *self.progress.lock()
    }

    pub(crate) fn so_far(&self) -> io::Result<Recorded> {
        let (to, reply) = bounded(1);
        self.ask(Ask::SoFar(to));
        reply.recv().map_err(|_| panicked())
    }

    pub(crate) fn live(&self, most: usize) -> io::Result<LiveTasks> {
        let (to, reply) = bounded(1);
        self.ask(Ask::Live { most, to });
        reply.recv().map_err(|_| panicked())
    }

    fn ask(&self, ask: Ask) {
        // The thread ends early only if it panicked, which the missing reply or `join` tells.
        let _ = self.asks.send(ask);
        self.thread.thread().unpark();
    }

    /// Ends the recording at `at_ticks` and returns all of it.
    pub(crate) fn finish(self, at_ticks: u64) -> io::Result<Recorded> {
        self.ask(Ask::Finish { at_ticks });
        self.thread.join().map_err(|_| panicked())
    }
}

fn panicked() -> io::Error {
    io::Error::other("the sampler thread panicked; please report this")
}

#[derive(Clone, Debug, Default)]
struct Ring {
    /// Read and not yet given to the aggregator, in the order of time: no event is earlier than the one before.
    held: VecDeque<Event>,
    /// The time of its last event.
    last_ticks: u64,
    /// Lost events of which the aggregator knows, and those of a loss that may still go on.
    told: u64,
    untold: u64,
    /// Set while events are being lost: when that was last seen.
    losing_until: Option<u64>,
}

struct State {
    region: Arc<Region>,
    rate: TickRate,
    aggregator: Aggregator,
    processes: Processes,
    rings: Vec<Ring>,
    /// What is known of rings but does not come from them, by slot: samples of blocked threads, losses.
    beside: Vec<(usize, Event)>,
    damaged_rings: u64,
    sampling: Option<Sampling>,
    parts: Option<Parts>,
    overload: Overload,
    started: Instant,
    /// When this part began, and what was lost and spent before.
    begun_ns: u64,
    lost_before: Lost,
    burden_before: Burden,
}

impl State {
    fn new(region: Arc<Region>, sampling: Option<Sampling>, settings: &Settings) -> State {
        let mut aggregator = Aggregator::new();
        aggregator.set_sampling_period(sampling.as_ref().map_or(0, |sampling| sampling.period_ns));
        State {
            region,
            rate: TickRate::NANOSECONDS,
            aggregator,
            processes: Processes::default(),
            rings: Vec::new(),
            beside: Vec::new(),
            damaged_rings: 0,
            sampling,
            parts: settings.parts.clone(),
            overload: Overload::new(settings.max_overhead),
            started: Instant::now(),
            begun_ns: 0,
            lost_before: Lost::default(),
            burden_before: Burden::default(),
        }
    }

    fn run(mut self, asked: &Receiver<Ask>, progress: &Mutex<Progress>) -> Recorded {
        let source = self.region.clock();
        let first = simultaneous_reading(source);
        let [shortest, longest] = DRAIN_INTERVALS;
        let mut interval = shortest;
        loop {
            let ask = pause_until(Instant::now() + interval, || asked.try_recv().ok());
            let stop = match ask {
                Some(Ask::Finish { at_ticks }) => Some(at_ticks),
                _ => None,
            };
            if self.aggregator.counts().events == 0
                && let Some(rate) = TickRate::between(first, simultaneous_reading(source))
            {
                // Measured until the first events are converted with it, and fixed from then on: all times are in
                // one measure.
                self.rate = rate;
            }
            let settled = self.region.now().saturating_sub(self.ticks_of(SETTLING_NS));
            let most_read = self.drain();
            interval = if self.processes.find(&self.region) || most_read > EASY_FILL {
                shortest
            } else {
                (interval * 2).min(longest)
            };
            let until = stop.unwrap_or(settled);
            self.give_out_parts(until);
            self.feed(until);
            self.end_processes(settled, stop);
            let counts = self.aggregator.counts();
            *progress.lock() = Progress {
                tasks_alive: self.aggregator.tasks_alive(),
                events: counts.events,
                events_lost: self.region.events_lost(),
                tapped_processes: self.processes.tapped(),
            };
            // Nobody waiting for the answer any more is nothing of note.
            match ask {
                None => {}
                Some(Ask::SoFar(to)) => _ = to.send(self.so_far(self.rate.ns(settled))),
                Some(Ask::Live { most, to }) => {
                    let now_ns = self.rate.ns(settled);
                    let (raw, tasks) = self.aggregator.live(now_ns, most);
                    let alive = self.aggregator.tasks_alive();
                    let recorded = self.recorded(raw, now_ns);
                    let _ = to.send(LiveTasks::new(recorded, tasks, alive));
                }
                Some(Ask::Finish { at_ticks }) => {
                    let end_ns = self.rate.ns(at_ticks);
                    let aggregator = std::mem::take(&mut self.aggregator);
                    return self.recorded(aggregator.finish(end_ns), end_ns);
                }
            }
        }
    }

    fn recorded(&self, raw: RawProfile, end_ns: u64) -> Recorded {
        Recorded {
            raw,
            processes: self.processes.all.clone(),
            files: self.processes.files.clone(),
            rate: self.rate,
            duration_ns: end_ns.saturating_sub(self.begun_ns),
            damaged_rings: self.damaged_rings,
            lost: Lost::since(self.lost_before, &self.region),
            burden: self.overload.burden().since(self.burden_before),
            obstacle: None,
        }
    }

    fn so_far(&self, end_ns: u64) -> Recorded {
        self.recorded(self.aggregator.clone().finish(end_ns), end_ns)
    }

    /// Gives out the parts that are over by `until`: exactly what lies between their ends.
    fn give_out_parts(&mut self, until: u64) {
        let Some(Parts { every, to }) = self.parts.clone() else {
            return;
        };
        // Long enough for the rate of the clock to be known, and a whole number of the aggregate's windows.
        let every_ns = every.as_secs().max(1) * 1_000_000_000;
        loop {
            let end_ns = self.begun_ns + every_ns;
            if self.rate.ns(until) < end_ns {
                return;
            }
            self.feed(self.last_tick_by(end_ns, until));
            let _ = to.send(self.so_far(end_ns));
            self.aggregator.begin_anew(end_ns);
            self.lost_before = Lost::since(Lost::default(), &self.region);
            self.burden_before = self.overload.burden();
            self.damaged_rings = 0;
            self.begun_ns = end_ns;
        }
    }

    /// The last tick up to `until` that is not after `ns`.
    fn last_tick_by(&self, ns: u64, until: u64) -> u64 {
        let (mut by, mut after) = (0, until);
        while by < after {
            let middle = by + (after - by).div_ceil(2);
            if self.rate.ns(middle) <= ns {
                by = middle;
            } else {
                after = middle - 1;
            }
        }
        by
    }

    fn ticks_of(&self, ns: u64) -> u64 {
        let ns_per_megatick = self.rate.ns(1_000_000).max(1);
        ns.saturating_mul(1_000_000) / ns_per_megatick
    }

    /// Reads all rings. Returns how many events it found in the fullest.
    ///
    /// A loss begins with the last event that the ring kept: that is known at the first drain after it, in time for the
    /// aggregator. It is over when a drain finds no more lost. The ring's own gaps tell the same, but later: only with
    /// its thread's next event, which may never come.
    fn drain(&mut self) -> usize {
        let mut most_read = 0;
        let mut most_words = 0;
        let mut lost_in_all = 0;
        // By kind.
        let mut written = [0; Kind::ALL.len() + 1];
        if let Some(sampling) = &self.sampling {
            let samples = sampling.blocked.try_iter();
            self.beside.extend(samples.map(|sample| {
                let event = Event {
                    kind: Kind::Sample,
                    ticks: sample.ticks,
                    subject: sample.weight_ticks,
                    aux: Found::Blocked as u16,
                    value: sample.stack.into(),
                };
                (sample.slot, event)
            }));
        }
        self.region.beat(self.ticks_of(GONE_AFTER_NS));
        let used = self.region.thread_slots_used();
        if self.rings.len() < used {
            self.rings.resize_with(used, Ring::default);
        }
        for (slot, ring) in self.rings.iter_mut().enumerate().take(used) {
            let Some(mut consumer) = self.region.consumer(slot) else {
                continue;
            };
            let held_before = ring.held.len();
            let (held, last) = (&mut ring.held, &mut ring.last_ticks);
            let (beside, is_losing) = (&mut self.beside, ring.losing_until.is_some());
            let mut words = 0;
            let result = consumer.drain(|event| {
                if event.kind == Kind::Gap && is_losing {
                    // Events came between the drain that found the loss and where it began: what they tell of the thread
                    // ends here, too.
                    beside.push((slot, gap(*last, 0)));
                }
                *last = event.ticks.max(*last);
                words += event.kind.words();
                written[event.kind as usize] += 1;
                if event.kind != Kind::Gap {
                    held.push_back(Event {
                        ticks: *last,
                        ..event
                    });
                }
            });
            most_read = most_read.max(held.len() - held_before);
            most_words = most_words.max(words);
            let lost = self.region.events_lost_in(slot);
            lost_in_all += lost;
            let lost = lost.saturating_sub(ring.told);
            let damaged = u64::from(result.is_err());
            self.damaged_rings += damaged;
            if lost > ring.untold || damaged != 0 {
                if ring.losing_until.is_none() {
                    self.beside.push((slot, gap(*last, 0)));
                }
                ring.untold = lost;
                ring.losing_until = Some(self.region.now());
            } else if let Some(until) = ring.losing_until.take() {
                // What a damaged ring has lost nobody has counted.
                self.beside.push((slot, gap(until, ring.untold.max(1))));
                ring.told += std::mem::take(&mut ring.untold);
            }
        }
        for kind in Kind::ALL {
            self.overload.wrote(kind, written[kind as usize]);
        }
        self.leave_out(most_words as f64 / self.region.ring_words() as f64, lost_in_all);
        most_read
    }

    /// Tells the taps what to leave out, now that the fullest ring was so full.
    fn leave_out(&mut self, ring_fill: f64, lost: u64) {
        let fill = ring_fill.max(self.held() as f64 / MOST_HELD as f64);
        let pids = self.processes.running_pids();
        let counts = self.aggregator.counts();
        let (aggregator, now_ns) = (&self.aggregator, self.rate.ns(self.region.now()));
        let busy = || aggregator.tasks_busy(now_ns);
        let thinning = self
            .overload
            .drained(self.started.elapsed(), fill, lost, counts, pids, busy);
        // The word is read with every event: written to, it must come anew into each CPU's cache.
        if thinning != self.region.thinning() {
            self.region.set_thinning(thinning);
        }
    }

    fn held(&self) -> usize {
        self.rings.iter().map(|ring| ring.held.len()).sum()
    }

    /// Gives the aggregator all events up to `until`, in the order of time; those of one instant by ring, and what is
    /// beside the rings last. Goes on draining meanwhile: the rings must not fill up while a burst is being worked off.
    /// If it is too much for our memory, they must.
    fn feed(&mut self, until: u64) {
        while self.feed_some(until) {
            if self.held() < MOST_HELD {
                self.drain();
                self.processes.find(&self.region);
            }
        }
    }

    /// Gives at most [`FEED_CHUNK`] events. Whether there may be more.
    fn feed_some(&mut self, until: u64) -> bool {
        self.beside.sort_by_key(|(_, event)| event.ticks);
        let mut beside = std::mem::take(&mut self.beside).into_iter().peekable();
        let first_of = |ring: &Ring| ring.held.front().map(|event| event.ticks);
        let heads = self.rings.iter().enumerate();
        let mut heads: BinaryHeap<Reverse<(u64, usize)>> = heads
            .filter_map(|(slot, ring)| Some(Reverse((first_of(ring)?, slot))))
            .collect();
        let mut given = 0;
        loop {
            let next_beside = beside.peek().map_or(u64::MAX, |(_, event)| event.ticks);
            let ring = heads.peek().filter(|head| head.0.0 <= next_beside.min(until));
            let Some(&Reverse((_, slot))) = ring else {
                let Some((slot, event)) = beside.next_if(|(_, event)| event.ticks <= until) else {
                    break;
                };
                self.give(slot, event);
                continue;
            };
            heads.pop();
            // As long as it is the earliest.
            let until_other = heads.peek().map_or(u64::MAX, |&Reverse((ticks, other))| {
                ticks.saturating_sub(u64::from(other < slot))
            });
            let last = until_other.min(next_beside).min(until);
            let mut held = std::mem::take(&mut self.rings[slot].held);
            let run = held.iter().take(FEED_CHUNK - given);
            let mut length = 0;
            for event in run.take_while(|event| event.ticks <= last) {
                self.give(slot, *event);
                length += 1;
            }
            held.drain(..length);
            given += length;
            self.rings[slot].held = held;
            if given == FEED_CHUNK {
                break;
            }
            heads.extend(first_of(&self.rings[slot]).map(|ticks| Reverse((ticks, slot))));
        }
        self.beside = beside.collect();
        given == FEED_CHUNK
    }

    fn give(&mut self, ring: usize, event: Event) {
        let at_ns = self.rate.ns(event.ticks);
        if event.kind == Kind::Sample {
            let state = if event.aux == Found::OnCpu as u16 {
                TaskState::OnCpu
            } else {
                TaskState::Blocked
            };
            let weight_ns = self.rate.ns(event.subject);
            self.aggregator
                .sample(ring, at_ns, state, event.value as u32, weight_ns);
        } else {
            let processes = &self.processes;
            let process_of = |slot: u16| processes.number_in(slot.into());
            self.aggregator.event(ring, at_ns, event, process_of);
        }
    }

    /// Ends the processes of which no event can come any more; all that are gone if the recording stops.
    fn end_processes(&mut self, settled: u64, stop: Option<u64>) {
        for (slot, ended) in self.processes.end(settled, stop) {
            self.aggregator
                .process_ended(ended.number, self.rate.ns(ended.at_ticks));
            self.region.release_process(slot);
        }
    }
}

/// `lost` is 0 where a loss begins.
fn gap(ticks: u64, lost: u64) -> Event {
    Event {
        kind: Kind::Gap,
        ticks,
        subject: 0,
        aux: 0,
        value: lost,
    }
}
