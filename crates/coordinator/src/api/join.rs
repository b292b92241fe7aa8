//! Joining: who comes, in which role, to which edge.

use std::net::SocketAddr;
use std::time::{Instant, SystemTime};

use axum::Json;
use axum::extract::rejection::{PathRejection, QueryRejection};
use axum::extract::{ConnectInfo, Path, Query, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use sluice_placement::{Preference, rank_within};
use sluice_trace::Trace;
use sluice_types::access::{Grants, Role};
use sluice_types::ids::{EdgeId, MeetingId, ParticipantId};
use sluice_types::rest::{JoinRequest, JoinResponse, NAME_CHARS_MAX, Waiting};

use super::admission::{Admitted, answer};
use super::auth::{MaybeCaller, bearer, is_host_key, is_invite};
use super::body::Body;
use super::client::{ClientQuery, client, position};
use super::limit::wrong_address;
use super::meetings::{blocking, random};
use super::problem::{Problem, field};
use super::waiting;
use crate::feed::Happening;
use crate::places;
use crate::registry::{Forbidden, Word, residency};
use crate::state::{Shared, wall_ms};
use crate::store::StoredMeeting;

/// How long one who waits should wait before asking again.
const RETRY_AFTER_MS: u32 = 2_000;

/// `POST /v1/meetings/{id}/join`.
pub(super) async fn join(
    State(shared): State<Shared>,
    ConnectInfo(from): ConnectInfo<SocketAddr>,
    headers: HeaderMap,
    query: Result<Query<ClientQuery>, QueryRejection>,
    id: Result<Path<MeetingId>, PathRejection>,
    caller: MaybeCaller,
    Body(request): Body<JoinRequest>,
) -> Result<Response, Problem> {
    let started = Instant::now();
    let mut trace = shared.tracing.begin("join", SystemTime::now());
    let asked = Asked {
        from,
        headers,
        query: query?.0,
        request,
    };
    let Path(id) = id?;
    trace.say("sluice.meeting", &id);
    let result = admit(&shared, id.clone(), &caller, &asked, &mut trace).await;
    if let Ok(answer) = &result {
        let known = asked.request.participant_id.as_ref();
        shared.webhooks.answered(&id, known, answer);
    }
    let outcome = match &result {
        Ok(JoinResponse::Admitted(_)) => "admitted",
        Ok(JoinResponse::Waiting(_)) => "waiting",
        Err(problem) if problem.is_ours() => "failed",
        Err(_) => "refused",
    };
    metrics::counter!("sluice_coordinator_joins_total", "result" => outcome).increment(1);
    metrics::histogram!("sluice_coordinator_join_seconds").record(started.elapsed());
    trace.say("sluice.result", outcome);
    match &result {
        Ok(JoinResponse::Admitted(admission)) => {
            trace.say("sluice.participant", &admission.participant_id);
            trace.say("sluice.edge", &admission.edge);
        }
        Ok(JoinResponse::Waiting(waiting)) => {
            trace.say("sluice.participant", &waiting.participant_id);
        }
        Err(problem) => trace.fail(problem),
    }
    trace.end();
    let response = result?;
    let status = match &response {
        JoinResponse::Admitted(_) => StatusCode::OK,
        JoinResponse::Waiting(_) => StatusCode::ACCEPTED,
    };
    Ok((
        status,
        [(header::CACHE_CONTROL, "no-store")],
        Json(response),
    )
        .into_response())
}

/// `POST /v1/meetings/{id}/whip`: sends a WHIP client (RFC 9725) on to its edge.
pub(super) async fn whip(
    State(shared): State<Shared>,
    ConnectInfo(from): ConnectInfo<SocketAddr>,
    headers: HeaderMap,
    query: Result<Query<ClientQuery>, QueryRejection>,
    id: Result<Path<MeetingId>, PathRejection>,
    caller: MaybeCaller,
) -> Result<Response, Problem> {
    let bearer = headers
        .get(header::AUTHORIZATION)
        .and_then(|value| bearer(value.to_str().ok()?));
    let request = JoinRequest {
        invite: bearer.and_then(|token| token.parse().ok()),
        ..JoinRequest::default()
    };
    let asked = Asked {
        from,
        headers: headers.clone(),
        query: query?.0,
        request,
    };
    let Path(id) = id?;
    let mut trace = shared.tracing.begin("whip", SystemTime::now());
    trace.say("sluice.meeting", &id);
    let result = admit(&shared, id.clone(), &caller, &asked, &mut trace).await;
    let answer = result.inspect_err(|problem| trace.fail(problem))?;
    shared.webhooks.answered(&id, None, &answer);
    match answer {
        JoinResponse::Admitted(admission) => {
            let location = format!(
                "{}/v1/whip/{id}?token={}",
                admission.sfu_endpoint, admission.join_token
            );
            let fields = [
                (header::LOCATION, location),
                (header::CACHE_CONTROL, "no-store".to_owned()),
            ];
            Ok((StatusCode::TEMPORARY_REDIRECT, fields).into_response())
        }
        JoinResponse::Waiting(_) => Err(Problem::forbidden(
            "the meeting has a waiting room, in which a WHIP client cannot wait",
        )),
    }
}

struct Asked {
    from: SocketAddr,
    headers: HeaderMap,
    query: ClientQuery,
    request: JoinRequest,
}

/// The highest role that the proof allows, the role when none is asked for, a name, and whether data
/// messages may be sent.
struct Proof {
    most: Role,
    usual: Role,
    name: Option<String>,
    publish_data: bool,
}

const fn rank_of(role: Role) -> u8 {
    match role {
        Role::Host => 3,
        Role::Speaker => 2,
        Role::Attendee => 1,
        Role::Viewer => 0,
    }
}

fn prove(
    meeting: &StoredMeeting,
    caller: &MaybeCaller,
    request: &JoinRequest,
) -> Result<Proof, Problem> {
    if let Some(key) = &request.host_key {
        if !is_host_key(meeting, key) {
            return Err(Problem::forbidden(
                "the host key is not that of this meeting",
            ));
        }
        return Ok(Proof {
            most: Role::Host,
            usual: Role::Host,
            name: None,
            publish_data: true,
        });
    }
    if let Some(caller) = &caller.0 {
        if caller.tenant != meeting.tenant {
            return Err(Problem::not_found("no such meeting"));
        }
        return match &caller.grants {
            None => Ok(Proof {
                most: Role::Host,
                usual: Role::Speaker,
                name: None,
                publish_data: true,
            }),
            Some(grants) if grants.meeting == meeting.id => Ok(Proof {
                most: grants.role,
                usual: grants.role,
                name: grants.name.clone(),
                publish_data: grants.publish_data,
            }),
            Some(_) => Err(Problem::forbidden("the user token is for another meeting")),
        };
    }
    match &request.invite {
        Some(invite) if is_invite(meeting, invite) => Ok(Proof {
            most: Role::Speaker,
            usual: Role::Speaker,
            name: None,
            publish_data: true,
        }),
        Some(_) => Err(Problem::forbidden("the invite is not that of this meeting")),
        None => Err(Problem::unauthorized(
            "prove that you may join: an API token, the `invite` of the join link, or the `host_key`",
        )),
    }
}

async fn admit(
    shared: &Shared,
    id: MeetingId,
    caller: &MaybeCaller,
    asked: &Asked,
    trace: &mut Trace,
) -> Result<JoinResponse, Problem> {
    let looked_up = id.clone();
    let meeting = blocking(shared, move |store| store.meeting(&looked_up))
        .await?
        .ok_or_else(|| Problem::not_found("no such meeting"))?;
    let proof = prove(&meeting, caller, &asked.request)?;
    if meeting.ended {
        return Err(Problem::gone("the meeting was ended"));
    }
    bear(shared, &meeting.tenant, asked)?;
    let role = asked.request.role.unwrap_or(proof.usual);
    if rank_of(role) > rank_of(proof.most) {
        return Err(Problem::forbidden(format!(
            "role `{}` is asked for; at most `{}` is allowed",
            role.as_str(),
            proof.most.as_str()
        )));
    }
    let publish_data = asked.request.publish_data.unwrap_or(proof.publish_data);
    if publish_data && !proof.publish_data {
        return Err(Problem::forbidden(
            "`publish_data` is asked for; the user token does not allow it",
        ));
    }
    let grants = Grants {
        publish_data,
        ..role.grants()
    };
    let name = proof
        .name
        .or_else(|| asked.request.name.clone())
        .unwrap_or_else(|| "Guest".to_owned());
    let name = name.trim().to_owned();
    if name.is_empty() || name.chars().count() > NAME_CHARS_MAX {
        return Err(Problem::fields(vec![field(
            "name",
            &name,
            "1 to 80 characters",
        )]));
    }
    let mut participant = ParticipantId::from_random(random()?);
    if meeting.settings.waiting_room && role != Role::Host {
        let known = asked.request.participant_id.as_ref();
        let word = shared
            .registry()
            .wait(shared.now(), &id, known, participant, &name, wall_ms());
        if let Word::Wait(participant) = &word {
            waiting::tell_others(shared, &id, participant).await?;
        }
        participant = match word {
            Word::Admitted(waited) => waited,
            Word::Denied => return Err(Problem::forbidden("the host did not admit you")),
            Word::Full => return Err(Problem::unavailable("too many wait already")),
            Word::Wait(participant_id) => {
                return Ok(JoinResponse::Waiting(Waiting {
                    status: "waiting".to_owned(),
                    participant_id,
                    retry_after_ms: RETRY_AFTER_MS,
                }));
            }
        };
    }
    trace.step("admission");
    let seated = seat(shared, &meeting, asked).await;
    trace.step("edge_pick");
    let edges = seated?;
    shared.tenants.admit(&id, &meeting.tenant);
    let text = format!("somebody is sent to {}", edges[0]);
    shared.feed.tell(Happening::room("joined", &id, text));
    let key = caller.0.as_ref().map(|caller| caller.key.clone());
    let who = Admitted {
        participant,
        role,
        grants,
        name,
        key,
        trace: trace.parent(),
    };
    let answered = answer(shared, id, who, &edges);
    trace.step("token");
    answered.map(|admission| JoinResponse::Admitted(Box::new(admission)))
}

/// Refuses whoever the tenant does not want from there, or has no more room for.
fn bear(shared: &Shared, tenant: &str, asked: &Asked) -> Result<(), Problem> {
    let from = client(shared, asked.from, &asked.headers, &asked.query);
    if !shared.tenants.client_allowed(tenant, from) {
        let detail = "nobody may join this meeting from this address";
        return Err(wrong_address("clients", detail));
    }
    shared.tenants.check(tenant).map_err(|exceeded| {
        let kind = exceeded.kind();
        metrics::counter!("sluice_coordinator_quota_refused_total", "quota" => kind).increment(1);
        Problem::too_many(kind, exceeded.to_string(), exceeded.retry_after())
    })
}

/// Takes a seat at the best edge; gives it and the next best.
async fn seat(
    shared: &Shared,
    meeting: &StoredMeeting,
    asked: &Asked,
) -> Result<Vec<EdgeId>, Problem> {
    let max = meeting.settings.max_participants;
    loop {
        if let Some(edges) = try_seat(shared, meeting, asked)? {
            return Ok(edges);
        }
        if !places::reserve(shared, &meeting.id, max).await? {
            return Err(full(max));
        }
    }
}

fn full(max: u32) -> Problem {
    Problem::conflict(
        "meeting-full",
        format!("all {max} places of the meeting are taken"),
    )
}

/// As [`seat`]; none when no place is reserved. Others who join at the same time are held up for as
/// long, so that each sees where the one before was sent: a room's participants of a region share an edge
/// until it is full.
fn try_seat(
    shared: &Shared,
    meeting: &StoredMeeting,
    asked: &Asked,
) -> Result<Option<Vec<EdgeId>>, Problem> {
    let found = position(shared, asked.from, &asked.headers, &asked.query);
    let now = shared.now();
    let mut registry = shared.registry();
    let settings = registry.topology().coordinator();
    let fallback = settings.fallback_region();
    let most = 1 + settings.candidates() as usize;
    let preference = Preference {
        // Nobody knows where the client is: the fallback region is as good a guess as the operator's.
        position: found.or_else(|| registry.topology().region(fallback).map(|r| r.position())),
        measured_ms: asked.request.round_trips_ms.clone().unwrap_or_default(),
    };
    let residency = residency(registry.topology(), &meeting.settings);
    let candidates = registry.candidates(now, &meeting.id);
    let (candidates, forbidden) = registry.allowed(&meeting.id, candidates, &residency);
    let mut edges = rank_within(&candidates, &preference, &residency);
    edges.truncate(most);
    let crowded = !candidates.is_empty();
    let first = edges.first().ok_or_else(|| match crowded {
        true => no_edge(),
        false => no_edge_for(&forbidden),
    })?;
    let max = meeting.settings.max_participants;
    if !shared.places.take(&meeting.id) {
        return Ok(None);
    }
    if !registry.take_seat(now, &meeting.id, first, max) {
        return Err(full(max));
    }
    Ok(Some(edges))
}

fn no_edge_for(forbidden: &[Forbidden]) -> Problem {
    if forbidden.is_empty() {
        return no_edge();
    }
    let reasons: Vec<_> = forbidden.iter().map(ToString::to_string).collect();
    let reasons = reasons.join("; ");
    let detail = format!("no edge is where the meeting may be: {reasons}");
    Problem::conflict("no-allowed-edge", detail)
}

pub(super) fn no_edge() -> Problem {
    Problem::unavailable("no edge has room")
}
