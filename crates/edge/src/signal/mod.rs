//! Signalling: one WebSocket for each participant, JSON envelopes both ways.

mod frames;
mod keyring;
mod socket;
mod upgrade;

use std::time::SystemTime;

use axum::extract::{Query, State};
use axum::http::{HeaderMap, header};
use axum::response::Response;
use serde::Deserialize;
use sluice_trace::Trace;
use sluice_types::ids::{MeetingId, ResumeToken};
use sluice_types::signal::{RESUME_SUBPROTOCOL, SUBPROTOCOL, TOKEN_SUBPROTOCOL};

pub use self::keyring::{Keyring, TokenError};
use self::socket::{Opening, serve};
use self::upgrade::Upgrade;
use crate::http::{App, problem};

/// What may stand in the query of the upgrade.
#[derive(Debug, Default, Deserialize)]
pub(crate) struct SignalQuery {
    /// The meeting that the client means to enter; the token must be for it.
    meeting: Option<MeetingId>,
}

/// The bearer token of a request (RFC 6750, section 2.1).
pub(crate) fn bearer(headers: &HeaderMap) -> Option<&str> {
    headers
        .get(header::AUTHORIZATION)?
        .to_str()
        .ok()?
        .strip_prefix("Bearer ")
}

/// The rest of the first offered subprotocol that begins with `prefix`.
fn subprotocol<'a>(headers: &'a HeaderMap, prefix: &str) -> Option<&'a str> {
    headers
        .get_all(header::SEC_WEBSOCKET_PROTOCOL)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .find_map(|offered| offered.trim().strip_prefix(prefix))
}

/// `GET /v1/signal`: verifies the token, then upgrades.
pub(crate) async fn upgrade(
    State(app): State<App>,
    Query(query): Query<SignalQuery>,
    headers: HeaderMap,
    upgrade: Upgrade,
) -> Response {
    let at = SystemTime::now();
    let opening = match opening(&app, &query, &headers).await {
        Ok(opening) => opening,
        Err(error) => {
            metrics::counter!("sluice_edge_signal_refused_total").increment(1);
            tracing::debug!(%error, "an upgrade is refused");
            return problem(error.status(), error.kind(), &error.to_string());
        }
    };
    let trace = match &opening {
        Opening::Join(claims) => app.follow(claims, at),
        Opening::Resume { .. } => Trace::none(),
    };
    upgrade.accept(&headers, SUBPROTOCOL, move |frames| {
        serve(frames, opening, trace, app)
    })
}

async fn opening(
    app: &App,
    query: &SignalQuery,
    headers: &HeaderMap,
) -> Result<Opening, TokenError> {
    if let Some(secret) = subprotocol(headers, RESUME_SUBPROTOCOL) {
        let token: ResumeToken = secret.parse().map_err(|_| TokenError::NotSigned)?;
        let (room, participant) = app
            .hub
            .find_session(token)
            .await
            .ok_or(TokenError::Expired)?;
        return Ok(Opening::Resume { room, participant });
    }
    let token = bearer(headers)
        .or_else(|| subprotocol(headers, TOKEN_SUBPROTOCOL))
        .ok_or(TokenError::Missing)?;
    let claims = app.keyring.verify(token)?;
    if query
        .meeting
        .as_ref()
        .is_some_and(|meeting| *meeting != claims.meeting_id)
    {
        return Err(TokenError::OtherMeeting);
    }
    Ok(Opening::Join(Box::new(claims)))
}
