//! The topology in force, for those who run the mesh.

use axum::Json;
use axum::extract::rejection::PathRejection;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use jiff::Timestamp;
use sluice_types::rest::{
    ApplyTopology, FieldError, RollBackTopology, TopologyApplied, TopologyHistory, TopologyVersion,
    VersionFiles,
};
use sluice_types::topology::{Fault, TopologyFiles};

use super::auth::Caller;
use super::body::Body;
use super::meetings::blocking;
use super::ops::operator;
use super::problem::Problem;
use crate::state::Shared;
use crate::store::StoredTopology;
use crate::topology::{Applied, ApplyError, Wish, apply, describe, roll_back};

/// The most faults that are told at once.
const FAULTS_MAX: usize = 100;

fn version(stored: &StoredTopology) -> TopologyVersion {
    let at = i64::try_from(stored.at_ms).unwrap_or(i64::MAX);
    TopologyVersion {
        version: stored.version,
        at: Timestamp::from_millisecond(at)
            .map(|at| at.to_string())
            .unwrap_or_default(),
        by: stored.by.clone(),
    }
}

/// `GET /v1/ops/topology`: the versions that are kept.
pub(super) async fn history(
    State(shared): State<Shared>,
    caller: Caller,
) -> Result<Json<TopologyHistory>, Problem> {
    operator(caller)?;
    let kept = blocking(&shared, |store| store.topologies()).await?;
    let in_force = *shared.topology_version();
    Ok(Json(TopologyHistory {
        in_force,
        versions: kept.iter().map(version).collect(),
    }))
}

/// `GET /v1/ops/topology/{version}`: the files of one.
pub(super) async fn files(
    State(shared): State<Shared>,
    caller: Caller,
    wanted: Result<Path<u64>, PathRejection>,
) -> Result<Json<VersionFiles>, Problem> {
    operator(caller)?;
    let Path(wanted) = wanted?;
    let kept = blocking(&shared, |store| store.topologies()).await?;
    let found = kept.into_iter().find(|kept| kept.version == wanted);
    let found = found.ok_or(ApplyError::Unknown(wanted))?;
    Ok(Json(VersionFiles {
        version: version(&found),
        files: found.files,
    }))
}

/// `POST /v1/ops/topology`: puts another in force.
pub(super) async fn put(
    State(shared): State<Shared>,
    caller: Caller,
    Body(wanted): Body<ApplyTopology>,
) -> Result<Json<TopologyApplied>, Problem> {
    let by = name(&caller);
    operator(caller)?;
    let wish = Wish {
        files: TopologyFiles(wanted.files),
        by,
        force: wanted.force,
        dry_run: wanted.dry_run,
    };
    let applied = run(move || apply(&shared, wish)).await?;
    Ok(Json(answer(applied, wanted.dry_run)))
}

/// `POST /v1/ops/topology/rollback`: puts one that is kept in force again.
pub(super) async fn back(
    State(shared): State<Shared>,
    caller: Caller,
    Body(wanted): Body<RollBackTopology>,
) -> Result<Json<TopologyApplied>, Problem> {
    let by = name(&caller);
    operator(caller)?;
    let RollBackTopology {
        version,
        force,
        dry_run,
    } = wanted;
    let applied = run(move || roll_back(&shared, version, &by, force, dry_run)).await?;
    Ok(Json(answer(applied, dry_run)))
}

fn name(caller: &Caller) -> String {
    format!("API key {}", caller.key)
}

/// Runs what blocks where it holds nobody up.
async fn run(
    what: impl FnOnce() -> Result<Applied, ApplyError> + Send + 'static,
) -> Result<Applied, Problem> {
    let done = tokio::task::spawn_blocking(what).await;
    Ok(done.map_err(|error| Problem::internal(&error))??)
}

fn answer(applied: Applied, dry_run: bool) -> TopologyApplied {
    TopologyApplied {
        version: applied.version,
        applied: !dry_run,
        changes: applied.changes.iter().map(describe).collect(),
        cuts: applied.cuts.iter().map(ToString::to_string).collect(),
    }
}

impl From<ApplyError> for Problem {
    fn from(error: ApplyError) -> Self {
        let detail = error.to_string();
        match error {
            ApplyError::Faults(faults) => {
                Self::fields(faults.iter().take(FAULTS_MAX).map(fault).collect())
            }
            ApplyError::Path(_) | ApplyError::TooLong(_) | ApplyError::Name { .. } => {
                Self::new(StatusCode::UNPROCESSABLE_ENTITY, "invalid-topology", detail)
            }
            ApplyError::Cuts(_) => Self::conflict("cuts-off", detail),
            ApplyError::Unknown(_) => Self::not_found(detail),
            ApplyError::Conflict => Self::conflict("conflict", detail),
            ApplyError::Store(error) => error.into(),
        }
    }
}

fn fault(fault: &Fault) -> FieldError {
    let found = fault.value.clone().unwrap_or_else(|| "missing".to_owned());
    FieldError {
        field: format!(
            "{}:{}:{} {}",
            fault.file, fault.line, fault.column, fault.key
        ),
        value: format!("{found}: {}", fault.problem),
        allowed: fault.allowed.clone(),
    }
}
