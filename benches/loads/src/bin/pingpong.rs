//! Pairs of tasks that do nothing but wake each other. `pingpong ROUND_TRIPS_PER_PAIR`

use loads::{Done, spawn};
use tokio::sync::{mpsc, oneshot};

const PAIRS: u64 = 32;

fn main() {
    let rounds = loads::size();
    loads::run(async move {
        let pairs: Vec<_> = (0..PAIRS).map(|_| spawn(ping(rounds))).collect();
        for pair in pairs {
            pair.await.expect("no panic");
        }
        Done {
            operations: PAIRS * rounds,
            ..Done::default()
        }
    });
}

async fn ping(rounds: u64) {
    let (sender, receiver) = mpsc::channel(1);
    let partner = spawn(pong(receiver));
    for _ in 0..rounds {
        let (answer, answered) = oneshot::channel();
        sender.send(answer).await.expect("the partner listens");
        answered.await.expect("the partner answers");
    }
    drop(sender);
    partner.await.expect("no panic");
}

async fn pong(mut receiver: mpsc::Receiver<oneshot::Sender<()>>) {
    while let Some(answer) = receiver.recv().await {
        let _ = answer.send(());
    }
}
