//! The edge's HTTP listener: the page, signalling, WHIP, health and metrics.

mod door;
mod page;
mod whip;

use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::SystemTime;

use axum::extract::{DefaultBodyLimit, State};
use axum::http::{HeaderValue, StatusCode, header};
use axum::middleware::from_fn_with_state;
use axum::response::{IntoResponse, Response};
use axum::routing::{delete, get, post};
use axum::{Json, Router};
use metrics_exporter_prometheus::PrometheusHandle;
use sluice_guard::Rates;
use sluice_trace::{Trace, Tracing};
use sluice_types::access::JoinClaims;
use sluice_types::rest::Problem;
use tower_http::cors::CorsLayer;
use tower_http::set_header::SetResponseHeaderLayer;

use crate::config::EdgeConfig;
use crate::hub::HubHandle;
use crate::signal::{Keyring, upgrade};

/// The longest body, in bytes: an SDP offer.
const BODY_BYTES_MAX: usize = 256 * 1024;

/// What handlers share.
#[derive(Clone)]
pub struct App {
    /// The hub.
    pub hub: HubHandle,
    /// The keys of join tokens.
    pub keyring: Keyring,
    /// The configuration.
    pub config: Arc<EdgeConfig>,
    /// The coordinator's public endpoint, once it has told.
    pub coordinator_url: Arc<std::sync::RwLock<Option<String>>>,
    /// Renders the metrics.
    pub metrics: PrometheusHandle,
    /// The edge goes away.
    pub draining: Arc<AtomicBool>,
    /// How often addresses began sessions.
    pub sessions: Arc<Rates<IpAddr>>,
    /// Traces of joins that coordinators began.
    pub tracing: Tracing,
}

impl App {
    /// What follows the trace of who came at `at` with these claims.
    pub(crate) fn follow(&self, claims: &JoinClaims, at: SystemTime) -> Trace {
        let mut trace = self.tracing.follow(claims.trace, "session", at);
        trace.say("sluice.meeting", &claims.meeting_id);
        trace.say("sluice.participant", &claims.participant_id);
        trace.say("sluice.edge", &self.config.edge);
        trace.say("sluice.region", &self.config.region);
        trace
    }
}

/// A problem document (RFC 9457).
pub(crate) fn problem(status: u16, kind: &str, detail: &str) -> Response {
    let status = StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let body = Problem {
        kind: format!("https://sluice.dev/problems/{kind}"),
        title: kind.replace('-', " "),
        status: status.as_u16(),
        detail: Some(detail.to_owned()),
        errors: Vec::new(),
    };
    let mut response = (status, Json(body)).into_response();
    response.headers_mut().insert(
        header::CONTENT_TYPE,
        HeaderValue::from_static("application/problem+json"),
    );
    response
}

/// Every route of an edge.
pub fn router(app: App) -> Router {
    let header =
        |name, value| SetResponseHeaderLayer::if_not_present(name, HeaderValue::from_static(value));
    Router::new()
        .route("/v1/signal", get(upgrade))
        .route("/v1/whip/{meeting}", post(whip::publish))
        .route_layer(from_fn_with_state(app.clone(), door::not_too_often))
        .route("/v1/whip/{meeting}/{secret}", delete(whip::end))
        // WHIP clients are pages of other origins; tokens, not cookies, let them in.
        .layer(CorsLayer::very_permissive())
        .route("/config.json", get(page::config))
        .route("/healthz", get(|| async { "ok\n" }))
        .route("/readyz", get(ready))
        .route(
            "/metrics",
            get(|State(app): State<App>| async move { app.metrics.render() }),
        )
        .fallback(get(page::file))
        .layer(from_fn_with_state(app.clone(), door::right_address))
        .layer(DefaultBodyLimit::max(BODY_BYTES_MAX))
        .layer(header(header::X_CONTENT_TYPE_OPTIONS, "nosniff"))
        .layer(header(header::REFERRER_POLICY, "no-referrer"))
        .with_state(app)
}

/// Ready: tokens can be verified, and newcomers are welcome.
async fn ready(State(app): State<App>) -> Response {
    if app.draining.load(Ordering::Relaxed) {
        problem(503, "draining", "this edge is going away")
    } else if app.keyring.is_ready() {
        "ready\n".into_response()
    } else {
        problem(503, "not-registered", "no keys from the coordinator yet")
    }
}
