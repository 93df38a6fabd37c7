//! A profile like that of the demo service, for the tests of pictures and tables.

use asyncprof_core::profile::{Profile, State, TaskKind, Waker};
use asyncprof_core::view::testing::ProfileBuilder;

const MS: u64 = 1_000_000;
const US: u64 = 1_000;

pub(crate) fn service() -> Profile {
    let mut builder = ProfileBuilder::new();
    let request = builder.group("demo::handle", TaskKind::Task, 1200);
    let query = builder.group("demo::query", TaskKind::Blocking, 1200);
    let connection = builder.group("axum::serve::handle_connection", TaskKind::Task, 40);
    let root = builder.group("demo::main", TaskKind::Root, 1);
    let load = builder.group("demo::load::run", TaskKind::Task, 1);
    let worker = builder.group("tokio worker", TaskKind::Worker, 2);
    let harness = [
        "tokio::runtime::task::raw::poll",
        "tokio::runtime::task::core::Core<T,S>::poll",
    ];
    let upstream = [
        "demo::handle::{{closure}} @ src/demo/server.rs:41",
        "demo::upstream::get::{{closure}} @ src/demo/upstream.rs:27",
        "<reqwest::async_impl::client::Pending as core::future::future::Future>::poll",
        "<tower::retry::future::ResponseFuture<P,S,Request> as core::future::future::Future>::poll",
        "hyper_util::client::legacy::client::Client<C,B>::send_request::{{closure}}",
        "<tokio::sync::oneshot::Receiver<T> as core::future::future::Future>::poll",
        "<core::task::wake::Waker as core::clone::Clone>::clone",
    ];
    let upstream = builder.stack(&[&harness[..], &upstream].concat());
    let database = builder.stack(&[
        "demo::handle::{{closure}} @ src/demo/server.rs:41",
        "demo::database::lookup::{{closure}} @ src/demo/database.rs:33",
        "<tokio::runtime::task::join::JoinHandle<T> as core::future::future::Future>::poll",
    ]);
    let lock = builder.stack(&[
        "demo::handle::{{closure}} @ src/demo/server.rs:47",
        "demo::cache::put::{{closure}} @ src/demo/cache.rs:12",
        "tokio::sync::mutex::Mutex<T>::lock::{{closure}}",
        "<tokio::sync::batch_semaphore::Acquire as core::future::future::Future>::poll",
    ]);
    let read = builder.stack(&[
        "axum::serve::handle_connection::{{closure}}",
        "hyper_util::server::conn::auto::UpgradeableConnection<I,S,E>::poll",
        "hyper::proto::h1::dispatch::Dispatcher<D,Bs,I,T>::poll_read",
        "tokio::net::tcp::stream::TcpStream::poll_read_priv",
        "tokio::runtime::io::registration::Registration::poll_ready",
    ]);
    let tick = builder.stack(&[
        "demo::load::run::{{closure}} @ src/demo/load.rs:20",
        "tokio::time::interval::Interval::poll_tick",
        "<tokio::time::sleep::Sleep as core::future::future::Future>::poll",
    ]);
    let done = builder.stack(&[
        "main",
        "demo::main",
        "tokio::runtime::runtime::Runtime::block_on",
        "demo::main::{{closure}} @ src/demo/mod.rs:88",
        "<tokio::runtime::task::join::JoinHandle<T> as core::future::future::Future>::poll",
    ]);
    let none = Default::default();
    let ended = builder.waker(Waker::Task {
        group: query,
        stack: none,
    });
    builder.row(request, upstream, State::Waiting, 1200, 50 * MS + 300 * US);
    builder.row(request, upstream, State::Scheduled, 1200, 40 * US);
    builder
        .row(request, database, State::Waiting, 1200, 21 * MS)
        .waker = ended;
    builder.row(request, database, State::Scheduled, 1200, 60 * US);
    builder.row(request, lock, State::Waiting, 90, 3 * MS);
    builder.row(request, none, State::Running, 3600, 110 * US);
    builder.row(query, none, State::Scheduled, 1200, 90 * US);
    builder.row(query, none, State::Running, 1200, 20 * MS);
    builder.row(connection, read, State::Waiting, 1240, 24 * MS);
    builder.row(connection, read, State::Running, 1240, 85 * US);
    let fired = builder.stack(&[
        "clone3",
        "tokio::runtime::scheduler::multi_thread::worker::run",
        "tokio::runtime::time::Driver::process_at_time",
    ]);
    let fired = builder.waker(Waker::Thread { stack: fired });
    builder.row(load, tick, State::Waiting, 1200, 8 * MS).waker = fired;
    builder.row(load, tick, State::Running, 1200, 30 * US);
    builder
        .row(root, done, State::Waiting, 1, 9_900 * MS)
        .open_episodes = 1;
    builder.row(worker, none, State::Running, 2, 10_000 * MS);
    builder.long_poll(request, lock, 1_234 * MS, 12 * MS);
    builder.long_poll(request, none, 4_321 * MS, 4 * MS);
    let profile = builder.profile_mut();
    profile.meta.command = ["target/release/demo", "--seconds", "10"]
        .map(str::to_owned)
        .to_vec();
    profile.quality.events = 48_211;
    profile.quality.clock = "tsc".to_owned();
    profile.quality.frames_total = 400;
    builder.build()
}

/// A profile whose every name is meant to break something.
pub(crate) fn hostile() -> Profile {
    let mut builder = ProfileBuilder::new();
    let group = builder.group(
        "a;b \"c\" <d> & 'e' 漢字 \u{1b}[31m\u{0} ]]> (f) 12",
        TaskKind::Task,
        1,
    );
    let stack = builder.stack(&[
        "app::take<[u8; 8]>::{{closure}} @ src/a;b (copy)/<x>.rs:3",
        "</title><script>alert(1)</script>",
        "app::Vec<[u8; 8]>::call 17",
        "rest",
        "all",
        "",
        "<fn(u8) -> u8 as app::Call>::call",
    ]);
    builder.row(group, stack, State::Waiting, 3, 1000);
    builder.row(group, Default::default(), State::Lost, 1, 10);
    builder.profile_mut().meta.command = vec!["./a --> & <b>".to_owned(), "\n".to_owned()];
    builder.build()
}
