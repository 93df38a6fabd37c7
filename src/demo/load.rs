//! The customers: orders at a steady rate, each a task of its own, and what they thought of the answers.

use std::fmt;
use std::time::{Duration, Instant};

use tokio::task::JoinSet;
use tokio::time::{MissedTickBehavior, interval};

use super::BoxError;
use super::shop::Order;

/// The load to put on the shop at `shop_url`.
pub(super) struct Load {
    pub(super) duration: Duration,
    pub(super) rate_hz: u32,
    pub(super) shop_url: String,
}

/// How the customers fared.
pub(super) struct Summary {
    /// How long each answered request took, shortest first.
    latencies: Vec<Duration>,
    pub(super) failed: usize,
}

/// Sends orders until the time is over or `stop` is ready, then waits for the answers still to come.
pub(super) async fn generate(load: Load, stop: impl Future<Output = ()>) -> Result<Summary, BoxError> {
    // One client for all: its pool keeps the connections that are idle.
    let http = reqwest::Client::builder().no_proxy().build()?;
    let rate_hz = load.rate_hz.max(1);
    let mut tick = interval((Duration::from_secs(1) / rate_hz).max(Duration::from_nanos(1)));
    tick.set_missed_tick_behavior(MissedTickBehavior::Burst);

    let mut requests = JoinSet::new();
    let send_all = async {
        for order in 0..(load.duration.as_secs_f64() * f64::from(rate_hz)).round() as u64 {
            tick.tick().await;
            requests.spawn(place_order(
                http.clone(),
                format!("{}/orders/{order}", load.shop_url),
                order,
            ));
        }
    };
    tokio::select! {
        () = send_all => {}
        () = stop => {}
    }
    Ok(Summary::of(requests.join_all().await))
}

/// One request as a customer sees it: how long until the right answer was there.
async fn place_order(http: reqwest::Client, url: String, order: u64) -> Result<Duration, BoxError> {
    let start = Instant::now();
    let answer: Order = http.get(url).send().await?.error_for_status()?.json().await?;
    if answer.order != order {
        return Err(format!("asked for order {order}, got {answer:?}").into());
    }
    Ok(start.elapsed())
}

impl Summary {
    fn of(answers: Vec<Result<Duration, BoxError>>) -> Self {
        let all = answers.len();
        let mut latencies: Vec<_> = answers.into_iter().flatten().collect();
        latencies.sort_unstable();
        Self {
            failed: all - latencies.len(),
            latencies,
        }
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
        let summary = Summary::of(answers);
        assert_eq!(
            summary.to_string(),
            "101 requests (1 failed), median 50.0 ms, p99 99.0 ms"
        );
        assert_eq!(Summary::of(Vec::new()).percentile(0.5), Duration::ZERO);
    }
}
