//! Who may come in, and how often.

use std::net::SocketAddr;
use std::time::Instant;

use axum::extract::{ConnectInfo, Request, State};
use axum::http::header;
use axum::middleware::Next;
use axum::response::Response;
use sluice_guard::network;

use super::{App, problem};

/// Refuses those whose address may not come.
pub(super) async fn right_address(
    State(app): State<App>,
    ConnectInfo(from): ConnectInfo<SocketAddr>,
    request: Request,
    next: Next,
) -> Response {
    if app.config.client_addresses.allows(from.ip()) {
        return next.run(request).await;
    }
    metrics::counter!("sluice_edge_address_refused_total").increment(1);
    let detail = "nobody may come to this edge from this address";
    problem(403, "address-refused", detail)
}

/// Refuses those who begin sessions too often, before their tokens are looked at.
pub(super) async fn not_too_often(
    State(app): State<App>,
    ConnectInfo(from): ConnectInfo<SocketAddr>,
    request: Request,
    next: Next,
) -> Response {
    let rate = app.config.sessions_per_address;
    let taken = app.sessions.take(network(from.ip()), rate, Instant::now());
    let Err(wait) = taken else {
        return next.run(request).await;
    };
    metrics::counter!("sluice_edge_rate_limited_total").increment(1);
    let detail = "this address begins too many sessions";
    let mut response = problem(429, "too-many-requests", detail);
    let seconds = wait.as_secs() + 1;
    let fields = response.headers_mut();
    fields.insert(header::RETRY_AFTER, seconds.into());
    response
}
