//! What a run showed.

use serde::Serialize;
use sluice_types::units::Time;

/// What must never be otherwise.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Invariant {
    /// No tree that is planned or followed leads back to where it came from.
    NoLoops,
    /// Nobody gets a packet, a data message or a place in the roster twice.
    NoDuplicates,
    /// When everything has settled, each relay that flows is wanted where it goes.
    NoIdleRelays,
    /// The epochs that an edge follows only rise, and none is given to two plans.
    EpochsRise,
    /// Everyone who wants a track and can be reached gets it within the bound after the last fault.
    EverybodyServed,
    /// Everyone's roster is who is there, with what they publish and show, within that bound.
    RostersConverge,
    /// Plans name only edges that are up, and links that are up where there is a way over such.
    PlansAreSound,
    /// What the planner takes links to carry is what trees put on them.
    LoadsAddUp,
    /// No edge has more participants than it takes.
    CapacityKept,
}

/// An invariant that was broken.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Violation {
    /// Which.
    pub invariant: Invariant,
    /// When, in microseconds of virtual time.
    pub at_us: u64,
    /// What was seen.
    pub what: String,
}

impl Violation {
    pub(crate) fn new(invariant: Invariant, at: Time, what: String) -> Self {
        Self {
            invariant,
            at_us: at.as_micros(),
            what,
        }
    }
}

/// How often something was made to fail.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize)]
pub struct Faults {
    /// Edges that died.
    pub edge_crashes: u64,
    /// And of those, the ones that were started again.
    pub edge_restarts: u64,
    /// Times that the coordinator died.
    pub coordinator_crashes: u64,
    /// Links between two regions that were cut.
    pub links_cut: u64,
    /// Edges that were cut off from everybody else, or from the coordinator alone.
    pub edges_cut_off: u64,
    /// Datagrams that the network lost.
    pub datagrams_lost: u64,
    /// Datagrams that the network delivered after later ones.
    pub datagrams_reordered: u64,
}

impl Faults {
    /// Adds another run's.
    pub const fn add(&mut self, other: &Self) {
        self.edge_crashes += other.edge_crashes;
        self.edge_restarts += other.edge_restarts;
        self.coordinator_crashes += other.coordinator_crashes;
        self.links_cut += other.links_cut;
        self.edges_cut_off += other.edges_cut_off;
        self.datagrams_lost += other.datagrams_lost;
        self.datagrams_reordered += other.datagrams_reordered;
    }
}

/// What one run of one seed showed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Outcome {
    /// The seed.
    pub seed: u64,
    /// Steps: messages, packets, timers, and what people and faults did.
    pub events: u64,
    /// How much virtual time passed, in milliseconds.
    pub virtual_ms: u64,
    /// How long after the last fault everything was as it should be, in milliseconds.
    pub settled_ms: Option<u64>,
    /// What was made to fail.
    pub faults: Faults,
    /// What was broken; the run ends with the first.
    pub broken: Option<Violation>,
}
