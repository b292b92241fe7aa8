//! The validated topology: what `topology.toml` and `regions/*.toml` say, once it is known to be
//! sound.
//!
//! A [`Topology`] comes from text and is either whole or a list of every [`Fault`]. After that no
//! reader has to check anything again: every link joins two regions that exist and differ, every
//! region is reached within the hop limit, every edge's name is unique.
//!
//! The keys, their defaults and ranges are in `docs/TOPOLOGY.md`.

mod certificates;
mod changes;
mod check;
mod cloud;
mod fault;
mod files;
mod host;
mod link;
mod position;
mod read_cloud;
mod read_edges;
mod read_mesh;
mod read_region;
mod reader;
mod region;
mod rules;
mod settings;
#[cfg(test)]
mod tests;

pub use certificates::{Acme, Certificates};
pub use changes::{Change, How, Part, Value};
pub use cloud::{Cloud, Provider, UnknownProvider};
pub use fault::{Fault, FaultKind, Source};
pub use files::{LoadError, TopologyFiles, load_dir};
pub use host::{DnsName, Host, InvalidHost};
pub use link::{Link, Loss, Price};
pub use position::{InvalidPosition, Position};
pub use region::{Edge, Ports, Region, Turn};
pub use rules::RegionRules;
pub use settings::{CoordinatorSettings, Policy, Stretch};

use crate::ids::{EdgeId, RegionName};

/// A sound mesh: its regions in declared order, the links between them, and how it is run.
#[derive(Debug, Clone, PartialEq)]
pub struct Topology {
    name: String,
    policy: Policy,
    rules: RegionRules,
    coordinator: CoordinatorSettings,
    acme: Option<Acme>,
    regions: Vec<Region>,
    links: Vec<Link>,
}

impl Topology {
    /// Reads and checks the mesh's file and those of all its regions.
    ///
    /// # Errors
    /// Every fault there is, ordered by file, line and column; never an empty list.
    pub fn parse(mesh: Source<'_>, regions: &[Source<'_>]) -> Result<Self, Vec<Fault>> {
        check::parse(mesh, regions)
    }

    /// The mesh's name: 1 to 40 of a-z, 0-9 and inner hyphens.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// What relay trees have to keep to.
    #[must_use]
    pub const fn policy(&self) -> &Policy {
        &self.policy
    }

    /// Where media may be.
    #[must_use]
    pub const fn region_rules(&self) -> &RegionRules {
        &self.rules
    }

    /// How the coordinator behaves.
    #[must_use]
    pub const fn coordinator(&self) -> &CoordinatorSettings {
        &self.coordinator
    }

    /// Who issues certificates of public names, where they do not come from files.
    #[must_use]
    pub const fn acme(&self) -> Option<&Acme> {
        self.acme.as_ref()
    }

    /// The regions in declared order, at least one.
    #[must_use]
    pub fn regions(&self) -> &[Region] {
        &self.regions
    }

    /// The region of this name.
    #[must_use]
    pub fn region(&self, name: &RegionName) -> Option<&Region> {
        self.regions.iter().find(|region| region.name() == name)
    }

    /// Every edge with its region, regions in declared order.
    pub fn edges(&self) -> impl Iterator<Item = (&Region, &Edge)> {
        self.regions
            .iter()
            .flat_map(|region| region.edges().iter().map(move |edge| (region, edge)))
    }

    /// The edge of this name with its region.
    #[must_use]
    pub fn edge(&self, id: &EdgeId) -> Option<(&Region, &Edge)> {
        self.edges().find(|(_, edge)| edge.id() == id)
    }

    /// The links in declared order.
    #[must_use]
    pub fn links(&self) -> &[Link] {
        &self.links
    }

    /// The link between two regions, asked for in either order.
    #[must_use]
    pub fn link_between(&self, a: &RegionName, b: &RegionName) -> Option<&Link> {
        self.links.iter().find(|link| link.joins(a, b))
    }

    /// The regions that a link joins with this one, and the links, in the links' declared order.
    pub fn neighbours<'a>(
        &'a self,
        region: &'a RegionName,
    ) -> impl Iterator<Item = (&'a RegionName, &'a Link)> {
        self.links
            .iter()
            .filter_map(move |link| Some((link.other_end(region)?, link)))
    }
}
