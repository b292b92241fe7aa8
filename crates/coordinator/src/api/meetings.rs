//! Meetings: created, read, changed, ended.

use axum::Json;
use axum::extract::rejection::{PathRejection, QueryRejection};
use axum::extract::{Path, Query, State};
use axum::http::StatusCode;
use jiff::Timestamp;
use serde::Deserialize;
use serde_json::json;
use sluice_types::ids::{HostKey, Invite, MeetingId, RegionName};
use sluice_types::rest::{
    CreateMeeting, FieldError, Meeting, MeetingPage, MeetingSettings, MeetingStatus,
    PARTICIPANTS_MAX, PatchMeeting, TITLE_CHARS_MAX,
};
use sluice_types::topology::Topology;

use super::auth::{Caller, host_key_digest};
use super::body::Body;
use super::problem::{Problem, field};
use crate::planner;
use crate::registry::residency;
use crate::state::{Shared, wall_ms};
use crate::store::{Page, StoredMeeting};
use crate::webhooks::{EventKind, rfc3339};

/// How many meetings one page has, unless the caller says.
const PAGE: usize = 50;
const PAGE_MAX: usize = 200;

/// Random bytes for an id. Without randomness no id could be given at all.
pub(super) fn random<const N: usize>() -> Result<[u8; N], Problem> {
    let mut bytes = [0; N];
    getrandom::fill(&mut bytes).map_err(|error| Problem::internal(&error))?;
    Ok(bytes)
}

/// Runs a blocking call of the store where it holds nobody up.
pub(super) async fn blocking<T: Send + 'static>(
    shared: &Shared,
    call: impl FnOnce(&dyn crate::store::Store) -> Result<T, crate::store::StoreError> + Send + 'static,
) -> Result<T, Problem> {
    let store = shared.store().clone();
    tokio::task::spawn_blocking(move || call(&*store))
        .await
        .map_err(|error| Problem::internal(&error))?
        .map_err(Problem::from)
}

/// The lists of regions name regions of the mesh, and leave one that the mesh allows.
fn check_regions(topology: &Topology, settings: &MeetingSettings, errors: &mut Vec<FieldError>) {
    let names = |wanted: &dyn Fn(&RegionName) -> bool| {
        let regions = topology.regions().iter().map(|region| region.name());
        let names: Vec<_> = regions
            .filter(|name| wanted(name))
            .map(RegionName::as_str)
            .collect();
        names.join(", ")
    };
    let (allowed, denied) = (
        settings.regions_allowed.as_deref(),
        &*settings.regions_denied,
    );
    let lists = [
        ("regions_allowed", allowed.unwrap_or_default()),
        ("regions_denied", denied),
    ];
    let mut sound = true;
    for (key, list) in lists {
        for (index, name) in list.iter().enumerate() {
            if topology.region(name).is_none() {
                let key = format!("settings.{key}[{index}]");
                errors.push(field(&key, name, &names(&|_| true)));
                sound = false;
            }
        }
    }
    let residency = residency(topology, settings);
    if sound && names(&|name| residency.check(name).is_ok()).is_empty() {
        let (key, list) = if allowed.is_some() {
            lists[0]
        } else {
            lists[1]
        };
        let list: Vec<_> = list.iter().map(RegionName::as_str).collect();
        let policy = names(&|name| topology.region_rules().allow(name));
        let usable = format!("what leaves at least one of {policy}");
        let key = format!("settings.{key}");
        errors.push(field(&key, format!("[{}]", list.join(", ")), &usable));
    }
}

fn check(
    shared: &Shared,
    title: &str,
    scheduled_at: Option<&str>,
    settings: &MeetingSettings,
) -> Result<(), Problem> {
    let mut errors: Vec<FieldError> = Vec::new();
    if title.chars().count() > TITLE_CHARS_MAX {
        let found = format!("{} characters", title.chars().count());
        errors.push(field("title", found, "at most 200 characters"));
    }
    if let Some(at) = scheduled_at
        && at.parse::<Timestamp>().is_err()
    {
        errors.push(field(
            "scheduled_at",
            at,
            "a time as in RFC 3339, such as 2030-01-31T09:00:00Z",
        ));
    }
    if !(1..=PARTICIPANTS_MAX).contains(&settings.max_participants) {
        let found = settings.max_participants;
        errors.push(field("settings.max_participants", found, "1 to 10000"));
    }
    check_regions(shared.registry().topology(), settings, &mut errors);
    if errors.is_empty() {
        Ok(())
    } else {
        Err(Problem::fields(errors))
    }
}

