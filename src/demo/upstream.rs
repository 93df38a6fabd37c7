//! Somebody else's price service: correct, and slow.

use std::time::Duration;

use axum::extract::{Path, State};
use axum::routing::get;
use axum::{Json, Router};
use serde::{Deserialize, Serialize};

use super::BoxError;
use super::server::Server;

/// The quickest answer; the slowest takes [`JITTER`] longer.
pub(super) const LEAST_DELAY: Duration = Duration::from_millis(35);
const JITTER: Duration = Duration::from_millis(10);

/// The price of one item.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Quote {
    pub(super) cents: u64,
}

/// Opens the service; every answer takes `extra` longer than usual.
pub(super) async fn open(extra: Duration) -> Result<Server, BoxError> {
    Server::open(
        Router::new()
            .route("/quotes/{item}", get(quote))
            .with_state(extra),
    )
    .await
}

async fn quote(State(extra): State<Duration>, Path(item): Path<u32>) -> Json<Quote> {
    look_up(delay_of(item) + extra).await;
    Json(Quote {
        cents: 100 + u64::from(item) * 7,
    })
}

async fn look_up(delay: Duration) {
    tokio::time::sleep(delay).await;
}

/// The same item always takes the same time; over all items the delays spread evenly.
fn delay_of(item: u32) -> Duration {
    let spread = item.wrapping_mul(2_654_435_761) >> 16;
    LEAST_DELAY + JITTER * spread / u32::from(u16::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn delays_stay_between_their_bounds_and_differ() {
        let delays: Vec<_> = (0..100).map(delay_of).collect();
        assert!(
            delays
                .iter()
                .all(|delay| (LEAST_DELAY..=LEAST_DELAY + JITTER).contains(delay))
        );
        assert!(
            delays
                .iter()
                .max()
                .unwrap()
                .saturating_sub(*delays.iter().min().unwrap())
                > JITTER / 2
        );
    }
}
