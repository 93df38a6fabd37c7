//! Makes labels of `tracing`'s spans.
//!
//! ```
//! use tracing_subscriber::prelude::*;
//!
//! let subscriber = tracing_subscriber::registry().with(asyncprof::tracing::SpanLabels::new());
//! # let _guard =
//! subscriber.set_default(); // or `init()`
//! ```

use std::cell::Cell;

use tracing_core::Subscriber;
use tracing_core::span::Id;
use tracing_subscriber::layer::{Context, Layer};
use tracing_subscriber::registry::LookupSpan;

use crate::linked::agent;
use crate::{label, unlabel};

const SPAN: &str = "span";

/// Labels tasks with the name of the span that they are in: the innermost that was entered and is not closed. A span
/// that is left while its future is suspended (`Instrument`) goes on labelling its task.
///
/// A change of a label begins a new piece of work: where work is counted too, count it in the span that is the request.
///
/// ```
/// use tracing_subscriber::prelude::*;
///
/// # let _guard =
/// tracing_subscriber::registry().with(asyncprof::tracing::SpanLabels::new())
/// #   .set_default(); /*
///     .init();
/// # */
/// tracing::info_span!("order").in_scope(|| {
///     // labelled `span = order`
/// });
/// ```
#[derive(Clone, Copy, Debug, Default)]
#[non_exhaustive]
pub struct SpanLabels;

impl SpanLabels {
    /// A layer for any subscriber that is a registry of spans.
    ///
    /// ```
    /// use tracing_subscriber::prelude::*;
    ///
    /// let labelled = tracing_subscriber::registry().with(asyncprof::tracing::SpanLabels::new());
    /// ```
    pub fn new() -> SpanLabels {
        SpanLabels
    }
}

thread_local! {
    /// The span that was entered last on this thread.
    static ENTERED: Cell<Option<u64>> = const { Cell::new(None) };
}

impl<S: Subscriber + for<'a> LookupSpan<'a>> Layer<S> for SpanLabels {
    fn on_enter(&self, id: &Id, spans: Context<'_, S>) {
        if agent().is_some()
            && let Some(span) = spans.span(id)
        {
            let _ = ENTERED.try_with(|entered| entered.set(Some(id.into_u64())));
            label(SPAN, span.name());
        }
    }

    fn on_close(&self, id: Id, spans: Context<'_, S>) {
        if agent().is_none() {
            return;
        }
        let parent = spans.span(&id).and_then(|span| span.parent());
        let outer = parent.as_ref().map(|span| span.id().into_u64());
        // One that is closed elsewhere, by whoever held it last, says nothing of the task that is polled there.
        let is_innermost = ENTERED.try_with(|entered| {
            let is_innermost = entered.get() == Some(id.into_u64());
            if is_innermost {
                entered.set(outer);
            }
            is_innermost
        });
        if is_innermost == Ok(true) {
            match parent {
                Some(span) => label(SPAN, span.name()),
                None => unlabel(SPAN),
            }
        }
    }
}
