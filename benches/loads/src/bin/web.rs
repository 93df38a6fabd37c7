//! A web service: each request asks SQLite on a blocking thread and an upstream over HTTP. Its clients are a process
//! of their own, which nobody profiles; they ask at a constant rate, whether answers come or not. `web SECONDS`

use std::net::SocketAddr;
use std::process::Stdio;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use axum::Router;
use axum::extract::State;
use axum::routing::get;
use loads::{Done, Latencies, spawn};
use rusqlite::Connection;

const REQUESTS_PER_SECOND: u64 = 500;

#[derive(Clone)]
struct Service {
    database: Arc<Mutex<Connection>>,
    upstream: reqwest::Client,
    address: SocketAddr,
}

fn main() {
    let seconds = loads::size();
    if let Some(address) = std::env::args().nth(2) {
        return clients(seconds, &address);
    }
    loads::run(async move {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0")
            .await
            .expect("a port");
        let address = listener.local_addr().expect("it is bound");
        let service = Service {
            database: Arc::new(Mutex::new(database())),
            upstream: reqwest::Client::new(),
            address,
        };
        let routes = Router::new()
            .route("/order", get(order))
            .route("/upstream", get(upstream))
            .with_state(service);
        let server = spawn(async move { axum::serve(listener, routes).await });
        let output = tokio::task::spawn_blocking(move || run_clients(seconds, address)).await;
        server.abort();
        Done {
            operations: seconds * REQUESTS_PER_SECOND,
            latencies: output.expect("no panic"),
        }
    });
}

fn run_clients(seconds: u64, address: SocketAddr) -> Latencies {
    let mut command = std::process::Command::new(std::env::current_exe().expect("a program has a file"));
    command.arg(seconds.to_string()).arg(address.to_string());
    // Not to be recorded.
    for variable in ["LD_PRELOAD", "ASYNCPROF_REGION"] {
        command.env_remove(variable);
    }
    let output = command.stderr(Stdio::inherit()).output().expect("it starts");
    serde_json::from_slice(&output.stdout).expect("the clients print their latencies")
}

fn database() -> Connection {
    let database = Connection::open_in_memory().expect("SQLite is linked in");
    database
        .execute_batch(
            "create table orders (id integer primary key, price integer); insert into orders values (1, 7)",
        )
        .expect("valid SQL");
    database
}

async fn order(State(service): State<Service>) -> String {
    let database = Arc::clone(&service.database);
    let query = tokio::task::spawn_blocking(move || {
        let database = database.lock().expect("no panic");
        database.query_row("select price from orders where id = 1", [], |row| {
            row.get::<_, i64>(0)
        })
    });
    let url = format!("http://{}/upstream", service.address);
    let (price, factor) = tokio::join!(query, service.upstream.get(url).send());
    let factor = factor.expect("the upstream answers").text().await.expect("text");
    format!("{} {factor}", price.expect("no panic").expect("one row"))
}

async fn upstream() -> &'static str {
    tokio::time::sleep(Duration::from_millis(2)).await;
    "3"
}

fn clients(seconds: u64, address: &str) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let url = format!("http://{address}/order");
    let latencies = runtime.expect("a runtime").block_on(async move {
        let client = reqwest::Client::new();
        let start = Instant::now();
        let requests: Vec<_> = (0..seconds * REQUESTS_PER_SECOND)
            .map(|n| {
                let (client, url) = (client.clone(), url.clone());
                let due = start + Duration::from_nanos(n * 1_000_000_000 / REQUESTS_PER_SECOND);
                tokio::spawn(async move {
                    tokio::time::sleep_until(due.into()).await;
                    let answer = client.get(url).send().await.expect("the service answers");
                    assert_eq!(answer.text().await.expect("text"), "7 3");
                    // From when it was due: a client that waits for its turn waits, too.
                    due.elapsed().as_nanos() as u64
                })
            })
            .collect();
        let mut latencies = Vec::new();
        for request in requests {
            latencies.push(request.await.expect("no panic"));
        }
        latencies
    });
    println!(
        "{}",
        serde_json::to_string(&Latencies::of(latencies)).expect("numbers are JSON")
    );
}
