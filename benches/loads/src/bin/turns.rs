//! One task that wakes itself, each turn a wake-up and a poll, and suspended with a waker left behind if so told: then
//! with an await stack. `turns TURNS [suspended]`

use std::future::poll_fn;
use std::pin::Pin;
use std::task::{Context, Poll, Waker};

use loads::{Done, spawn};

/// Of awaits between the task and its leaf.
const DEPTH: u32 = 8;

fn main() {
    let turns = loads::size();
    let leaves_wakers = std::env::args().nth(2).is_some();
    loads::run(async move {
        let task = spawn(nested(DEPTH, turns, leaves_wakers));
        task.await.expect("no panic");
        Done {
            operations: turns,
            ..Done::default()
        }
    });
}

fn nested(depth: u32, mut turns: u64, leaves_wakers: bool) -> Pin<Box<dyn Future<Output = ()> + Send>> {
    if depth > 0 {
        return Box::pin(async move { nested(depth - 1, turns, leaves_wakers).await });
    }
    let mut kept: Option<Waker> = None;
    Box::pin(poll_fn(move |context: &mut Context<'_>| {
        if turns == 0 {
            return Poll::Ready(());
        }
        turns -= 1;
        if leaves_wakers {
            drop(kept.replace(context.waker().clone()));
        }
        context.waker().wake_by_ref();
        Poll::Pending
    }))
}
