//! The demo: a small order service to be looked at through the profiler. A request comes in, the shop
//! asks a slow upstream for the price and SQLite for the stock at the same time, and answers when it has both.
//!
//! The shop is a tokio program like any other; what the profiler learns from a program that tells it more can be seen,
//! too ([`DemoArgs::is_instrumented`]). Its customers and the upstream live in the same process for want
//! of a second one, but on plain threads: they are no tasks, so the picture shows the shop alone.

mod customers;
mod http;
mod shop;
mod stock;
mod upstream;

use std::error::Error;
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::oneshot;

use customers::{Load, Summary};
use shop::Shop;
use stock::Warehouse;

/// What every part of the demo fails with: it only ever reaches the terminal.
type BoxError = Box<dyn Error + Send + Sync>;

/// How long, how hard and against how slow an upstream the demo runs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DemoArgs {
    /// How long customers keep ordering.
    pub duration: Duration,
    /// Orders per second, sent at a steady rate however long each answer takes.
    pub rate_hz: u32,
    /// Added to the upstream's own delay of about 40 ms: what "the upstream got slower" looks like.
    pub slow_upstream: Duration,
    /// Label each request with its route and count it as work. Every third customer then asks for a price only:
    /// there is a second route to tell from the first.
    pub is_instrumented: bool,
}

impl Default for DemoArgs {
    fn default() -> Self {
        Self {
            duration: Duration::from_secs(4),
            rate_hz: 30,
            slow_upstream: Duration::ZERO,
            is_instrumented: false,
        }
    }
}

/// Runs the service under its own load and prints one closing line.
///
/// Ends when `args.duration` is over, or early at SIGINT or SIGTERM.
///
/// # Errors
///
/// The database or a port cannot be had, or a request failed.
pub fn main(args: DemoArgs) -> Result<(), BoxError> {
    let summary = open_for_business(args)?;
    println!("{summary}");
    if summary.failed > 0 {
        return Err(format!(
            "{} of {} demo requests failed",
            summary.failed,
            summary.requests()
        )
        .into());
    }
    Ok(())
}

fn open_for_business(args: DemoArgs) -> Result<Summary, BoxError> {
    let upstream_url = upstream::open(args.slow_upstream)?;
    let shop = Shop::new(Warehouse::build()?, &upstream_url)?;
    tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()?
        .block_on(run_shop(shop, args))
}

/// The root task: the shop is open while there are customers.
async fn run_shop(shop: Shop, args: DemoArgs) -> Result<Summary, BoxError> {
    let listener = TcpListener::bind(("127.0.0.1", 0)).await?;
    let load = Load {
        duration: args.duration,
        rate_hz: args.rate_hz,
        asks_prices: args.is_instrumented,
        shop: listener.local_addr()?,
    };
    let asked_to_stop = asked_to_stop()?;
    let (stop, stopped) = mpsc::channel();
    let (leave, all_left) = oneshot::channel();
    let customers = move || {
        // Nobody waits for the summary if the shop could not stay open.
        let _ = leave.send(customers::send_requests(&load, &stopped));
    };
    thread::Builder::new()
        .name("customers".to_owned())
        .spawn(customers)?;

    let closing_time = async {
        let mut all_left = all_left;
        tokio::select! {
            summary = &mut all_left => return summary,
            () = asked_to_stop => {}
        }
        drop(stop);
        all_left.await
    };
    tokio::select! {
        closed = shop.serve(listener, args.is_instrumented) => Err(format!("the shop closed by itself: {closed:?}").into()),
        summary = closing_time => Ok(summary?),
    }
}

/// Waits for SIGINT or SIGTERM. The handlers stand as soon as this returns, not at the first poll.
fn asked_to_stop() -> Result<impl Future<Output = ()>, BoxError> {
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut terminate = signal(SignalKind::terminate())?;
    Ok(async move {
        tokio::select! {
            _ = interrupt.recv() => {}
            _ = terminate.recv() => {}
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn short(slow_upstream: Duration) -> Summary {
        open_for_business(DemoArgs {
            duration: Duration::from_millis(300),
            rate_hz: 50,
            slow_upstream,
            is_instrumented: false,
        })
        .unwrap()
    }

    #[test]
    fn answers_every_order_and_closes_cleanly() {
        let summary = short(Duration::ZERO);
        assert_eq!((summary.requests(), summary.failed), (15, 0), "{summary}");
        assert!(summary.percentile(0.5) >= upstream::LEAST_DELAY, "{summary}");
    }

    #[test]
    fn a_slower_upstream_shows_in_every_answer() {
        let slow = Duration::from_millis(60);
        let summary = short(slow);
        assert_eq!(summary.failed, 0, "{summary}");
        assert!(
            summary.percentile(0.0) >= upstream::LEAST_DELAY + slow,
            "{summary}"
        );
    }

    #[test]
    fn instrumented_it_answers_both_kinds_of_customers() {
        main(DemoArgs {
            duration: Duration::from_millis(300),
            is_instrumented: true,
            ..DemoArgs::default()
        })
        .unwrap();
    }

    #[test]
    fn main_runs_to_its_end() {
        main(DemoArgs {
            duration: Duration::from_millis(300),
            ..DemoArgs::default()
        })
        .unwrap();
    }
}
