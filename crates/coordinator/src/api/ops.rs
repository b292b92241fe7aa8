//! The mesh as it is, for those who run it.

use axum::Json;
use axum::extract::rejection::{PathRejection, QueryRejection};
use axum::extract::{Path, Query, State};
use axum::http::StatusCode;
use serde::Deserialize;
use serde_json::{Value, json};
use sluice_types::ids::EdgeId;
use sluice_types::mesh::control::CoordinatorMessage;

use super::auth::Caller;
use super::problem::{Problem, field};
use crate::state::Shared;

/// The most entries of the audit log in one answer.
const AUDIT_MAX: usize = 1_000;

/// `GET /v1/ops/state`: every edge with its links and rooms, and every plan.
pub(super) async fn state(
    State(shared): State<Shared>,
    caller: Caller,
) -> Result<Json<Value>, Problem> {
    operator(caller)?;
    let registry = shared.registry();
    let edges: Vec<_> = registry
        .edges()
        .map(|(id, edge)| {
            json!({
                "edge": id,
                "region": edge.registration.region,
                "sfu_endpoint": edge.registration.sfu_endpoint,
                "software": edge.registration.software,
                "capacity": edge.registration.capacity,
                "draining": edge.draining,
                "participants": edge.heartbeat.participants,
                "load_permille": edge.heartbeat.load_permille,
                "links": edge.heartbeat.links,
                "link_quality": edge.links.up,
                "unreachable": edge.links.unreachable,
                "rooms": edge.heartbeat.rooms,
            })
        })
        .collect();
    let rooms: Vec<_> = registry
        .rooms()
        .map(|(id, epoch, participants, trees)| {
            json!({ "room": id, "epoch": epoch, "participants": participants, "trees": trees })
        })
        .collect();
    Ok(Json(json!({
        "mesh": registry.topology().name(),
        "coordinator": shared.config.name,
        "leading": shared.leading(),
        "edges": edges,
        "rooms": rooms,
        "links_down": registry.links_down(),
    })))
}

/// `POST /v1/ops/edges/{edge}/drain`: sends an edge's participants elsewhere, and trees around it.
pub(super) async fn drain(
    State(shared): State<Shared>,
    caller: Caller,
    edge: Result<Path<EdgeId>, PathRejection>,
) -> Result<(StatusCode, Json<Value>), Problem> {
    operator(caller)?;
    let Path(edge) = edge?;
    if !shared.registry().drain(&edge) {
        return Err(Problem::not_found("no such edge is registered"));
    }
    tracing::info!(%edge, "an edge is to drain");
    shared.tell(&edge, CoordinatorMessage::Drain {});
    shared.look_again();
    Ok((
        StatusCode::ACCEPTED,
        Json(json!({ "edge": edge, "draining": true })),
    ))
}

/// Which part of the audit log.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct AuditQuery {
    limit: Option<usize>,
    before: Option<u64>,
}

/// `GET /v1/ops/audit`: what was done lately, the latest first.
pub(super) async fn audit(
    State(shared): State<Shared>,
    caller: Caller,
    query: Result<Query<AuditQuery>, QueryRejection>,
) -> Result<Json<Value>, Problem> {
    operator(caller)?;
    let Query(query) = query?;
    let limit = query.limit.unwrap_or(100);
    if !(1..=AUDIT_MAX).contains(&limit) {
        return Err(Problem::fields(vec![field("limit", limit, "1 to 1000")]));
    }
    let before = query.before.unwrap_or(u64::MAX);
    let entries = shared.audit.recent(before, limit);
    let entries: Vec<_> = entries.iter().map(|entry| json!(**entry)).collect();
    Ok(Json(json!({ "entries": entries })))
}

/// Refuses whoever does not run the mesh.
pub(super) fn operator(caller: Caller) -> Result<(), Problem> {
    if caller.back_end()?.ops {
        return Ok(());
    }
    Err(Problem::forbidden("an API key with `ops = true` is needed"))
}
