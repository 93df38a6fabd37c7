//! What the profile of each fixture must say, however it is built; see `fixtures/README.md`.

use asyncprof_core::view::Kind::{Blocking, Channel, Io, Join, Lock, Notify, Other, Timer};

use crate::support::accuracy::{Build, check, site, work};

pub fn sleep(build: Build) {
    let stack = "sleep::outer > sleep::middle > sleep::inner > tokio::time::sleep::Sleep";
    let sites = [
        site("sleep::inner", Timer, stack).waits(200),
        site("sleep::main", Join, "sleep::main > tokio::runtime::task::join"),
    ];
    check(build, "sleep", &sites, &[]);
}

pub fn current_thread(build: Build) {
    let inner = "current_thread::outer > current_thread::middle > current_thread::inner > tokio::time::sleep";
    let local = "current_thread::local_outer > current_thread::local_inner > tokio::time::sleep";
    let spawned = "current_thread::main > current_thread::spawned_tasks > tokio::runtime::task::join";
    let joined = "current_thread::main > current_thread::local_tasks > tokio::runtime::task::join";
    let sites = [
        site("current_thread::inner", Timer, inner).waits(200),
        site("current_thread::local_inner", Timer, local).waits(200),
        site("current_thread::spawned_tasks", Join, spawned),
        // The set of local tasks is woken for each of them, and wakes the root task.
        site("current_thread::local_tasks", Join, joined).or("current_thread::main > tokio::task::local"),
    ];
    check(build, "current_thread", &sites, &[]);
}

pub fn tcp(build: Build) {
    let ask = "tcp::client_session > tcp::ask > tokio::io::util::read_exact";
    let next = "tcp::server_session > tcp::next_question > tokio::io::util::read_exact";
    let answer = "tcp::server_session > tcp::answer > tokio::time::sleep";
    let think = "tcp::client_session > tcp::think > tokio::time::sleep";
    let sites = [
        site("tcp::ask", Io, ask).waits(100),
        site("tcp::next_question", Io, next),
        site("tcp::answer", Timer, answer).waits(100),
        site("tcp::think", Timer, think).waits(100),
    ];
    check(build, "tcp", &sites, &[]);
}

pub fn channels(build: Build) {
    let produce = "channels::produce_slowly > channels::pause > tokio::time::sleep";
    let drain = "channels::drain_slowly > channels::pause > tokio::time::sleep";
    let answer = "channels::answer_late > channels::pause > tokio::time::sleep";
    let ask = "channels::ask_all > channels::ask > tokio::sync::oneshot";
    let sites = [
        site(
            "channels::consume",
            Channel,
            "channels::consume > tokio::sync::mpsc",
        ),
        site("channels::fill", Channel, "channels::fill > tokio::sync::mpsc"),
        site("channels::ask", Channel, ask).waits(30),
        site("channels::produce_slowly", Timer, produce).waits(30),
        site("channels::drain_slowly", Timer, drain).waits(31),
        site("channels::answer_late", Timer, answer).waits(30),
    ];
    check(build, "channels", &sites, &[]);
}

pub fn locks(build: Build) {
    let sites = [
        site(
            "locks::wait_for_mutex",
            Lock,
            "locks::wait_for_mutex > tokio::sync::mutex",
        )
        .waits_at_most(30),
        site(
            "locks::wait_for_permit",
            Lock,
            "locks::wait_for_permit > tokio::sync::semaphore",
        )
        .waits_at_most(30),
        site(
            "locks::wait_to_read",
            Lock,
            "locks::wait_to_read > tokio::sync::rwlock",
        )
        .waits_at_most(30),
        site(
            "locks::wait_for_bell",
            Notify,
            "locks::wait_for_bell > tokio::sync::notify",
        )
        .waits_at_most(10),
        site(
            "locks::hold",
            Timer,
            "locks::mutex_rounds > locks::hold > tokio::time::sleep",
        )
        .or("locks::semaphore_rounds > locks::hold > tokio::time::sleep")
        .or("locks::rwlock_rounds > locks::hold > tokio::time::sleep")
        .or("locks::notify_rounds > locks::hold > tokio::time::sleep")
        .waits(40),
    ];
    check(build, "locks", &sites, &[]);
}

/// The wait at a `join!` or `select!` belongs to the branch that ended it.
pub fn joins(build: Build) {
    let child = "joins::await_children > joins::await_child > tokio::runtime::task::join";
    let short = "joins::nap_both_ways > joins::short_nap > joins::nap > tokio::time::sleep";
    let long = "joins::nap_both_ways > joins::long_nap > joins::nap > tokio::time::sleep";
    let read = "joins::read_all_in_time > joins::read_byte > tokio::io::util";
    let quick = "joins::race_timers > joins::quick_timer > tokio::time::sleep";
    let write = "joins::write_slowly > joins::nap > tokio::time::sleep";
    let sites = [
        site("joins::await_child", Join, child).waits(10),
        site(
            "joins::child",
            Timer,
            "joins::child > joins::nap > tokio::time::sleep",
        )
        .waits(10),
        site("joins::short_nap", Timer, short).waits(10),
        site("joins::long_nap", Timer, long).waits_at_most(10),
        site("joins::read_byte", Io, read).waits_at_most(10),
        site("joins::quick_timer", Timer, quick).waits(10),
        site("joins::write_slowly", Timer, write).waits(10),
    ];
    check(build, "joins", &sites, &["joins::time_out", "joins::slow_timer"]);
}

