//! A program whose spans, which it has anyway, label its tasks.
//!
//! ```text
//! cargo build --example spans --features tracing
//! asyncprof record -- target/debug/examples/spans
//! asyncprof flamegraph --group-by-label span
//! ```

use std::time::Duration;

use tokio::time::sleep;
use tracing::instrument;
use tracing_subscriber::prelude::*;

const ORDERS: u32 = 20;

#[tokio::main]
async fn main() {
    tracing_subscriber::registry()
        .with(asyncprof::tracing::SpanLabels::new())
        .init();
    let orders: Vec<_> = (0..4).map(|_| tokio::spawn(take_orders())).collect();
    for order in orders {
        order.await.expect("no order panics");
    }
    println!("{} orders shipped", 4 * ORDERS);
}

async fn take_orders() {
    for _ in 0..ORDERS {
        order().await;
        asyncprof::work(1);
    }
}

#[instrument]
async fn order() {
    sleep(Duration::from_millis(3)).await;
    ship().await;
    sleep(Duration::from_millis(3)).await;
}

#[instrument]
async fn ship() {
    sleep(Duration::from_millis(9)).await;
}
