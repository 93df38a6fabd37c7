//! The customers: requests at a steady rate, each on a connection of its own, and what they thought of the answers.
//!
//! They are outside of the shop, so they are none of the program's tasks: a thread each, and blocking calls.

use std::fmt;
use std::io::{BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::thread;
use std::time::{Duration, Instant};

use super::BoxError;
use super::http::read_head;
use super::stock::item_of;

/// The load to put on the shop.
pub(super) struct Load {
    pub(super) duration: Duration,
    pub(super) rate_hz: u32,
    /// Whether every third customer asks for a price instead of ordering.
    pub(super) asks_prices: bool,
    pub(super) shop: SocketAddr,
}

/// How the customers fared.
pub(super) struct Summary {
    /// How long each answered request took, shortest first.
    latencies: Vec<Duration>,
    pub(super) failed: usize,
}

/// What a customer asks for, and how the right answer begins.
struct Wish {
    path: String,
    answer: String,
}

impl Wish {
    fn of(customer: u64, load: &Load) -> Self {
        let (path, key, number) = match load.asks_prices && customer % 3 == 2 {
            true => ("prices", "item", item_of(customer).into()),
            false => ("orders", "order", customer),
        };
        Self {
            path: format!("/{path}/{number}"),
            answer: format!("{{\"{key}\":{number},"),
        }
    }
}

/// Sends requests until the time is over or `stop` says so, then waits for the answers still to come.
pub(super) fn send_requests(load: &Load, stop: &Receiver<()>) -> Summary {
    let (start, rate_hz) = (Instant::now(), load.rate_hz.max(1));
    let customers = (load.duration.as_secs_f64() * f64::from(rate_hz)).round() as u64;
    thread::scope(|scope| {
        let mut answers = Vec::new();
        for customer in 0..customers {
            let due = start + Duration::from_secs_f64(customer as f64 / f64::from(rate_hz));
            match stop.recv_timeout(due.saturating_duration_since(Instant::now())) {
                Err(RecvTimeoutError::Timeout) => {}
                Ok(()) | Err(RecvTimeoutError::Disconnected) => break,
            }
            let wish = Wish::of(customer, load);
            answers.push(thread::Builder::new().spawn_scoped(scope, move || ask(load.shop, &wish)));
        }
        Summary::of(answers.into_iter().map(|answer| match answer?.join() {
            Ok(answer) => answer,
            Err(_) => Err("the customer panicked".into()),
        }))
    })
}

/// One request as a customer sees it: how long until the right answer was there.
fn ask(shop: SocketAddr, wish: &Wish) -> Result<Duration, BoxError> {
    let start = Instant::now();
    let mut connection = TcpStream::connect(shop)?;
    connection.set_nodelay(true)?;
    let path = &wish.path;
    let request = format!("GET {path} HTTP/1.1\r\nhost: {shop}\r\nconnection: close\r\n\r\n");
    connection.write_all(request.as_bytes())?;
    let mut answer = BufReader::new(connection);
    let status = read_head(&mut answer)?.ok_or("the shop hung up")?;
    let mut body = String::new();
    answer.read_to_string(&mut body)?;
    if !(status.starts_with("HTTP/1.1 200 ") && body.starts_with(&wish.answer)) {
        return Err(format!("asked for {path}, got {status}, {body}").into());
    }
    Ok(start.elapsed())
}

impl Summary {
    fn of(answers: impl Iterator<Item = Result<Duration, BoxError>>) -> Self {
        let mut summary = Self {
            latencies: Vec::new(),
            failed: 0,
        };
        for answer in answers {
            match answer {
                Ok(latency) => summary.latencies.push(latency),
                Err(_) => summary.failed += 1,
            }
        }
        summary.latencies.sort_unstable();
        summary
    }

    pub(super) fn requests(&self) -> usize {
        self.latencies.len() + self.failed
    }

    /// The latency that a share `p` of the answers stayed within; zero if there was no answer.
    pub(super) fn percentile(&self, p: f64) -> Duration {
        let rank = (self.latencies.len() as f64 * p).ceil() as usize;
        self.latencies
            .get(rank.saturating_sub(1))
            .copied()
            .unwrap_or_default()
    }
}

impl fmt::Display for Summary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let ms = |p| self.percentile(p).as_secs_f64() * 1e3;
        let (requests, failed) = (self.requests(), self.failed);
        write!(
            f,
            "{requests} requests ({failed} failed), median {:.1} ms, p99 {:.1} ms",
            ms(0.5),
            ms(0.99)
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn summary_counts_and_ranks() {
        let mut answers: Vec<Result<Duration, BoxError>> =
            (1..=100).rev().map(|ms| Ok(Duration::from_millis(ms))).collect();
        answers.push(Err("no answer".into()));
        let summary = Summary::of(answers.into_iter());
        assert_eq!(
            summary.to_string(),
            "101 requests (1 failed), median 50.0 ms, p99 99.0 ms"
        );
        assert_eq!(Summary::of(std::iter::empty()).percentile(0.5), Duration::ZERO);
    }
}