fn view(shared: &Shared, meeting: StoredMeeting, host_key: Option<HostKey>) -> Meeting {
    let participants = shared.registry().participants(&meeting.id);
    let status = if meeting.ended {
        MeetingStatus::Ended
    } else if participants > 0 {
        MeetingStatus::Active
    } else {
        MeetingStatus::Idle
    };
    Meeting {
        join_url: format!("{}/m/{}/{}", shared.page_url(), meeting.id, meeting.invite),
        id: meeting.id,
        title: meeting.title,
        scheduled_at: meeting.scheduled_at,
        settings: meeting.settings,
        status,
        participants,
        created_at: rfc3339(meeting.created_at_ms),
        host_key,
    }
}

/// Tells webhooks what became of a meeting.
fn tell(shared: &Shared, kind: EventKind, meeting: &StoredMeeting) {
    if shared.webhooks.any() {
        let data = json!({ "title": meeting.title, "scheduled_at": meeting.scheduled_at });
        let tenant = Some(meeting.tenant.as_str());
        shared.webhooks.tell(kind, &meeting.id, tenant, data);
    }
}

/// `POST /v1/meetings`.
pub(super) async fn create(
    State(shared): State<Shared>,
    caller: Caller,
    Body(wanted): Body<CreateMeeting>,
) -> Result<(StatusCode, Json<Meeting>), Problem> {
    let caller = caller.back_end()?;
    check(
        &shared,
        &wanted.title,
        wanted.scheduled_at.as_deref(),
        &wanted.settings,
    )?;
    let host_key = HostKey::from_random(random()?);
    let meeting = StoredMeeting {
        id: MeetingId::from_random(random()?),
        tenant: caller.tenant.clone(),
        title: wanted.title,
        scheduled_at: wanted.scheduled_at,
        settings: wanted.settings,
        created_at_ms: wall_ms(),
        ended: false,
        invite: Invite::from_random(random()?),
        host_key_digest: host_key_digest(&host_key),
    };
    let (kept, most) = (
        meeting.clone(),
        shared.tenants.quota(&caller.tenant).meetings,
    );
    let full = blocking(&shared, move |store| {
        if store.open_meetings(&caller.tenant)? >= most {
            return Ok(true);
        }
        store.create_meeting(&kept)?;
        Ok(false)
    })
    .await?;
    if full {
        metrics::counter!("sluice_coordinator_quota_refused_total", "quota" => "quota-meetings")
            .increment(1);
        return Err(Problem::conflict(
            "too-many-meetings",
            format!("this tenant has {most} meetings that are not ended; end some first"),
        ));
    }
    metrics::counter!("sluice_coordinator_meetings_created_total").increment(1);
    tell(&shared, EventKind::MeetingCreated, &meeting);
    Ok((
        StatusCode::CREATED,
        Json(view(&shared, meeting, Some(host_key))),
    ))
}

/// `GET /v1/usage`: what the caller's tenant may have, and what it has.
pub(super) async fn usage(
    State(shared): State<Shared>,
    caller: Caller,
) -> Result<Json<serde_json::Value>, Problem> {
    let tenant = caller.back_end()?.tenant;
    let quota = shared.tenants.quota(&tenant);
    let (participants, bitrate_mbps, minutes) = shared.tenants.used(&tenant);
    let counted = tenant.clone();
    let meetings = blocking(&shared, move |store| store.open_meetings(&counted)).await?;
    Ok(Json(json!({
        "tenant": tenant,
        "meetings": { "used": meetings, "most": quota.meetings },
        "participants": { "used": participants, "most": quota.participants },
        "bitrate_mbps": { "used": bitrate_mbps, "most": quota.bitrate_mbps },
        "minutes": { "used": minutes, "most": quota.minutes },
    })))
}

/// A meeting of the caller's, or the answer that there is none.
async fn own(
    shared: &Shared,
    caller: Caller,
    id: Result<Path<MeetingId>, PathRejection>,
) -> Result<StoredMeeting, Problem> {
    let caller = caller.back_end()?;
    let Path(id) = id?;
    blocking(shared, move |store| store.meeting(&id))
        .await?
        .filter(|meeting| meeting.tenant == caller.tenant)
        .ok_or_else(|| Problem::not_found("no such meeting"))
}

