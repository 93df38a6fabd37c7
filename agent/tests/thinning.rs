//! What is left out while the region says so: this program joins a recording of its own and reads what it wrote.
//! One test, for a process joins once.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use asyncprof_core::clock::ClockSource;
use asyncprof_core::event::{BY_LEFT_OUT, Event, Kind};
use asyncprof_core::named_frame::{Named, record_of};
use asyncprof_core::region::Region;
use asyncprof_core::thinning::{Cull, Parity, SHORT_WAIT, Thinning};
use tokio::runtime::{Builder, Runtime};
use tokio::sync::{mpsc, oneshot};
use tokio::task::{JoinHandle, yield_now};

const WORKERS: usize = 2;
const LEVEL: u32 = 3;
const TASKS: usize = 20_000;

#[test]
fn what_is_left_out_is_made_up_for() {
    let (region, _file) = Region::create(7, ClockSource::detect(), None).unwrap();
    let mut recording = Recording {
        region: Arc::new(region),
        open: 0,
    };
    let tap = asyncprof_agent::join(Arc::clone(&recording.region));
    assert!(tap.is_some_and(|tap| tap.is_tapped()));
    let runtime = Builder::new_multi_thread()
        .worker_threads(WORKERS)
        .enable_time()
        .build()
        .unwrap();
    recording.events();

    storm(&runtime, TASKS);
    let all = Tasks::of(&recording.events());
    assert_eq!(
        (all.weighted(), all.late, all.weights()),
        (TASKS, 0, HashSet::from([1]))
    );

    recording.thin(LEVEL, false);
    storm(&runtime, TASKS);
    let thinned = recording.events();
    let some = Tasks::of(&thinned);
    let p = f64::from(LEVEL).exp2().recip();
    let sigma = (TASKS as f64 * p * (1.0 - p)).sqrt() / p;
    let error = (some.weighted() as f64 - TASKS as f64).abs();
    assert!(error <= 5.0 * sigma, "{} of {TASKS}", some.weighted());
    assert_eq!((some.late, some.weights()), (0, HashSet::from([1 << LEVEL])));
    // Each suspends twice, whatever the others are; of those nothing is heard.
    assert_eq!(some.ended, some.chosen.len());
    let woken = thinned.iter().filter(|event| event.kind == Kind::Wake);
    assert!(
        woken
            .clone()
            .all(|event| some.chosen.contains_key(&event.subject))
    );
    assert_eq!(count(&thinned, Kind::PollPending), 2 * some.chosen.len());
    assert_eq!(count(&thinned, Kind::Await), 2 * some.chosen.len());

    // Those left out spawn, too: each of theirs has a coin of its own, and tells that its parent is not known.
    parents(&runtime, TASKS / 10);
    let events = recording.events();
    let spawns = events.iter().filter(|event| event.kind == Kind::Spawn);
    let (by_left_out, by_others): (Vec<&Event>, Vec<&Event>) =
        spawns.partition(|event| event.aux & BY_LEFT_OUT != 0);
    assert!(by_left_out.len() > 100 && by_others.len() > 100);
    assert!(
        by_left_out
            .iter()
            .all(|event| event.aux == BY_LEFT_OUT | LEVEL as u16)
    );

    // Whoever was left out is not heard of later either; whoever comes later is, in the same memory.
    let waiting = waiting(&runtime, TASKS / 10);
    let begun = Tasks::of(&recording.events());
    recording.thin(0, false);
    finish(&runtime, waiting);
    let ended = Tasks::of(&recording.events());
    assert_eq!(
        (ended.ended, ended.late),
        (begun.chosen.len(), begun.chosen.len())
    );
    storm(&runtime, TASKS);
    let after = recording.events();
    let later = Tasks::of(&after);
    assert_eq!(
        (later.weighted(), later.late, later.weights()),
        (TASKS, 0, HashSet::from([1]))
    );

    recording.thin(0, true);
    runtime
        .block_on(runtime.spawn(async {
            for _ in 0..10_000 {
                yield_now().await;
            }
        }))
        .unwrap();
    assert!(recording.short_waits() > 100);
    runtime
        .block_on(runtime.spawn(async {
            for _ in 0..10 {
                tokio::time::sleep(Duration::from_millis(2)).await;
            }
        }))
        .unwrap();
    assert_eq!(recording.short_waits(), 0);

    recording.thin(0, false);
    old_tasks_are_left_out(&runtime, &mut recording);
}

