//! Tasks that wait, eight awaits deep, for three seconds, or so many. `idle TASKS [SECONDS]`

use std::sync::Arc;
use std::time::Duration;

use loads::{Done, spawn};
use tokio::sync::Notify;

const WAIT_S: u64 = 3;

fn main() {
    let tasks = loads::size();
    let seconds = std::env::args().nth(2);
    let wait_s = seconds.map_or(WAIT_S, |word| word.parse().expect("a number"));
    loads::run(async move {
        let end = Arc::new(Notify::new());
        let waiting: Vec<_> = (0..tasks).map(|_| spawn(one(Arc::clone(&end)))).collect();
        tokio::time::sleep(Duration::from_secs(wait_s)).await;
        end.notify_waiters();
        for task in waiting {
            task.await.expect("no panic");
        }
        Done {
            operations: tasks,
            ..Done::default()
        }
    });
}

async fn one(end: Arc<Notify>) {
    two(&end).await;
}

async fn two(end: &Notify) {
    three(end).await;
}

async fn three(end: &Notify) {
    four(end).await;
}

async fn four(end: &Notify) {
    five(end).await;
}

async fn five(end: &Notify) {
    six(end).await;
}

async fn six(end: &Notify) {
    seven(end).await;
}

async fn seven(end: &Notify) {
    end.notified().await;
}
