//! The service itself: for an order it has two things to wait for and waits for both at once; a price is one of them.

use std::io;
use std::sync::Arc;

use axum::extract::{MatchedPath, Path, Request, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::{Json, Router};
use serde::Serialize;
use tokio::net::TcpListener;

use super::BoxError;
use super::stock::{self, Stock, Warehouse};
use super::upstream::Quote;
use crate::tower::WorkLayer;

/// What a customer who orders gets.
#[derive(Serialize)]
struct Order {
    order: u64,
    item: u32,
    price_cents: u64,
    in_stock: i64,
    warehouses: u32,
}

/// What a customer who only looks gets.
#[derive(Serialize)]
struct Price {
    item: u32,
    price_cents: u64,
}

/// What every request needs.
#[derive(Clone)]
pub(super) struct Shop {
    warehouse: Arc<Warehouse>,
    http: reqwest::Client,
    upstream_url: Arc<str>,
}

impl Shop {
    pub(super) fn new(warehouse: Warehouse, upstream_url: &str) -> Result<Self, BoxError> {
        // A connection for each quote: the one that waits for a price is then a task of that name and length,
        // not one that mostly idles until somebody needs it.
        let http = reqwest::Client::builder()
            .no_proxy()
            .pool_max_idle_per_host(0)
            .build()?;
        Ok(Self {
            warehouse: Arc::new(warehouse),
            http,
            upstream_url: upstream_url.into(),
        })
    }

    /// Answers whoever connects; ends only if dropped.
    pub(super) async fn serve(self, listener: TcpListener, is_instrumented: bool) -> io::Result<()> {
        let routes = Router::new()
            .route("/orders/{order}", get(get_order))
            .route("/prices/{item}", get(get_price));
        let routes = match is_instrumented {
            true => routes.route_layer(WorkLayer::new(route)),
            false => routes,
        };
        axum::serve(listener, routes.with_state(self)).await
    }
}

fn route(request: &Request) -> Option<String> {
    let path = request.extensions().get::<MatchedPath>()?;
    Some(path.as_str().to_owned())
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

async fn get_price(State(shop): State<Shop>, Path(item): Path<u32>) -> Result<Json<Price>, Failure> {
    let price_cents = fetch_price(&shop, item).await?.cents;
    Ok(Json(Price { item, price_cents }))
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
