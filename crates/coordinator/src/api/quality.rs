//! How a meeting went, for those who are asked why it was bad.

use axum::Json;
use axum::extract::rejection::{PathRejection, QueryRejection};
use axum::extract::{Path, Query, State};
use serde::Deserialize;
use sluice_types::access::Role;
use sluice_types::ids::{MeetingId, ParticipantId};
use sluice_types::quality::MeetingQuality;

use super::auth::Caller;
use super::meetings::blocking;
use super::problem::{Problem, field};
use crate::state::Shared;

/// How many reports an answer has, unless the caller says, and at most.
const REPORTS: usize = 2_000;
const REPORTS_MAX: usize = 20_000;

/// Of whom, and how much.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct QualityQuery {
    participant: Option<ParticipantId>,
    reports: Option<usize>,
}

/// `GET /v1/meetings/{id}/quality`.
pub(super) async fn read(
    State(shared): State<Shared>,
    caller: Caller,
    id: Result<Path<MeetingId>, PathRejection>,
    query: Result<Query<QualityQuery>, QueryRejection>,
) -> Result<Json<MeetingQuality>, Problem> {
    let Path(id) = id?;
    let Query(query) = query?;
    let reports = query.reports.unwrap_or(REPORTS);
    if !(1..=REPORTS_MAX).contains(&reports) {
        return Err(Problem::fields(vec![field(
            "reports",
            reports,
            "1 to 20000",
        )]));
    }
    let looked_up = id.clone();
    let meeting = blocking(&shared, move |store| store.meeting(&looked_up)).await?;
    let meeting = meeting
        .filter(|meeting| meeting.tenant == caller.tenant || is_operator(&caller))
        .ok_or_else(|| Problem::not_found("no such meeting"))?;
    if let Some(grants) = &caller.grants
        && (grants.meeting != meeting.id || grants.role != Role::Host)
    {
        return Err(Problem::forbidden(
            "a user token reads the quality of its own meeting, and only as `host`",
        ));
    }
    let reading = shared.clone();
    let read = blocking(&shared, move |_| {
        let only = query.participant.as_ref();
        reading.quality.read(&id, only, reports)
    });
    Ok(Json(read.await?))
}

fn is_operator(caller: &Caller) -> bool {
    caller.ops && caller.grants.is_none()
}
