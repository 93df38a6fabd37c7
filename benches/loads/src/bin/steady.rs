//! Two tasks that wake each other a few times a millisecond: 100,000 events a second. `steady SECONDS`

use std::time::Duration;

use loads::{Done, spawn};
use tokio::sync::mpsc;
use tokio::time::{MissedTickBehavior, interval};

/// With two polls, waits and wake-ups each, and those of the timer.
const ROUND_TRIPS_A_TICK: u64 = 12;

fn main() {
    let ticks = loads::size() * 1000;
    loads::run(async move {
        let (question, mut questions) = mpsc::channel(1);
        let (answer, mut answers) = mpsc::channel(1);
        let partner = spawn(async move {
            while let Some(()) = questions.recv().await {
                answer.send(()).await.expect("somebody asks");
            }
        });
        let mut clock = interval(Duration::from_millis(1));
        clock.set_missed_tick_behavior(MissedTickBehavior::Burst);
        for _ in 0..ticks {
            clock.tick().await;
            for _ in 0..ROUND_TRIPS_A_TICK {
                question.send(()).await.expect("the partner listens");
                answers.recv().await.expect("the partner answers");
            }
        }
        drop(question);
        partner.await.expect("no panic");
        Done {
            operations: ticks * ROUND_TRIPS_A_TICK,
            ..Done::default()
        }
    });
}
