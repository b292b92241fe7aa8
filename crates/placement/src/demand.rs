//! What a room needs of the mesh.

use std::collections::{BTreeMap, BTreeSet};

use sluice_types::ids::EdgeId;
use sluice_types::units::Bitrate;

use crate::residency::Residency;

/// What a room needs of the mesh.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Demand {
    /// What each edge with publishers sends.
    pub streams: BTreeMap<EdgeId, Stream>,
    /// Where the room's media may be.
    pub residency: Residency,
}

/// What one edge's publishers send, all together.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Stream {
    /// The likely bitrate. It weighs prices and counts against the capacity of links.
    pub bitrate: Bitrate,
    /// The edges that want it. The publishers' own edge among them changes nothing.
    pub wanted_by: BTreeSet<EdgeId>,
    /// Where it travels already for other reasons: a recording, for example, or another room.
    pub warm: BTreeSet<WarmCopy>,
}

/// A hop over which a stream travels whatever the plan says, so that it costs the plan nothing: from
/// the receiving edge it can go on.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct WarmCopy {
    /// The edge that sends.
    pub from: EdgeId,
    /// The edge that has the copy.
    pub to: EdgeId,
}

impl Demand {
    /// Every one of these edges publishes at this bitrate, and wants what the others publish.
    #[must_use]
    pub fn among(edges: &BTreeSet<EdgeId>, bitrate: Bitrate) -> Self {
        let stream = Stream {
            bitrate,
            wanted_by: edges.clone(),
            warm: BTreeSet::new(),
        };
        Self {
            streams: (edges.iter().cloned())
                .map(|edge| (edge, stream.clone()))
                .collect(),
            residency: Residency::anywhere(),
        }
    }

    /// The same within a residency.
    #[must_use]
    pub fn within(self, residency: Residency) -> Self {
        Self { residency, ..self }
    }
}
