//! The customers: orders at a steady rate, each on a connection of its own, and what they thought of the answers.
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

/// The load to put on the shop.
pub(super) struct Load {
    pub(super) duration: Duration,
    pub(super) rate_hz: u32,
    pub(super) shop: SocketAddr,
}

/// How the customers fared.
pub(super) struct Summary {
    /// How long each answered request took, shortest first.
    latencies: Vec<Duration>,
    pub(super) failed: usize,
}

/// Sends orders until the time is over or `stop` says so, then waits for the answers still to come.
pub(super) fn send_orders(load: &Load, stop: &Receiver<()>) -> Summary {
    let (start, rate_hz) = (Instant::now(), load.rate_hz.max(1));
    let orders = (load.duration.as_secs_f64() * f64::from(rate_hz)).round() as u64;
    thread::scope(|scope| {
        let mut answers = Vec::new();
        for order in 0..orders {
            let due = start + Duration::from_secs_f64(order as f64 / f64::from(rate_hz));
            match stop.recv_timeout(due.saturating_duration_since(Instant::now())) {
                Err(RecvTimeoutError::Timeout) => {}
                Ok(()) | Err(RecvTimeoutError::Disconnected) => break,
            }
            answers.push(thread::Builder::new().spawn_scoped(scope, move || place_order(load.shop, order)));
        }
        Summary::of(answers.into_iter().map(|answer| match answer?.join() {
            Ok(answer) => answer,
            Err(_) => Err("the customer panicked".into()),
        }))
    })
}

/// One request as a customer sees it: how long until the right answer was there.
fn place_order(shop: SocketAddr, order: u64) -> Result<Duration, BoxError> {
    let start = Instant::now();
    let mut connection = TcpStream::connect(shop)?;
    connection.set_nodelay(true)?;
    let request = format!("GET /orders/{order} HTTP/1.1\r\nhost: {shop}\r\nconnection: close\r\n\r\n");
    connection.write_all(request.as_bytes())?;
    let mut answer = BufReader::new(connection);
    let status = read_head(&mut answer)?.ok_or("the shop hung up")?;
    let mut body = String::new();
    answer.read_to_string(&mut body)?;
    if !(status.starts_with("HTTP/1.1 200 ") && body.starts_with(&format!("{{\"order\":{order},"))) {
        return Err(format!("asked for order {order}, got {status}, {body}").into());
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
