//! The waiting room, as the host sees it.

use axum::Json;
use axum::extract::rejection::PathRejection;
use axum::extract::{Path, State};
use axum::http::{HeaderMap, StatusCode};
use jiff::Timestamp;
use sluice_types::ids::{HostKey, MeetingId, ParticipantId};
use sluice_types::rest::WaitingParticipant;

use super::auth::{HOST_KEY_HEADER, MaybeCaller, is_host_key};
use super::meetings::blocking;
use super::problem::Problem;
use crate::state::Shared;
use crate::store::StoredWaiting;

/// The caller must be the meeting's tenant or show its host key.
async fn authorize(
    shared: &Shared,
    id: &MeetingId,
    caller: MaybeCaller,
    headers: &HeaderMap,
) -> Result<(), Problem> {
    let looked_up = id.clone();
    let meeting = blocking(shared, move |store| store.meeting(&looked_up))
        .await?
        .ok_or_else(|| Problem::not_found("no such meeting"))?;
    let key: Option<HostKey> = headers
        .get(HOST_KEY_HEADER)
        .and_then(|value| value.to_str().ok()?.parse().ok());
    if key.is_some_and(|key| is_host_key(&meeting, &key)) {
        return Ok(());
    }
    let Some(caller) = caller.0 else {
        return Err(Problem::unauthorized(
            "an API token or X-Sluice-Host-Key is needed",
        ));
    };
    if caller.back_end()?.tenant == meeting.tenant {
        Ok(())
    } else {
        Err(Problem::not_found("no such meeting"))
    }
}

/// `GET /v1/meetings/{id}/waiting`.
pub(super) async fn list(
    State(shared): State<Shared>,
    id: Result<Path<MeetingId>, PathRejection>,
    caller: MaybeCaller,
    headers: HeaderMap,
) -> Result<Json<Vec<WaitingParticipant>>, Problem> {
    let Path(id) = id?;
    authorize(&shared, &id, caller, &headers).await?;
    let registry = shared.registry();
    let waiting = registry.waiting(&id).map(|(participant, waiting)| {
        let since = i64::try_from(waiting.since_ms).unwrap_or(i64::MAX);
        WaitingParticipant {
            participant_id: participant.clone(),
            name: waiting.name.clone(),
            since: Timestamp::from_millisecond(since)
                .map(|at| at.to_string())
                .unwrap_or_default(),
        }
    });
    Ok(Json(waiting.collect()))
}

/// Has other coordinators know of one who waits, when they were not told for a while.
pub(super) async fn tell_others(
    shared: &Shared,
    id: &MeetingId,
    participant: &ParticipantId,
) -> Result<(), Problem> {
    let news = (shared.registry()).waiting_to_tell(shared.now(), id, participant);
    let Some((name, since_ms, admitted)) = news else {
        return Ok(());
    };
    let waiting = StoredWaiting {
        meeting: id.clone(),
        participant: participant.clone(),
        name,
        since_ms,
        admitted,
    };
    blocking(shared, move |store| store.keep_waiting(&waiting)).await
}

async fn decide(
    shared: &Shared,
    path: Result<Path<(MeetingId, ParticipantId)>, PathRejection>,
    caller: MaybeCaller,
    headers: &HeaderMap,
    admitted: bool,
) -> Result<StatusCode, Problem> {
    let Path((id, participant)) = path?;
    authorize(shared, &id, caller, headers).await?;
    let known = shared.registry().admit(&id, &participant, admitted);
    if known {
        tell_others(shared, &id, &participant).await?;
        shared.webhooks.decided(&id, &participant, admitted);
        Ok(StatusCode::NO_CONTENT)
    } else {
        Err(Problem::not_found("nobody of that id waits"))
    }
}

/// `POST /v1/meetings/{id}/waiting/{participant}/admit`.
pub(super) async fn admit(
    State(shared): State<Shared>,
    path: Result<Path<(MeetingId, ParticipantId)>, PathRejection>,
    caller: MaybeCaller,
    headers: HeaderMap,
) -> Result<StatusCode, Problem> {
    decide(&shared, path, caller, &headers, true).await
}

/// `POST /v1/meetings/{id}/waiting/{participant}/deny`.
pub(super) async fn deny(
    State(shared): State<Shared>,
    path: Result<Path<(MeetingId, ParticipantId)>, PathRejection>,
    caller: MaybeCaller,
    headers: HeaderMap,
) -> Result<StatusCode, Problem> {
    decide(&shared, path, caller, &headers, false).await
}
