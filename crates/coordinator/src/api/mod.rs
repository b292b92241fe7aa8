//! REST, version 1.

mod admission;
mod auth;
mod body;
mod client;
mod explain;
mod join;
mod limit;
mod live;
mod meetings;
mod openapi;
mod ops;
mod page;
mod problem;
mod quality;
mod revocations;
mod topology;
mod waiting;

use std::time::Duration;

use axum::Router;
use axum::extract::{DefaultBodyLimit, State};
use axum::http::header;
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use tower_http::cors::{AllowHeaders, AllowMethods, Any, CorsLayer};

pub(crate) use self::limit::Limiter;
use self::problem::Problem;
use crate::state::Shared;
use crate::topology::BYTES_MAX;

/// The longest body, in bytes.
const BODY_BYTES_MAX: usize = 64 * 1024;

/// Every route of the coordinator.
pub(crate) fn router(shared: Shared) -> Router {
    Router::new()
        .route("/v1/meetings", post(meetings::create).get(meetings::list))
        .route(
            "/v1/meetings/{id}",
            get(meetings::read)
                .patch(meetings::change)
                .delete(meetings::end),
        )
        .route("/v1/meetings/{id}/join", post(join::join))
        .route("/v1/meetings/{id}/whip", post(join::whip))
        .route("/v1/meetings/{id}/explain", get(explain::explain))
        .route("/v1/meetings/{id}/quality", get(quality::read))
        .route("/v1/meetings/{id}/waiting", get(waiting::list))
        .route(
            "/v1/meetings/{id}/waiting/{participant}/admit",
            post(waiting::admit),
        )
        .route(
            "/v1/meetings/{id}/waiting/{participant}/deny",
            post(waiting::deny),
        )
        .route("/v1/usage", get(meetings::usage))
        .route("/v1/ops/state", get(ops::state))
        .route("/v1/ops/edges/{edge}/drain", post(ops::drain))
        .route(
            "/v1/ops/revocations",
            get(revocations::list)
                .post(revocations::revoke)
                .delete(revocations::lift),
        )
        .route("/v1/ops/audit", get(ops::audit))
        .route("/v1/ops/live", get(live::live))
        .route("/ops", get(page::moved))
        .route("/ops/", get(page::file))
        .route("/ops/{file}", get(page::file))
        .route(
            "/v1/ops/topology",
            get(topology::history)
                .post(topology::put)
                // Its files as JSON strings, whose quotes and line ends take two bytes.
                .layer(DefaultBodyLimit::max(2 * BYTES_MAX)),
        )
        .route("/v1/ops/topology/rollback", post(topology::back))
        .route("/v1/ops/topology/{version}", get(topology::files))
        .route("/.well-known/jwks.json", get(jwks))
        .route("/openapi.json", get(openapi::document))
        .route("/docs", get(openapi::page))
        .route("/docs.js", get(openapi::script))
        .route("/healthz", get(|| async { "ok\n" }))
        .route("/readyz", get(ready))
        .route(
            "/metrics",
            get(|State(shared): State<Shared>| async move { shared.metrics.render() }),
        )
        .fallback(|| async { Problem::not_found("there is no such route") })
        .method_not_allowed_fallback(|| async { Problem::method_not_allowed() })
        .layer(axum::middleware::from_fn_with_state(
            shared.clone(),
            limit::by_caller,
        ))
        .layer(DefaultBodyLimit::max(BODY_BYTES_MAX))
        .layer(cors())
        .with_state(shared)
}

/// Pages of any origin may call: tokens, never cookies, say who they are.
fn cors() -> CorsLayer {
    CorsLayer::new()
        .allow_origin(Any)
        .allow_methods(AllowMethods::mirror_request())
        .allow_headers(AllowHeaders::mirror_request())
        .expose_headers([header::LOCATION, header::RETRY_AFTER])
        .max_age(Duration::from_secs(3_600))
}

async fn jwks(State(shared): State<Shared>) -> Response {
    let fields = [
        ("content-type", "application/jwk-set+json"),
        ("cache-control", "public, max-age=300"),
    ];
    (fields, shared.signer().jwks().to_owned()).into_response()
}

/// Ready: somebody could be sent to an edge.
async fn ready(State(shared): State<Shared>) -> Response {
    let edges = shared.registry().edges().count();
    if edges == 0 {
        Problem::unavailable("no edge is registered").into_response()
    } else {
        "ready\n".into_response()
    }
}
