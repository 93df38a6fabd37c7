//! A service whose requests are labelled with their routes and counted as work.
//!
//! ```text
//! cargo build --example axum --features tower
//! asyncprof record -- target/debug/examples/axum     # serves until interrupted
//! asyncprof report                                    # per route
//! asyncprof flamegraph --group-by-label route
//! ```

use std::time::Duration;

use asyncprof::tower::WorkLayer;
use axum::Router;
use axum::extract::{MatchedPath, Path, Request};
use axum::routing::get;
use tokio::net::TcpListener;
use tokio::time::sleep;

#[tokio::main]
async fn main() -> std::io::Result<()> {
    let app = Router::new()
        .route("/users/{id}", get(user))
        .route("/slow", get(slow))
        .route_layer(WorkLayer::new(route));
    let listener = TcpListener::bind(("127.0.0.1", port())).await?;
    println!("listening on {}", listener.local_addr()?);
    axum::serve(listener, app).await
}

/// The first argument; else any that is free.
fn port() -> u16 {
    std::env::args()
        .nth(1)
        .and_then(|port| port.parse().ok())
        .unwrap_or(0)
}

fn route(request: &Request) -> Option<String> {
    let path = request.extensions().get::<MatchedPath>()?;
    Some(path.as_str().to_owned())
}

async fn user(Path(id): Path<u64>) -> String {
    sleep(Duration::from_millis(5)).await;
    format!("user {id}\n")
}

async fn slow() -> &'static str {
    sleep(Duration::from_millis(50)).await;
    "at last\n"
}
