//! Labels and counts the requests of a `tower` service.
//!
//! With axum, whose routes are known where a `route_layer` runs:
//!
//! ```
//! use asyncprof::tower::WorkLayer;
//! use axum::Router;
//! use axum::extract::{MatchedPath, Request};
//! use axum::routing::get;
//!
//! fn route(request: &Request) -> Option<String> {
//!     let path = request.extensions().get::<MatchedPath>()?;
//!     Some(path.as_str().to_owned())
//! }
//!
//! let app: Router = Router::new()
//!     .route("/users/{id}", get(async || "hello"))
//!     .route_layer(WorkLayer::new(route));
//! ```

use std::pin::Pin;
use std::task::{Context, Poll};

use tower_layer::Layer;
use tower_service::Service;

use crate::linked::agent;
use crate::{label, unlabel, work};

/// The key of the label that a [`WorkLayer`] gives.
pub const ROUTE: &str = "route";

/// Labels the task of each request with its `route`, until the service has its answer, and counts that as one unit of
/// work.
///
/// What a server does for a connection between requests, and the sending of a body after the answer's head, is not
/// labelled. A request whose future is dropped before it is answered does not count as work.
///
/// ```
/// use asyncprof::tower::WorkLayer;
/// use tower_layer::Layer;
/// # #[derive(Clone)]
/// # struct Echo;
/// # struct Request { path: String }
///
/// let echo = WorkLayer::new(|request: &Request| Some(request.path.clone())).layer(Echo);
/// ```
#[derive(Clone, Debug)]
pub struct WorkLayer<R> {
    route: R,
}

impl<R> WorkLayer<R> {
    /// `route` tells a request's route, such as `/users/{id}`, if it is to be labelled. It is only called while
    /// somebody records.
    ///
    /// ```
    /// // One kind of job: all have the same label.
    /// let layer = asyncprof::tower::WorkLayer::new(|_: &Vec<u8>| Some("job"));
    /// ```
    pub fn new(route: R) -> WorkLayer<R> {
        WorkLayer { route }
    }
}

impl<R: Clone, S> Layer<S> for WorkLayer<R> {
    type Service = WorkService<R, S>;

    fn layer(&self, service: S) -> WorkService<R, S> {
        WorkService {
            route: self.route.clone(),
            service,
        }
    }
}

/// The service that [`WorkLayer`] makes: as the one inside, for requests whose route can be told.
///
/// ```
/// use std::convert::Infallible;
/// use std::future::{Ready, ready};
/// use std::task::{Context, Poll};
///
/// use asyncprof::tower::{WorkLayer, WorkService};
/// use tower_layer::Layer;
/// use tower_service::Service;
///
/// struct Length;
///
/// impl Service<String> for Length {
///     type Response = usize;
///     type Error = Infallible;
///     type Future = Ready<Result<usize, Infallible>>;
///
///     fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
///         Poll::Ready(Ok(()))
///     }
///
///     fn call(&mut self, request: String) -> Self::Future {
///         ready(Ok(request.len()))
///     }
/// }
///
/// let mut service: WorkService<_, Length> = WorkLayer::new(|_: &String| Some("length")).layer(Length);
/// assert_eq!(futures_executor::block_on(service.call("four".into())), Ok(4));
/// ```
#[derive(Clone, Debug)]
pub struct WorkService<R, S> {
    route: R,
    service: S,
}

impl<R, S, Request, T> Service<Request> for WorkService<R, S>
where
    S: Service<Request>,
    R: Fn(&Request) -> Option<T>,
    T: AsRef<str>,
{
    type Response = S::Response;
    type Error = S::Error;
    type Future = WorkFuture<S::Future>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.service.poll_ready(cx)
    }

    fn call(&mut self, request: Request) -> WorkFuture<S::Future> {
        let is_recorded = agent().is_some();
        if is_recorded && let Some(route) = (self.route)(&request) {
            label(ROUTE, route.as_ref());
        }
        WorkFuture {
            future: self.service.call(request),
            is_open: is_recorded,
        }
    }
}

/// The answer to a request, to come: what a [`WorkService`] returns.
///
/// ```
/// use asyncprof::tower::{WorkFuture, WorkService};
/// use tower_service::Service;
///
/// fn ask<R, S, T>(service: &mut WorkService<R, S>, request: String) -> WorkFuture<S::Future>
/// where
///     S: Service<String>,
///     R: Fn(&String) -> Option<T>,
///     T: AsRef<str>,
/// {
///     service.call(request)
/// }
/// ```
#[derive(Debug)]
#[must_use = "futures do nothing unless polled"]
pub struct WorkFuture<F> {
    future: F,
    /// It was labelled, and is not answered yet.
    is_open: bool,
}

impl<F: Future> Future for WorkFuture<F> {
    type Output = F::Output;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<F::Output> {
        // SAFETY: the future is not moved out of here, nor is it dropped other than in its place; the rest may move.
        let (future, is_open) = unsafe {
            let this = self.get_unchecked_mut();
            (Pin::new_unchecked(&mut this.future), &mut this.is_open)
        };
        let polled = future.poll(cx);
        if polled.is_ready() && std::mem::take(is_open) {
            work(1);
            unlabel(ROUTE);
        }
        polled
    }
}

impl<F> Drop for WorkFuture<F> {
    fn drop(&mut self) {
        if self.is_open {
            unlabel(ROUTE);
        }
    }
}
