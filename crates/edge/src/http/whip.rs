//! WHIP (RFC 9725): one POST of an offer publishes, one DELETE ends it.

use std::time::SystemTime;

use axum::extract::{Path, Query, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::Deserialize;
use sluice_types::access::JoinClaims;
use sluice_types::ids::{MeetingId, ResumeToken};

use super::{App, problem};
use crate::hub::HubCommand;
use crate::signal::{TokenError, bearer};

/// Where a token may stand besides the header, for a redirect from the coordinator.
#[derive(Debug, Deserialize)]
pub(super) struct TokenQuery {
    token: Option<String>,
}

#[expect(clippy::result_large_err, reason = "the error is the response")]
fn claims(
    app: &App,
    meeting: &MeetingId,
    query: &TokenQuery,
    headers: &HeaderMap,
) -> Result<JoinClaims, Response> {
    let unauthorized =
        |error: TokenError| problem(error.status(), error.kind(), &error.to_string());
    let token = query
        .token
        .as_deref()
        .or_else(|| bearer(headers))
        .ok_or_else(|| unauthorized(TokenError::Missing))?;
    let claims = app.keyring.verify(token).map_err(unauthorized)?;
    if claims.meeting_id == *meeting {
        Ok(claims)
    } else {
        Err(unauthorized(TokenError::OtherMeeting))
    }
}

/// `POST /v1/whip/{meeting}`.
pub(super) async fn publish(
    State(app): State<App>,
    Path(meeting): Path<MeetingId>,
    Query(query): Query<TokenQuery>,
    headers: HeaderMap,
    offer: String,
) -> Response {
    let claims = match claims(&app, &meeting, &query, &headers) {
        Ok(claims) => claims,
        Err(response) => return response,
    };
    let is_sdp = headers
        .get(header::CONTENT_TYPE)
        .is_some_and(|kind| kind.as_bytes().starts_with(b"application/sdp"));
    if !is_sdp {
        return problem(415, "unsupported-media-type", "allowed: application/sdp");
    }
    let trace = app.follow(&claims, SystemTime::now());
    match app.hub.publish(claims, offer, trace).await {
        Some(Ok((answer, secret))) => {
            let location = format!("/v1/whip/{meeting}/{secret}");
            let fields = [
                (header::CONTENT_TYPE, "application/sdp".to_owned()),
                (header::LOCATION, location),
                (header::ACCESS_CONTROL_EXPOSE_HEADERS, "Location".to_owned()),
            ];
            (StatusCode::CREATED, fields, answer).into_response()
        }
        Some(Err(refusal)) => problem(refusal.status, refusal.kind, &refusal.detail),
        None => problem(503, "draining", "this edge is going away"),
    }
}

/// `DELETE` of the resource that the POST made. Its address is the secret that proves it is the
/// publisher's: the token may have expired long since.
pub(super) async fn end(
    State(app): State<App>,
    Path((meeting, secret)): Path<(MeetingId, ResumeToken)>,
) -> Response {
    match app.hub.find_session(secret).await {
        Some((room, participant)) if room == meeting => {
            let leave = HubCommand::Leave { room, participant };
            // The hub is gone when this fails, and the participant with it.
            let _ = app.hub.send(leave).await;
            StatusCode::OK.into_response()
        }
        _ => problem(404, "not-found", "no such WHIP resource"),
    }
}