/// The same where each branch is polled with a waker of its own.
pub fn branches(build: Build) {
    let at = |name, kind, stack| site(name, kind, stack).waits_at_most(20);
    let sites = [
        at(
            "branches::nap_one",
            Timer,
            "branches::unordered > branches::drain > futures_util::stream::futures_unordered::FuturesUnordered::poll_next > branches::nap_one > branches::nap > tokio::time::sleep",
        ),
        at(
            "branches::nap_two",
            Timer,
            "branches::unordered > branches::drain > futures_util::stream::futures_unordered::FuturesUnordered::poll_next > branches::nap_two > branches::nap > tokio::time::sleep",
        ),
        at(
            "branches::receive",
            Channel,
            "branches::unordered > branches::drain > futures_util::stream::futures_unordered::FuturesUnordered::poll_next > branches::receive > tokio::sync::oneshot",
        ),
        at(
            "branches::in_order_one",
            Timer,
            "branches::ordered > branches::drain > futures_util::stream::futures_ordered::FuturesOrdered::poll_next > branches::in_order_one > branches::nap > tokio::time::sleep",
        ),
        at(
            "branches::in_order_receive",
            Channel,
            "branches::ordered > branches::drain > futures_util::stream::futures_ordered::FuturesOrdered::poll_next > branches::in_order_receive > tokio::sync::oneshot",
        ),
        at(
            "branches::read_byte",
            Io,
            "branches::buffered > branches::drain > futures_util::stream::futures_unordered::FuturesUnordered::poll_next > branches::read_in_time > tokio::time::timeout::Timeout::poll > branches::read_byte > tokio::io::util",
        ),
        at(
            "branches::one_of_forty",
            Timer,
            "branches::forty > futures_util::future::join_all::JoinAll::poll > branches::one_of_forty > branches::nap > tokio::time::sleep",
        ),
        at(
            "branches::inner_nap",
            Timer,
            "branches::nested > futures_util::stream::futures_unordered::FuturesUnordered::poll_next > branches::inner_set > futures_util::stream::futures_unordered::FuturesUnordered::poll_next > branches::inner_nap > branches::nap > tokio::time::sleep",
        ),
        at(
            "branches::pair_short",
            Timer,
            "branches::pairs > futures_util::stream::futures_unordered::FuturesUnordered::poll_next > branches::pair > branches::pair_short > branches::nap > tokio::time::sleep",
        ),
        at(
            "branches::pair_long",
            Timer,
            "branches::pairs > futures_util::stream::futures_unordered::FuturesUnordered::poll_next > branches::pair > branches::pair_long > branches::nap > tokio::time::sleep",
        ),
        at(
            "branches::mapped_nap",
            Timer,
            "branches::mapped > branches::drain > tokio_stream::stream_map::StreamMap::poll_next > branches::mapped_nap > branches::nap > tokio::time::sleep",
        )
        .beside_another(10_000_000, 10),
        at(
            "branches::mapped_item",
            Channel,
            "branches::mapped > branches::drain > tokio_stream::stream_map::StreamMap::poll_next > branches::mapped_item > tokio::sync::mpsc",
        )
        .beside_another(10_000_000, 10),
        at(
            "branches::join_next",
            Join,
            "branches::joined > branches::join_next > tokio::task::join_set",
        ),
        at(
            "branches::set_child",
            Timer,
            "branches::set_child > branches::nap > tokio::time::sleep",
        ),
        at(
            "branches::root_nap_one",
            Timer,
            "branches::main > branches::in_the_root_task > branches::drain > futures_util::stream::futures_unordered::FuturesUnordered::poll_next > branches::root_nap_one > branches::nap > tokio::time::sleep",
        ),
        at(
            "branches::root_nap_three",
            Timer,
            "branches::main > branches::in_the_root_task > branches::drain > futures_util::stream::futures_unordered::FuturesUnordered::poll_next > branches::root_nap_three > branches::nap > tokio::time::sleep",
        ),
    ];
    check(
        build,
        "branches",
        &sites,
        &["branches::inner_timeout", "branches::inner_never"],
    );
}

pub fn blocking(build: Build) {
    let offload = "blocking::offload_all > blocking::offload > tokio::runtime::task::join";
    let sites = [
        site("blocking::offload", Blocking, offload).waits(20),
        work("blocking::work"),
    ];
    check(build, "blocking", &sites, &[]);
}

pub fn dynfut(build: Build) {
    let bottom = "dynfut::descend_often > dynfut::descend > dynfut::descend > dynfut::descend > \
                  dynfut::descend > dynfut::descend > dynfut::at_the_bottom > tokio::time::sleep";
    let foreign = "dynfut::wait_for_foreigners > dynfut::foreign_signal > dynfut::ForeignSignal";
    let relayed = "dynfut::relay_often > dynfut::relayed > dynfut::relayed_nap > tokio::time::sleep";
    let sites = [
        site("dynfut::at_the_bottom", Timer, bottom).waits(20),
        site("dynfut::foreign_signal", Other, foreign).waits(20),
        site("dynfut::relayed_nap", Timer, relayed).waits(20),
    ];
    check(build, "dynfut", &sites, &[]);
}

pub fn outcomes(build: Build) {
    let stack = "outcomes::aborted_while_waiting > tokio::time::sleep";
    let sites = [site("outcomes::aborted_while_waiting", Timer, stack)
        .waits(5)
        .measured_from_spawn()];
    check(build, "outcomes", &sites, &[]);
}

/// 3000 threads, each with a runtime of its own, come and go.
pub fn threads(build: Build) {
    let stack = "threads::short_life > tokio::time::sleep";
    let sites = [site("threads::short_life", Timer, stack).waits(3000)];
    check(build, "threads", &sites, &[]);
}
