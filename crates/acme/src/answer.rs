//! The listener at which the authority asks (HTTP-01, RFC 8555, section 8.3).

use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;

use axum::Router;
use axum::extract::{Path, State};
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse as _, Response};
use axum::routing::get;
use sluice_guard::{ConnectionBounds, Connections, Gate, be_impatient};
use tokio_util::task::AbortOnDropHandle;

use crate::keeper::AcmeError;

/// Connections at once. An authority asks a few times for each name; what comes beyond is closed, and
/// an order that fails thereby is tried again.
const CONNECTIONS: ConnectionBounds = ConnectionBounds {
    all: 256,
    per_network: 32,
};

/// The longest token, in characters: authorities use 22 or 43.
const TOKEN_CHARS_MAX: usize = 128;

/// Answers for as long as it is held. Any token is answered, whoever ordered: what is said is that the
/// holder of the account key may have certificates of the names that lead here, no more.
///
/// # Errors
/// When nothing can listen there.
pub(crate) fn answer(
    listen: SocketAddr,
    thumbprint: &str,
) -> Result<AbortOnDropHandle<()>, AcmeError> {
    let failed = |source| AcmeError::Listen {
        address: listen,
        source,
    };
    let listener = TcpListener::bind(listen).map_err(failed)?;
    listener.set_nonblocking(true).map_err(failed)?;
    let app = Router::new()
        .route("/.well-known/acme-challenge/{token}", get(authorization))
        .with_state(Arc::<str>::from(thumbprint));
    let connections = Connections::new(CONNECTIONS);
    let mut server = axum_server::from_tcp(listener)
        .map_err(failed)?
        .map(|plain| Gate::new(plain, connections));
    be_impatient(&mut server);
    let serving = tokio::spawn(async move {
        if let Err(error) = server.serve(app.into_make_service()).await {
            tracing::error!(%error, "nobody answers the ACME authority any more");
        }
    });
    Ok(AbortOnDropHandle::new(serving))
}

async fn authorization(State(thumbprint): State<Arc<str>>, Path(token): Path<String>) -> Response {
    let fits = (1..=TOKEN_CHARS_MAX).contains(&token.len())
        && token
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_');
    if !fits {
        return StatusCode::NOT_FOUND.into_response();
    }
    let kind = [
        (header::CONTENT_TYPE, "application/octet-stream"),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
    ];
    (kind, format!("{token}.{thumbprint}")).into_response()
}