/// `GET /v1/meetings/{id}`.
pub(super) async fn read(
    State(shared): State<Shared>,
    caller: Caller,
    id: Result<Path<MeetingId>, PathRejection>,
) -> Result<Json<Meeting>, Problem> {
    let meeting = own(&shared, caller, id).await?;
    Ok(Json(view(&shared, meeting, None)))
}

/// `PATCH /v1/meetings/{id}`.
pub(super) async fn change(
    State(shared): State<Shared>,
    caller: Caller,
    id: Result<Path<MeetingId>, PathRejection>,
    Body(patch): Body<PatchMeeting>,
) -> Result<Json<Meeting>, Problem> {
    let before = own(&shared, caller, id).await?;
    if before.ended {
        return Err(Problem::gone("the meeting was ended"));
    }
    let mut after = before.clone();
    if let Some(title) = patch.title {
        after.title = title;
    }
    if let Some(at) = patch.scheduled_at {
        after.scheduled_at = Some(at);
    }
    if let Some(settings) = patch.settings {
        let kept = &mut after.settings;
        kept.max_participants = settings.max_participants.unwrap_or(kept.max_participants);
        kept.waiting_room = settings.waiting_room.unwrap_or(kept.waiting_room);
        if let Some(allowed) = settings.regions_allowed {
            kept.regions_allowed = allowed;
        }
        if let Some(denied) = settings.regions_denied {
            kept.regions_denied = denied;
        }
    }
    check(
        &shared,
        &after.title,
        after.scheduled_at.as_deref(),
        &after.settings,
    )?;
    {
        let registry = shared.registry();
        let residency = residency(registry.topology(), &after.settings);
        registry
            .fits(&after.id, &residency)
            .map_err(|error| Problem::conflict("participants-elsewhere", error.to_string()))?;
    }
    let kept = after.clone();
    blocking(&shared, move |store| store.replace_meeting(&before, &kept)).await?;
    tell(&shared, EventKind::MeetingChanged, &after);
    shared.replan([after.id.clone()]);
    Ok(Json(view(&shared, after, None)))
}

/// `DELETE /v1/meetings/{id}`: ends it for all.
pub(super) async fn end(
    State(shared): State<Shared>,
    caller: Caller,
    id: Result<Path<MeetingId>, PathRejection>,
) -> Result<StatusCode, Problem> {
    let before = own(&shared, caller, id).await?;
    let id = before.id.clone();
    if !before.ended {
        let mut after = before.clone();
        after.ended = true;
        let kept = after.clone();
        blocking(&shared, move |store| store.replace_meeting(&before, &kept)).await?;
        tell(&shared, EventKind::MeetingEnded, &after);
    }
    planner::end(&shared, &id);
    tracing::info!(meeting = %id, "ended");
    Ok(StatusCode::NO_CONTENT)
}

/// Which page.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct ListQuery {
    limit: Option<usize>,
    cursor: Option<String>,
}

/// `GET /v1/meetings`.
pub(super) async fn list(
    State(shared): State<Shared>,
    caller: Caller,
    query: Result<Query<ListQuery>, QueryRejection>,
) -> Result<Json<MeetingPage>, Problem> {
    let caller = caller.back_end()?;
    let Query(query) = query?;
    let limit = query.limit.unwrap_or(PAGE);
    if !(1..=PAGE_MAX).contains(&limit) {
        return Err(Problem::fields(vec![field("limit", limit, "1 to 200")]));
    }
    let after = query
        .cursor
        .map(|cursor| {
            cursor
                .split_once('.')
                .and_then(|(at, id)| Some((at.parse().ok()?, id.parse().ok()?)))
                .ok_or_else(|| {
                    Problem::fields(vec![field(
                        "cursor",
                        &cursor,
                        "a next_cursor of an earlier page",
                    )])
                })
        })
        .transpose()?;
    let Page { meetings, more } = blocking(&shared, move |store| {
        store.meetings(&caller.tenant, after, limit)
    })
    .await?;
    let last = meetings.last().filter(|_| more);
    Ok(Json(MeetingPage {
        next_cursor: last.map(|last| format!("{}.{}", last.created_at_ms, last.id)),
        meetings: meetings
            .into_iter()
            .map(|meeting| view(&shared, meeting, None))
            .collect(),
    }))
}
