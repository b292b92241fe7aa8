//! The regions that have edges, and the links between them.

use std::collections::BTreeMap;
use std::sync::{Arc, OnceLock};

use sluice_types::ids::{EdgeId, RegionName};
use sluice_types::topology::{Link, Price, Topology};
use sluice_types::units::Bitrate;

use crate::net::{Net, Terrain};

/// The round trip between two edges of one region, in microseconds.
pub(crate) const WITHIN_REGION_US: u64 = 1_000;

/// A measured round trip replaces the one in use only when they differ by more than both of these:
/// a link's jitter is no reason to plan anything anew.
const JITTER_PERMILLE: u64 = 100;
const JITTER_US: u64 = 1_000;

/// How many terrains are kept that may come back, each with what was found over it.
const TERRAINS_MAX: usize = 4;

/// Regions with the edges that are up, joined by links with round trip, price and capacity.
///
/// Each change counts up the version. What is derived from the graph is kept until then.
#[derive(Debug, Clone, Default)]
pub struct Graph {
    edges: BTreeMap<RegionName, Vec<EdgeId>>,
    region_of: BTreeMap<EdgeId, RegionName>,
    /// Each link twice, under the end that sends.
    links: BTreeMap<RegionName, BTreeMap<RegionName, Sending>>,
    version: u64,
    net: OnceLock<Arc<Net>>,
    /// The version since which no plan may have become dearer than it need be.
    improved: u64,
    /// The last terrains, the latest last: a change may not have changed it, and what failed comes back.
    terrains: Vec<Arc<Terrain>>,
}

/// What a link takes, costs and carries.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LinkTerms {
    /// The declared round trip, in microseconds.
    pub round_trip_us: u64,
    /// The price of what the first and the second end send.
    pub prices: [Price; 2],
    /// What it carries in each direction.
    pub capacity: Bitrate,
}

/// A link as the end that sends sees it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Sending {
    declared_us: u64,
    measured_us: Option<u64>,
    pub(crate) price: Price,
    pub(crate) capacity: Bitrate,
    pub(crate) up: bool,
}

impl Sending {
    /// Measured, or declared until then; never zero, so that every hop takes some time.
    pub(crate) fn round_trip_us(&self) -> u64 {
        self.measured_us.unwrap_or(self.declared_us).max(1)
    }
}

impl From<&Link> for LinkTerms {
    fn from(link: &Link) -> Self {
        let price = |end| link.price_from(end).unwrap_or_default();
        Self {
            round_trip_us: u64::from(link.round_trip().0) * 1_000,
            prices: [price(&link.ends()[0]), price(&link.ends()[1])],
            capacity: link.capacity(),
        }
    }
}

impl Graph {
    /// The graph of a topology, of which only `up` edges carry anything.
    #[must_use]
    pub fn new(topology: &Topology, up: impl IntoIterator<Item = EdgeId>) -> Self {
        let mut graph = Self::default();
        for link in topology.links() {
            let [a, b] = link.ends();
            graph.add_link_with(a.clone(), b.clone(), &LinkTerms::from(link));
        }
        for edge in up {
            if let Some((region, _)) = topology.edge(&edge) {
                graph.add_edge(edge, region.name().clone());
            }
        }
        graph
    }

    /// Adds a link, in both directions, that costs nothing and carries everything.
    pub fn add_link(&mut self, a: RegionName, b: RegionName, round_trip_us: u64) {
        let terms = LinkTerms {
            round_trip_us,
            prices: [Price::default(); 2],
            capacity: Bitrate::bps(u64::MAX),
        };
        self.add_link_with(a, b, &terms);
    }

    /// Adds a link, in both directions, in place of the one that was there.
    pub fn add_link_with(&mut self, a: RegionName, b: RegionName, terms: &LinkTerms) {
        let sending = |price| Sending {
            declared_us: terms.round_trip_us,
            measured_us: None,
            price,
            capacity: terms.capacity,
            up: true,
        };
        let [from_a, from_b] = terms.prices.map(sending);
        let links = self.links.entry(a.clone()).or_default();
        links.insert(b.clone(), from_a);
        self.links.entry(b).or_default().insert(a, from_b);
        self.improve();
    }

    /// Has the links of this topology and no others. What was measured of one that stays is kept.
    pub fn adopt(&mut self, topology: &Topology) {
        let before = std::mem::take(&mut self.links);
        for link in topology.links() {
            let [a, b] = link.ends();
            self.add_link_with(a.clone(), b.clone(), &LinkTerms::from(link));
        }
        for (from, links) in before {
            // Regions keep their numbers, even without links.
            let now = self.links.entry(from).or_default();
            for (to, was) in links {
                if let Some(now) = now.get_mut(&to) {
                    now.measured_us = was.measured_us;
                    now.up = was.up;
                }
            }
        }
        self.improve();
        // What was found may have been found by other rules.
        self.terrains.clear();
    }

    /// A link fails or comes back; says whether that is news.
    pub fn set_link_up(&mut self, a: &RegionName, b: &RegionName, up: bool) -> bool {
        let is_news =
            self.change_link(a, b, |sending| std::mem::replace(&mut sending.up, up) != up);
        if is_news && up {
            self.improve();
        }
        is_news
    }

