//! The service itself: one handler that has two things to wait for and waits for both at once.

use std::sync::Arc;

use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::{Json, Router};
use serde::{Deserialize, Serialize};

use super::BoxError;
use super::server::Server;
use super::stock::{self, Stock, Warehouse};
use super::upstream::Quote;

/// What a customer gets.
#[derive(Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct Order {
    pub(super) order: u64,
    pub(super) item: u32,
    pub(super) price_cents: u64,
    pub(super) in_stock: i64,
    pub(super) warehouses: u32,
}

#[derive(Clone)]
struct Shop {
    warehouse: Arc<Warehouse>,
    http: reqwest::Client,
    upstream_url: Arc<str>,
}

pub(super) async fn open(warehouse: Arc<Warehouse>, upstream_url: &str) -> Result<Server, BoxError> {
    let http = reqwest::Client::builder().no_proxy().build()?;
    let shop = Shop {
        warehouse,
        http,
        upstream_url: upstream_url.into(),
    };
    Server::open(
        Router::new()
            .route("/orders/{order}", get(get_order))
            .with_state(shop),
    )
    .await
}

async fn get_order(State(shop): State<Shop>, Path(order): Path<u64>) -> Result<Json<Order>, Failure> {
    let item = stock::item_of(order);
    let (price, stock) = tokio::join!(fetch_price(&shop, item), load_stock(&shop, item));
    let (price, stock) = (price?, stock?);
    Ok(Json(Order {
        order,
        item,
        price_cents: price.cents,
        in_stock: stock.pieces,
        warehouses: stock.warehouses,
    }))
}

async fn fetch_price(shop: &Shop, item: u32) -> Result<Quote, BoxError> {
    let url = format!("{}/quotes/{item}", shop.upstream_url);
    Ok(shop
        .http
        .get(url)
        .send()
        .await?
        .error_for_status()?
        .json()
        .await?)
}

async fn load_stock(shop: &Shop, item: u32) -> Result<Stock, BoxError> {
    let warehouse = Arc::clone(&shop.warehouse);
    tokio::task::spawn_blocking(move || warehouse.query_stock(item)).await?
}

/// Whatever went wrong behind the shop: an answer 500 to the customer.
struct Failure(BoxError);

impl From<BoxError> for Failure {
    fn from(error: BoxError) -> Self {
        Self(error)
    }
}

impl IntoResponse for Failure {
    fn into_response(self) -> Response {
        (StatusCode::INTERNAL_SERVER_ERROR, self.0.to_string()).into_response()
    }
}