/// And those that stay are worth as many as they all were.
fn old_tasks_are_left_out(runtime: &Runtime, recording: &mut Recording) {
    let mut old = Old::new(runtime, TASKS / 4);
    recording.events();
    let mut alive = polled(&old.round(recording));
    assert_eq!(alive.len(), TASKS / 4);
    let mut weight = 1;
    for (parity, step) in [(Parity::Even, 2), (Parity::Odd, 1), (Parity::Even, 1)] {
        recording.cull(Some(Cull { parity, step }));
        // Who has thrown does not throw again, not even in another cull of that parity.
        let mut events = old.round(recording);
        events.append(&mut old.round(recording));
        recording.cull(None);
        events.append(&mut old.round(recording));
        recording.cull(Some(Cull { parity, step: 5 }));
        events.append(&mut old.round(recording));
        let left_out: Vec<u64> = of_kind(&events, Kind::LeftOut)
            .map(|event| event.subject)
            .collect();
        let steps = of_kind(&events, Kind::PollStart).filter(|event| event.id_and_step().1 > 0);
        let stayed: Vec<u64> = steps
            .map(|event| {
                assert_eq!(event.id_and_step().1, step);
                event.subject
            })
            .collect();
        let thrown: HashSet<u64> = left_out.iter().chain(&stayed).copied().collect();
        assert_eq!(left_out.len() + stayed.len(), alive.len(), "each throws once");
        assert_eq!(thrown, alive);
        let stayed: HashSet<u64> = stayed.into_iter().collect();
        assert_eq!(polled(&events), stayed);
        assert_is_chance(stayed.len(), alive.len(), step);

        recording.cull(None);
        let events = old.round(recording);
        let woken: HashSet<u64> = of_kind(&events, Kind::Wake).map(|event| event.subject).collect();
        assert_eq!((polled(&events), woken), (stayed.clone(), stayed.clone()));
        assert_eq!(count(&events, Kind::PollPending), stayed.len());
        (alive, weight) = (stayed, weight << step);
    }
    let sigma = ((TASKS / 4 * (weight - 1)) as f64).sqrt();
    let error = (alive.len() * weight).abs_diff(TASKS / 4) as f64;
    assert!(error <= 5.0 * sigma, "{} · {weight}", alive.len());

    // New ones throw at their first poll.
    recording.cull(Some(Cull {
        parity: Parity::Even,
        step: 2,
    }));
    let new = Old::new(runtime, TASKS / 4);
    let events = recording.events();
    assert_eq!(count(&events, Kind::LeftOut) + polled(&events).len(), TASKS / 4);
    assert_is_chance(polled(&events).len(), TASKS / 4, 2);

    // They end as they would, and that is told of those that are recorded.
    recording.cull(None);
    let expected = alive.len() + polled(&events).len();
    old.finish(runtime);
    new.finish(runtime);
    let events = recording.events();
    assert_eq!(count(&events, Kind::PollEnd), expected);
    assert_eq!((count(&events, Kind::End), count(&events, Kind::LeftOut)), (0, 0));
}

/// So many of those that threw have stayed.
fn assert_is_chance(stayed: usize, threw: usize, step: u32) {
    let p = f64::from(step).exp2().recip();
    let sigma = (threw as f64 * p * (1.0 - p)).sqrt();
    let error = (stayed as f64 - threw as f64 * p).abs();
    assert!(error <= 5.0 * sigma, "{stayed} of {threw}");
}

/// Tasks that wait for one word after the other, and count them.
struct Old {
    words: Vec<mpsc::UnboundedSender<()>>,
    tasks: Vec<JoinHandle<usize>>,
    heard: Arc<AtomicUsize>,
    rounds: usize,
}

impl Old {
    /// Each was polled once.
    fn new(runtime: &Runtime, tasks: usize) -> Old {
        let heard = Arc::new(AtomicUsize::new(0));
        let (words, tasks) = (0..tasks)
            .map(|_| {
                let (words, mut word) = mpsc::unbounded_channel();
                let heard = Arc::clone(&heard);
                let task = runtime.spawn(async move {
                    let mut count = 0;
                    heard.fetch_add(1, Ordering::Relaxed);
                    while word.recv().await.is_some() {
                        count += 1;
                        heard.fetch_add(1, Ordering::Relaxed);
                    }
                    count
                });
                (words, task)
            })
            .unzip();
        let old = Old {
            words,
            tasks,
            heard,
            rounds: 0,
        };
        old.wait();
        old
    }

    /// Returns what was written.
    fn round(&mut self, recording: &mut Recording) -> Vec<Event> {
        self.words.iter().for_each(|word| word.send(()).unwrap());
        self.rounds += 1;
        self.wait();
        recording.events()
    }

    /// Until all have heard all.
    fn wait(&self) {
        while self.heard.load(Ordering::Relaxed) < self.tasks.len() * (self.rounds + 1) {
            std::thread::yield_now();
        }
    }

    fn finish(self, runtime: &Runtime) {
        drop(self.words);
        for task in self.tasks {
            assert_eq!(runtime.block_on(task).unwrap(), self.rounds);
        }
    }
}

fn of_kind(events: &[Event], kind: Kind) -> impl Iterator<Item = &Event> {
    events.iter().filter(move |event| event.kind == kind)
}