    /// A link's round trip was measured; says whether it is so far from the one in use that it
    /// takes its place.
    pub fn measure(&mut self, a: &RegionName, b: &RegionName, round_trip_us: u64) -> bool {
        let is_news = self.change_link(a, b, |sending| {
            let in_use = sending.round_trip_us();
            let apart = in_use.abs_diff(round_trip_us);
            let news = apart > JITTER_US && apart > in_use * JITTER_PERMILLE / 1_000;
            // What is near the one in use confirms it.
            sending.measured_us = Some(if news { round_trip_us } else { in_use });
            news
        });
        if is_news {
            self.improve();
        }
        is_news
    }

    fn change_link(
        &mut self,
        a: &RegionName,
        b: &RegionName,
        change: impl Fn(&mut Sending) -> bool,
    ) -> bool {
        let mut changed = false;
        for (from, to) in [(a, b), (b, a)] {
            let links = self.links.get_mut(from);
            let sending = links.and_then(|links| links.get_mut(to));
            changed |= sending.is_some_and(&change);
        }
        if changed {
            self.change();
        }
        changed
    }

    /// Adds an edge that is up, in this region and no other.
    pub fn add_edge(&mut self, edge: EdgeId, region: RegionName) {
        if self.region_of.get(&edge).is_some_and(|was| *was != region) {
            self.remove_edge(&edge);
        }
        let edges = self.edges.entry(region.clone()).or_default();
        if let Err(place) = edges.binary_search(&edge) {
            edges.insert(place, edge.clone());
        }
        self.region_of.insert(edge, region);
        self.improve();
    }

    /// An edge is down; says whether it was up.
    pub fn remove_edge(&mut self, edge: &EdgeId) -> bool {
        let Some(region) = self.region_of.remove(edge) else {
            return false;
        };
        if let Some(edges) = self.edges.get_mut(&region) {
            edges.retain(|other| other != edge);
        }
        self.change();
        true
    }

    /// Counts the graph's changes.
    #[must_use]
    pub const fn version(&self) -> u64 {
        self.version
    }

    /// The version since which nothing came up, or moved nearer: what was planned on it or later is as
    /// good as can be had.
    pub(crate) const fn improved(&self) -> u64 {
        self.improved
    }

    /// The region of an edge that is up.
    #[must_use]
    pub fn region_of(&self, edge: &EdgeId) -> Option<&RegionName> {
        self.region_of.get(edge)
    }

    /// The edges of a region that are up, in order of their names.
    #[must_use]
    pub fn edges_in(&self, region: &RegionName) -> &[EdgeId] {
        self.edges.get(region).map_or(&[], Vec::as_slice)
    }

    /// The round trip between two edges, in microseconds, when their regions are linked or the same.
    #[must_use]
    pub fn direct_us(&self, a: &EdgeId, b: &EdgeId) -> Option<u64> {
        let (a, b) = (self.region_of(a)?, self.region_of(b)?);
        if a == b {
            return Some(WITHIN_REGION_US);
        }
        let sending = self.sending(a, b)?;
        Some(sending.round_trip_us())
    }

    /// The price of what one edge sends another; nothing within a region.
    #[must_use]
    pub fn price(&self, from: &EdgeId, to: &EdgeId) -> Option<Price> {
        let (from, to) = (self.region_of(from)?, self.region_of(to)?);
        if from == to {
            return Some(Price::default());
        }
        Some(self.sending(from, to)?.price)
    }

    /// Whether the round trip of the link between two regions was measured, or what was declared
    /// confirmed but for jitter.
    #[must_use]
    pub fn is_measured(&self, a: &RegionName, b: &RegionName) -> bool {
        a == b || (self.sending(a, b)).is_some_and(|sending| sending.measured_us.is_some())
    }

    /// The link between two regions, when it is up.
    fn sending(&self, from: &RegionName, to: &RegionName) -> Option<&Sending> {
        let sending = self.links.get(from)?.get(to)?;
        sending.up.then_some(sending)
    }

    /// Every region that ever had a link or an edge.
    pub(crate) fn regions(&self) -> impl Iterator<Item = &RegionName> {
        self.links.keys().chain(self.edges.keys())
    }

    /// The links that are up over which a region sends.
    pub(crate) fn links_from(
        &self,
        region: &RegionName,
    ) -> impl Iterator<Item = (&RegionName, &Sending)> {
        let links = self.links.get(region).into_iter().flatten();
        links.filter(|(_, sending)| sending.up)
    }

    /// The graph by numbers, made once for each version.
    pub(crate) fn net(&self) -> &Arc<Net> {
        let make = || Arc::new(Net::new(self, &self.terrains));
        self.net.get_or_init(make)
    }

    /// Something is there that was not, or takes less time.
    fn improve(&mut self) {
        self.change();
        self.improved = self.version;
    }

    fn change(&mut self) {
        self.version += 1;
        if let Some(net) = self.net.take() {
            self.terrains
                .retain(|known| !Arc::ptr_eq(known, &net.terrain));
            if self.terrains.len() >= TERRAINS_MAX {
                self.terrains.remove(0);
            }
            self.terrains.push(Arc::clone(&net.terrain));
        }
    }
}
