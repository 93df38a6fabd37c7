//! `off CALL told TIMES`: makes a call of the library so many times; with `bare` all but the call. With `ASYNCPROF` in
//! the environment it starts the library, as that allows; else never.

use std::hint::black_box;
use std::pin::pin;
use std::task::{Context, Waker};

use asyncprof::Profile;

fn main() -> Result<(), asyncprof::Error> {
    let _profiler = match std::env::var_os("ASYNCPROF") {
        Some(_) => Some(asyncprof::start()?),
        None => None,
    };
    let args: Vec<String> = std::env::args().collect();
    let [_, call, how, times] = args.as_slice() else {
        panic!("off CALL told|bare TIMES")
    };
    let times: u64 = times.parse().expect("a number");
    // Each loop is of its own: nothing is chosen within.
    match (call.as_str(), how.as_str()) {
        ("label", "told") => repeat(times, |_| {
            asyncprof::label(black_box("route"), black_box("/users/{id}"))
        }),
        ("label", "bare") => repeat(times, |_| _ = (black_box("route"), black_box("/users/{id}"))),
        ("unlabel", "told") => repeat(times, |_| asyncprof::unlabel(black_box("route"))),
        ("unlabel", "bare") => repeat(times, |_| _ = black_box("route")),
        ("work", "told") => repeat(times, asyncprof::work),
        ("work", "bare") => repeat(times, drop),
        ("profiled", "told") => repeat(times, |at| poll(async { black_box(at) }.profiled("task"))),
        ("profiled", "bare") => repeat(times, |at| poll(async { black_box(at) })),
        ("blocking", "told") => repeat(times, |at| {
            run(asyncprof::blocking("task", move || black_box(at)))
        }),
        ("blocking", "bare") => repeat(times, |at| run(move || black_box(at))),
        _ => panic!("no call {call} {how}"),
    }
    Ok(())
}

#[inline(always)]
fn repeat(times: u64, call: impl Fn(u64)) {
    for at in 0..times {
        call(black_box(at));
    }
}

#[inline(always)]
fn poll(future: impl Future) {
    let polled = pin!(future).poll(&mut Context::from_waker(Waker::noop()));
    black_box(polled.is_ready());
}

#[inline(always)]
fn run(closure: impl FnOnce() -> u64) {
    black_box(closure());
}
