//! `taps LOOP TIMES`: goes so many times through a loop of which each turn makes the same few events. The loops differ by
//! one event each, so that what it costs is told by their differences.

use std::alloc::{Layout, alloc, dealloc};
use std::future::poll_fn;
use std::hint::black_box;
use std::pin::Pin;
use std::task::{Context, Poll, Waker};

use tokio::runtime::Builder;

/// Of boxed futures between a task and its leaf.
const DEPTH: u32 = 8;
/// So large that its memory is the system's: what the allocator does otherwise depends on all that it did before.
const LARGE: usize = 8 << 10;

fn main() {
    let args: Vec<String> = std::env::args().collect();
    let [_, turn, times] = args.as_slice() else {
        panic!("taps LOOP TIMES")
    };
    let times: u64 = times.parse().expect("a number");
    // SAFETY: a number; and thereby fixed.
    assert_eq!(unsafe { libc::mallopt(libc::M_MMAP_THRESHOLD, LARGE as i32) }, 1);
    let runtime = Builder::new_current_thread().build().expect("a runtime");
    let turn: Turn = match turn.as_str() {
        "wake" => wake,
        "suspend" => suspend,
        "allocate" => allocate,
        _ => panic!("no loop {turn}"),
    };
    runtime
        .block_on(runtime.spawn(nested(DEPTH, times, turn)))
        .expect("no panic");
}

type Turn = fn(&mut Context<'_>, &mut Option<Waker>);

/// A wake-up, and a poll.
fn wake(context: &mut Context<'_>, _kept: &mut Option<Waker>) {
    context.waker().wake_by_ref();
}

/// A wake-up, a poll, and a suspension with its stack.
fn suspend(context: &mut Context<'_>, kept: &mut Option<Waker>) {
    *kept = Some(context.waker().clone());
    context.waker().wake_by_ref();
}

/// A wake-up, a poll, and memory that looks like a task's: the event of a spawn.
fn allocate(context: &mut Context<'_>, _kept: &mut Option<Waker>) {
    let layout = Layout::from_size_align(LARGE, 128).expect("a power of two");
    // SAFETY: the size is not 0, and it is freed as it was allocated.
    unsafe { dealloc(black_box(alloc(layout)), layout) };
    context.waker().wake_by_ref();
}

/// A future that takes so many turns, within others.
fn nested(depth: u32, mut times: u64, turn: Turn) -> Pin<Box<dyn Future<Output = ()> + Send>> {
    if depth > 0 {
        return Box::pin(async move { nested(depth - 1, times, turn).await });
    }
    let mut kept = None;
    Box::pin(poll_fn(move |context| {
        if times == 0 {
            return Poll::Ready(());
        }
        times -= 1;
        turn(context, &mut kept);
        Poll::Pending
    }))
}
