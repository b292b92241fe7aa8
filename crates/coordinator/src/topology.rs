//! The topology while the mesh runs: another one comes into force as a whole, by the API or by the
//! files, or not at all.

use std::path::PathBuf;
use std::time::Duration;

use sluice_types::ids::EdgeId;
use sluice_types::mesh::control::CoordinatorMessage;
use sluice_types::topology::{Change as Difference, Fault, How, Topology, TopologyFiles};
use thiserror::Error;
use tokio::signal::unix::{SignalKind, signal};

use crate::declared;
use crate::registry::Cut;
use crate::state::{Shared, wall_ms};
use crate::store::{StoreError, StoredTopology};

/// How often the files are looked at.
const LOOK: Duration = Duration::from_secs(2);

/// How long after the start files that were changed meanwhile wait: whom they would cut off is not
/// known before edges had time to come back.
const SETTLING: Duration = Duration::from_secs(8);

/// The longest topology, in bytes of all files: less than what etcd takes in one request.
pub(crate) const BYTES_MAX: usize = 1_000_000;

/// Why a topology does not come into force. What was in force stays.
#[derive(Debug, Error)]
pub(crate) enum ApplyError {
    #[error("{}", lines(.0))]
    Faults(Vec<Fault>),
    #[error("`{0}` is no file of a topology; allowed: topology.toml and regions/NAME.toml")]
    Path(String),
    #[error("{0} bytes; at most {BYTES_MAX} are allowed")]
    TooLong(usize),
    #[error("the mesh is called `{now}`, not `{wanted}`: certificates and tokens bear its name")]
    Name { now: String, wanted: String },
    #[error("it would cut off who is in a meeting: {}", lines(.0))]
    Cuts(Vec<Cut>),
    #[error("version {0} is not kept")]
    Unknown(u64),
    #[error("another version came into force meanwhile")]
    Conflict,
    #[error(transparent)]
    Store(StoreError),
}

fn lines<T: ToString>(all: &[T]) -> String {
    let lines: Vec<_> = all.iter().map(T::to_string).collect();
    lines.join("\n")
}

impl From<StoreError> for ApplyError {
    fn from(error: StoreError) -> Self {
        match error {
            StoreError::Conflict => Self::Conflict,
            other => Self::Store(other),
        }
    }
}

/// What came into force.
#[derive(Debug)]
pub(crate) struct Applied {
    pub(crate) version: u64,
    pub(crate) changes: Vec<Difference>,
    /// Who was cut off, by force.
    pub(crate) cuts: Vec<Cut>,
}

/// How a topology is to be taken.
#[derive(Debug, Clone)]
pub(crate) struct Wish {
    pub(crate) files: TopologyFiles,
    /// Who or what wants it, for people.
    pub(crate) by: String,
    /// Even if it cuts off who is in a meeting.
    pub(crate) force: bool,
    /// Says what would be, and leaves everything as it is.
    pub(crate) dry_run: bool,
}

fn check_files(files: &TopologyFiles) -> Result<Topology, ApplyError> {
    let is_region = |path: &str| {
        let name = path.strip_prefix("regions/");
        let name = name.and_then(|name| name.strip_suffix(".toml"));
        name.is_some_and(|name| !name.is_empty() && !name.contains('/'))
    };
    let strange = |path: &&String| *path != "topology.toml" && !is_region(path);
    if let Some(path) = files.0.keys().find(strange) {
        return Err(ApplyError::Path(path.clone()));
    }
    let bytes = files.0.values().map(String::len).sum();
    if bytes > BYTES_MAX {
        return Err(ApplyError::TooLong(bytes));
    }
    files.parse().map_err(ApplyError::Faults)
}

/// Checks a topology and puts it in force; blocks.
pub(crate) fn apply(shared: &Shared, wish: Wish) -> Result<Applied, ApplyError> {
    let after = check_files(&wish.files)?;
    let newest = shared.store().topologies()?.into_iter().next();
    let version = newest.as_ref().map_or(0, |newest| newest.version);
    let (changes, cuts) = {
        let registry = shared.registry();
        let before = registry.topology();
        if before.name() != after.name() {
            return Err(ApplyError::Name {
                now: before.name().to_owned(),
                wanted: after.name().to_owned(),
            });
        }
        (before.changes(&after), registry.cuts(&after))
    };
    if newest.is_some_and(|newest| newest.files == wish.files.0) {
        return Ok(Applied {
            version,
            changes: Vec::new(),
            cuts: Vec::new(),
        });
    }
    if !cuts.is_empty() && !wish.force {
        return Err(ApplyError::Cuts(cuts));
    }
    let stored = StoredTopology {
        version: version + 1,
        at_ms: wall_ms(),
        by: wish.by,
        files: wish.files.0,
    };
    if !wish.dry_run {
        shared.store().keep_topology(&stored)?;
        adopt(shared, &stored, after);
    }
    Ok(Applied {
        version: stored.version,
        changes,
        cuts,
    })
}

