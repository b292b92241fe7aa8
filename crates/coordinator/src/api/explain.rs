//! Why tracks travel as they do, for those who run the mesh.

use std::collections::BTreeSet;

use axum::Json;
use axum::extract::rejection::PathRejection;
use axum::extract::{Path, State};
use sluice_placement::{Explanation, Reason};
use sluice_types::ids::{EdgeId, Epoch, MeetingId};
use sluice_types::rest::{
    EdgeExplanation, ExplainedTrack, MeetingExplanation, NextBest, PlacementReason, TreeExplanation,
};
use sluice_types::units::Bitrate;

use super::auth::Caller;
use super::ops::operator;
use super::problem::Problem;
use crate::registry::{Plans, Registry, residency};
use crate::state::Shared;

/// `GET /v1/meetings/{id}/explain`.
pub(super) async fn explain(
    State(shared): State<Shared>,
    caller: Caller,
    id: Result<Path<MeetingId>, PathRejection>,
) -> Result<Json<MeetingExplanation>, Problem> {
    operator(caller)?;
    let Path(id) = id?;
    // Planning may be under way, which takes a while.
    let explained = tokio::task::spawn_blocking(move || explained(&shared, &id)).await;
    explained
        .map_err(|error| Problem::internal(&error))?
        .map(Json)
        .ok_or_else(|| Problem::not_found("nobody is in such a meeting"))
}

fn explained(shared: &Shared, id: &MeetingId) -> Option<MeetingExplanation> {
    let trees = match shared.leading() {
        Some(_) => shared.plans().explain(id)?,
        None => explain_foreign(shared, id)?,
    };
    let registry = shared.registry();
    let in_force = registry.in_force(id)?;
    let trees = trees
        .into_iter()
        .map(|(root, bitrate, edges)| TreeExplanation {
            bitrate_bps: bitrate.as_bps(),
            tracks: tracks(&registry, id, &root),
            edges: edges
                .into_iter()
                .map(|edge| {
                    let ends = (root.clone(), edge.edge.clone());
                    let since = in_force.since.get(&ends).copied();
                    describe(edge, since.unwrap_or(in_force.epoch))
                })
                .collect(),
            root,
        });
    Some(MeetingExplanation {
        meeting: id.clone(),
        epoch: in_force.epoch,
        trees: trees.collect(),
        broken: in_force.broken.iter().map(ToString::to_string).collect(),
    })
}

/// The plan of the coordinator that leads, by what this one knows of the mesh.
fn explain_foreign(
    shared: &Shared,
    id: &MeetingId,
) -> Option<Vec<(EdgeId, Bitrate, Vec<Explanation>)>> {
    let settings = shared.store().meeting(id).ok()??.settings;
    let registry = shared.registry();
    let outlook = registry.outlooks(&BTreeSet::from([id.clone()])).pop()?;
    let (topology, mesh) = (registry.topology(), registry.mesh());
    let residency = residency(topology, &settings);
    Some(Plans::explain_foreign(topology, &mesh, &outlook, residency))
}

fn tracks(registry: &Registry, id: &MeetingId, root: &EdgeId) -> Vec<ExplainedTrack> {
    let edge = registry.edge(root);
    let reports = edge
        .into_iter()
        .flat_map(|edge| &edge.heartbeat.rooms)
        .filter(|report| report.room == *id);
    let track = |track: &sluice_types::mesh::control::TrackReport| ExplainedTrack {
        track: track.track.clone(),
        kind: track.kind,
        name: track.name.clone(),
    };
    reports
        .flat_map(|report| report.tracks.iter().map(track))
        .collect()
}

fn describe(explanation: Explanation, since: Epoch) -> EdgeExplanation {
    let text = explanation.to_string();
    let stretch_permille = explanation.stretch_permille();
    let (reason, next_best) = match explanation.reason {
        Reason::OnlyOne => (PlacementReason::OnlyOne, None),
        Reason::BestOf(other) => (PlacementReason::Best, Some(other)),
        Reason::BetterForTheTree(other) => (PlacementReason::BetterForTheTree, Some(other)),
        Reason::OthersBreakLimits(other) => (PlacementReason::OthersBreakLimits, Some(other)),
    };
    EdgeExplanation {
        edge: explanation.edge,
        path: explanation.path,
        since,
        round_trip_us: explanation.round_trip_us,
        measured: explanation.measured,
        shortest_us: explanation.shortest_us,
        allowed_us: explanation.allowed_us,
        stretch_permille,
        micro_usd_per_gb: explanation.price.as_micro_usd_per_gb(),
        reason,
        next_best: next_best.map(|other| NextBest {
            parent: other.parent,
            round_trip_us: other.round_trip_us,
            micro_usd_per_gb: other.price.as_micro_usd_per_gb(),
        }),
        backup: explanation.backup,
        text,
    }
}