fn polled(events: &[Event]) -> HashSet<u64> {
    of_kind(events, Kind::PollStart)
        .map(|event| event.subject)
        .collect()
}

/// So many tasks, alive at once, each of which suspends twice.
fn storm(runtime: &Runtime, tasks: usize) {
    finish(runtime, waiting(runtime, tasks));
}

fn finish(runtime: &Runtime, tasks: Vec<Waiting>) {
    let (go, tasks): (Vec<_>, Vec<_>) = tasks.into_iter().unzip();
    go.into_iter().for_each(|go| go.send(()).unwrap());
    runtime.block_on(async {
        for task in tasks {
            task.await.unwrap();
        }
    });
}

type Waiting = (oneshot::Sender<()>, JoinHandle<()>);

/// So many tasks that spawn one each.
fn parents(runtime: &Runtime, tasks: usize) {
    let tasks: Vec<_> = (0..tasks)
        .map(|_| runtime.spawn(async { tokio::spawn(yield_now()).await }))
        .collect();
    for task in tasks {
        runtime.block_on(task).unwrap().unwrap();
    }
}

/// So many tasks that were polled once and wait for their word.
fn waiting(runtime: &Runtime, tasks: usize) -> Vec<Waiting> {
    let tasks: Vec<_> = (0..tasks)
        .map(|_| {
            let (polled, is_polled) = oneshot::channel();
            let (go, gone) = oneshot::channel::<()>();
            let task = runtime.spawn(async {
                polled.send(()).unwrap();
                gone.await.unwrap();
                yield_now().await;
            });
            (is_polled, (go, task))
        })
        .collect();
    let (polled, tasks): (Vec<_>, Vec<_>) = tasks.into_iter().unzip();
    for polled in polled {
        polled.blocking_recv().unwrap();
    }
    tasks
}

fn count(events: &[Event], kind: Kind) -> usize {
    of_kind(events, kind).count()
}

/// What the events tell of tasks.
#[derive(Default)]
struct Tasks {
    /// Those polled, by address, with the level of their spawn.
    chosen: HashMap<u64, u16>,
    /// Polled, but not spawned.
    late: usize,
    ended: usize,
}

impl Tasks {
    /// Events of one task come in no order, if they are of several threads.
    fn of(events: &[Event]) -> Tasks {
        let spawned: HashMap<u64, u16> = of_kind(events, Kind::Spawn)
            .map(|event| (event.subject, event.aux))
            .collect();
        let polled = polled(events);
        let chosen: HashMap<u64, u16> = polled
            .iter()
            .filter_map(|task| Some((*task, *spawned.get(task)?)))
            .collect();
        Tasks {
            late: polled.len() - chosen.len(),
            chosen,
            ended: count(events, Kind::PollEnd),
        }
    }

    fn weights(&self) -> HashSet<usize> {
        self.chosen.values().map(|level| 1 << level).collect()
    }

    fn weighted(&self) -> usize {
        self.chosen.values().map(|level| 1 << level).sum()
    }
}

struct Recording {
    region: Arc<Region>,
    /// Polls that were not seen to end yet.
    open: usize,
}

impl Recording {
    fn thin(&self, level: u32, skip_short_stacks: bool) {
        self.region.set_thinning(Thinning {
            skip_short_stacks,
            level,
            cull: None,
        });
    }

    fn cull(&self, cull: Option<Cull>) {
        self.region.set_thinning(Thinning {
            cull,
            ..Thinning::default()
        });
    }

    /// All that was written since this was last asked, when no poll is open any more but the workers' own: a task's
    /// awaiter may hear of its end before we do.
    fn events(&mut self) -> Vec<Event> {
        let mut events = Vec::new();
        loop {
            let from = events.len();
            for slot in 0..self.region.thread_slots_used() {
                let mut ring = self.region.consumer(slot).unwrap();
                ring.drain(|event| events.push(event)).unwrap();
            }
            let begun = count(&events[from..], Kind::PollStart);
            let ended = [Kind::PollPending, Kind::PollEnd].map(|kind| count(&events[from..], kind));
            self.open = self.open + begun - ended[0] - ended[1];
            if self.open == WORKERS {
                assert_eq!(self.region.events_lost(), 0);
                return events;
            }
            std::thread::yield_now();
        }
    }

    /// Registrations whose stack was not taken.
    fn short_waits(&mut self) -> usize {
        let events = self.events();
        let is_short = |stack: u64| {
            let (mut frames, mut record) = (Vec::new(), Vec::new());
            self.region.stacks().read(stack as u32, &mut frames);
            let [frame] = frames[..] else { return false };
            record_of(frame).is_some_and(|number| {
                self.region.stacks().read(number, &mut record);
                Named::decode(&record).function == SHORT_WAIT
            })
        };
        let awaits = events.iter().filter(|event| event.kind == Kind::Await);
        awaits.filter(|event| is_short(event.value)).count()
    }
}