/// Puts a version that was in force in force again, as a new one; blocks.
pub(crate) fn roll_back(
    shared: &Shared,
    version: u64,
    by: &str,
    force: bool,
    dry_run: bool,
) -> Result<Applied, ApplyError> {
    let kept = shared.store().topologies()?;
    let wanted = kept.into_iter().find(|kept| kept.version == version);
    let wanted = wanted.ok_or(ApplyError::Unknown(version))?;
    let wish = Wish {
        files: TopologyFiles(wanted.files),
        by: format!("{by}, back to {version}"),
        force,
        dry_run,
    };
    apply(shared, wish)
}

/// Takes what another coordinator put in force; blocks.
pub(crate) fn adopt_newest(shared: &Shared) -> Result<(), StoreError> {
    let Some(newest) = shared.store().topologies()?.into_iter().next() else {
        return Ok(());
    };
    match TopologyFiles(newest.files.clone()).parse() {
        Ok(topology) => adopt(shared, &newest, topology),
        // A newer version of the software wrote it, perhaps.
        Err(faults) => tracing::error!(
            version = newest.version,
            faults = lines(&faults),
            "the store's topology is of no use here; the one before stays"
        ),
    }
    Ok(())
}

/// Has the mesh follow a topology that is kept, unless it follows that or a newer one.
fn adopt(shared: &Shared, stored: &StoredTopology, topology: Topology) {
    let mut version = shared.topology_version();
    if *version >= stored.version {
        return;
    }
    let changes = shared.registry().topology().changes(&topology);
    tracing::info!(
        version = stored.version,
        by = stored.by,
        changes = changes.iter().map(describe).collect::<Vec<_>>().join(", "),
        "another topology is in force"
    );
    let gone = shared.set_topology(topology.clone());
    shared.plans().adopt(&topology);
    *version = stored.version;
    drop(version);
    declared::export_topology(&topology);
    metrics::gauge!("sluice_coordinator_topology_version").set(stored.version as f64);
    for edge in &gone {
        tracing::warn!(%edge, "an edge is not in the topology any more and is let go");
        shared.cut_line(edge);
    }
    for edge in shared.connected() {
        tell_repairs(shared, &edge);
    }
    shared.publish_directory();
    let rooms = shared.registry().room_ids();
    shared.replan(rooms);
}

/// Tells an edge how much its repairs may cost on the links of its region.
pub(crate) fn tell_repairs(shared: &Shared, edge: &EdgeId) {
    let overheads = {
        let registry = shared.registry();
        let topology = registry.topology();
        let Some((region, _)) = topology.edge(edge) else {
            return;
        };
        let links = topology.links().iter();
        let ends = links.filter_map(|link| Some((link.other_end(region.name())?, link)));
        ends.map(|(other, link)| (other.clone(), link.overhead()))
            .collect()
    };
    shared.tell(edge, CoordinatorMessage::Repairs { overheads });
}

/// A change in a word or two.
pub(crate) fn describe(change: &Difference) -> String {
    let (part, name) = (change.part.as_str(), &change.name);
    let what = format!("{part} {name}");
    let what = what.trim();
    match &change.how {
        How::Added => format!("{what} added"),
        How::Removed => format!("{what} removed"),
        How::Changed(values) => {
            let values: Vec<_> = values.iter().map(ToString::to_string).collect();
            format!("{what} changed ({})", values.join("; "))
        }
    }
}

/// Applies the files of a folder whenever they change, by the same rules as any other. At the start
/// files that are one of the versions that are kept are no news, whichever is in force.
pub(crate) async fn watch_files(shared: Shared, dir: PathBuf, seen: TopologyFiles) {
    let mut hangup = signal(SignalKind::hangup())
        .inspect_err(|error| tracing::warn!(%error, "SIGHUP is not heard"))
        .ok();
    let mut settled = seen;
    let mut before = settled.clone();
    tokio::time::sleep(SETTLING).await;
    loop {
        let hung_up = async {
            match &mut hangup {
                Some(hangup) => hangup.recv().await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            _ = hung_up => {}
            () = tokio::time::sleep(LOOK) => {}
        }
        let looked = dir.clone();
        let read = tokio::task::spawn_blocking(move || TopologyFiles::read(&looked)).await;
        let files = match read {
            Ok(Ok(files)) => files,
            // Editors replace files: the next look finds them.
            Ok(Err(_)) => continue,
            Err(_) => return,
        };
        // Several files are seldom written at once: what changed since the last look may go on to.
        let still = std::mem::replace(&mut before, files.clone()) == files;
        if !still || files == settled {
            continue;
        }
        settled = files.clone();
        let wish = Wish {
            files,
            by: format!("the files of {}", shared.config.name),
            force: false,
            dry_run: false,
        };
        let applying = shared.clone();
        let applied = tokio::task::spawn_blocking(move || apply(&applying, wish)).await;
        match applied {
            Ok(Ok(applied)) => tracing::info!(version = applied.version, "the files are in force"),
            Ok(Err(error)) => {
                metrics::counter!("sluice_coordinator_topology_refused_total").increment(1);
                tracing::error!(%error, "the files changed and are refused; what was in force stays");
            }
            Err(_) => return,
        }
    }
}
