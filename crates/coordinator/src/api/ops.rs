//! The mesh as it is, for those who run it.

use axum::Json;
use axum::extract::State;
use serde_json::{Value, json};

use super::auth::Caller;
use super::problem::Problem;
use crate::state::Shared;

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
    })))
}

/// Refuses whoever does not run the mesh.
pub(super) fn operator(caller: Caller) -> Result<(), Problem> {
    if caller.back_end()?.ops {
        return Ok(());
    }
    Err(Problem::forbidden("an API key with `ops = true` is needed"))
}
