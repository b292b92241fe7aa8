//! The plans of all rooms of a mesh, made anew where they have to be.

use std::collections::{BTreeMap, BTreeSet};

use sluice_types::ids::{EdgeId, MeetingId, RegionName};
use sluice_types::topology::Topology;
use sluice_types::units::Bitrate;

use crate::assess::{Around, Assessed};
use crate::demand::Demand;
use crate::explain::{Explanation, explain};
use crate::graph::Graph;
use crate::load::{Load, all_crossings, crossings};
use crate::net::Net;
use crate::planned::{Planned, Room, Used, Which};
use crate::standby::with_standbys;
use crate::tree::{Job, PlannedTrees, Rules, refused};
use crate::way::Search;

/// The plans of all rooms. What a room puts on links is left out of what others may.
///
/// When something fails, the rooms whose trees use it are planned at once, and of those rooms only
/// these trees. When something comes up, plans stay sound and may only be dear: [`Self::refresh`]
/// looks at them a few at a time.
#[derive(Clone)]
pub struct Planner {
    graph: Graph,
    rules: Rules,
    rooms: BTreeMap<MeetingId, Room>,
    /// The rooms by the version of the graph on which all their trees were last looked at.
    by_version: BTreeSet<(u64, MeetingId)>,
    load: Load,
    search: Search,
}

/// A room whose plan is new.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Changed {
    /// Which.
    pub room: MeetingId,
    /// The whole plan, of which some trees may be as before.
    pub planned: PlannedTrees,
}

impl Planner {
    /// No rooms yet.
    #[must_use]
    pub fn new(graph: Graph, rules: Rules) -> Self {
        Self {
            load: Load::new(graph.net()),
            graph,
            rules,
            rooms: BTreeMap::new(),
            by_version: BTreeSet::new(),
            search: Search::default(),
        }
    }

    /// The mesh as it is known.
    #[must_use]
    pub const fn graph(&self) -> &Graph {
        &self.graph
    }

    /// Every room with its plan.
    pub fn rooms(&self) -> impl Iterator<Item = (&MeetingId, PlannedTrees)> {
        self.rooms.iter().map(|(id, room)| (id, room.planned()))
    }

    /// What all plans put on the link from one region to another.
    #[must_use]
    pub fn load(&self, from: &RegionName, to: &RegionName) -> Bitrate {
        let net = self.graph.net();
        let ends = net.region(from).zip(net.region(to));
        Bitrate::bps(ends.map_or(0, |(from, to)| self.load.used(from, to)))
    }

    /// A room's plan.
    #[must_use]
    pub fn planned(&self, room: &MeetingId) -> Option<PlannedTrees> {
        self.rooms.get(room).map(Room::planned)
    }

    /// What a room's tree is planned with.
    #[must_use]
    pub fn planned_bitrate(&self, room: &MeetingId, root: &EdgeId) -> Option<Bitrate> {
        let planned = self.rooms.get(room)?.trees.get(root)?;
        Some(Bitrate::bps(planned.bps))
    }

    /// Why a room's trees are as they are, root by root: what is planned with for its tracks, and
    /// each edge's place.
    #[must_use]
    pub fn explain(&self, room: &MeetingId) -> Option<Vec<(EdgeId, Bitrate, Vec<Explanation>)>> {
        let room = self.rooms.get(room)?;
        let trees = room.trees.iter().map(|(root, planned)| {
            let explained = explain(&self.graph, &room.demand, &self.rules, &planned.needed());
            (root.clone(), Bitrate::bps(planned.bps), explained)
        });
        Some(trees.collect())
    }

    /// How many rooms' trees use the link between two regions.
    #[must_use]
    pub fn rooms_over(&self, a: &RegionName, b: &RegionName) -> usize {
        let link = self.link(a, b);
        let uses = |room: &&Room| {
            let mut planned = room.trees.values();
            planned.any(|planned| link.as_ref().is_some_and(|link| planned.uses(link)))
        };
        self.rooms.values().filter(uses).count()
    }

    /// Whether no link carries anything.
    #[cfg(test)]
    pub(crate) fn is_idle(&self) -> bool {
        self.rooms.is_empty() && self.by_version.is_empty() && self.load.is_idle()
    }

    fn link(&self, a: &RegionName, b: &RegionName) -> Option<Used<'static>> {
        let net = self.graph.net();
        Some(Used::Link(net.region(a)?, net.region(b)?))
    }

    /// Looking through all trees takes a millisecond or two for ten thousand rooms; an index would
    /// have to be kept up with every plan.
    fn users(&self, used: &Used<'_>) -> BTreeSet<MeetingId> {
        let uses = |room: &Room| {
            let mut planned = room.trees.values();
            planned.any(|planned| planned.uses(used) || planned.leans_on(used))
        };
        let users = self.rooms.iter().filter(|(_, room)| uses(room));
        users.map(|(id, _)| id.clone()).collect()
    }

    /// A room needs something, or something else than before; `None` when its plan stays.
    pub fn set_demand(&mut self, room: &MeetingId, demand: Demand) -> Option<Changed> {
        let known = self.rooms.entry(room.clone()).or_default();
        let before = std::mem::replace(&mut known.demand, demand);
        let rooms = BTreeSet::from([room.clone()]);
        self.plan(&rooms, &Which::Demand(&before)).pop()
    }

    /// A room is over.
    pub fn remove(&mut self, room: &MeetingId) {
        let Some(known) = self.rooms.remove(room) else {
            return;
        };
        self.by_version.remove(&(known.version, room.clone()));
        for planned in known.trees.values() {
            self.load.remove(&planned.links, planned.bps);
        }
    }

    /// A link fails or comes back; gives the rooms whose plans change at once.
    pub fn set_link_up(&mut self, a: &RegionName, b: &RegionName, up: bool) -> Vec<Changed> {
        let is_news = self.graph.set_link_up(a, b, up);
        match self.link(a, b) {
            Some(link) if is_news && !up => self.plan(&self.users(&link), &Which::Using(link)),
            _ => Vec::new(),
        }
    }

    /// A link's round trip was measured; gives the rooms whose plans change at once.
    pub fn measure(&mut self, a: &RegionName, b: &RegionName, us: u64) -> Vec<Changed> {
        let is_news = self.graph.measure(a, b, us);
        match self.link(a, b) {
            Some(link) if is_news => self.plan(&self.users(&link), &Which::Using(link)),
            _ => Vec::new(),
        }
    }

    /// The topology is another. Plans stay as they are until rooms are asked for again.
    pub fn adopt(&mut self, topology: &Topology, rules: Rules) {
        self.rules = rules;
        let regions = self.graph.net().len();
        self.graph.adopt(topology);
        if self.graph.net().len() != regions {
            self.add_load_up();
        }
    }

    /// An edge comes up. If it was up in another region, it is gone from there: gives the rooms whose
    /// plans change at once.
    pub fn edge_up(&mut self, edge: EdgeId, region: RegionName) -> Vec<Changed> {
        let was = self.graph.region_of(&edge);
        let moved = was.is_some_and(|was| *was != region);
        let changed = if moved {
            self.edge_down(&edge)
        } else {
            Vec::new()
        };
        let regions = self.graph.net().len();
        self.graph.add_edge(edge, region);
        if self.graph.net().len() != regions {
            self.add_load_up();
        }
        changed
    }

    /// An edge is gone; gives the rooms whose plans change at once.
    pub fn edge_down(&mut self, edge: &EdgeId) -> Vec<Changed> {
        if !self.graph.remove_edge(edge) {
            return Vec::new();
        }
        let used = Used::Edge(edge);
        self.plan(&self.users(&used), &Which::Using(used))
    }

    /// Looks at rooms again that were planned before the graph last got better, at most `rooms_max` of
    /// them, the oldest first; gives those whose plans change. Nothing is left to do when
    /// [`Self::stale`] is 0.
    pub fn refresh(&mut self, rooms_max: usize) -> Vec<Changed> {
        let improved = self.graph.improved();
        let stale = (self.by_version.iter()).take_while(|(of, _)| *of < improved);
        let rooms = stale
            .take(rooms_max)
            .map(|(_, room)| room.clone())
            .collect();
        self.plan(&rooms, &Which::All)
    }

    /// How many rooms were planned before the graph last got better.
    #[must_use]
    pub fn stale(&self) -> usize {
        let improved = self.graph.improved();
        (self.by_version.iter())
            .take_while(|(of, _)| *of < improved)
            .count()
    }

    /// Plans these trees of rooms.
    fn plan(&mut self, rooms: &BTreeSet<MeetingId>, which: &Which<'_>) -> Vec<Changed> {
        let net = self.graph.net().clone();
        let version = self.graph.version();
        // None of them keeps what another could have.
        let mut former = Vec::new();
        for id in rooms {
            if let Some(room) = self.rooms.get_mut(id) {
                let (taken, is_new) = room.part(which, &net, version, &mut self.load);
                former.push((id, taken, is_new));
            }
        }
        let mut changed = Vec::new();
        for (id, taken, has_news) in former {
            let only_taken = matches!(which, Which::Using(_));
            if self.plan_room(&net, id, &taken, only_taken) || has_news {
                let planned = self.rooms.get(id).map(Room::planned).unwrap_or_default();
                changed.push(Changed {
                    room: id.clone(),
                    planned,
                });
            }
        }
        changed
    }

    /// Plans what was taken, and unless it is that alone, what has no tree yet; says whether anything
    /// is new.
    fn plan_room(
        &mut self,
        net: &Net,
        id: &MeetingId,
        taken: &BTreeMap<EdgeId, Planned>,
        only_taken: bool,
    ) -> bool {
        let Some(room) = self.rooms.get_mut(id) else {
            return false;
        };
        let version = self.graph.version();
        let ways = net.ways(&room.demand.residency);
        let refused = refused(net, &room.demand);
        let mut is_new = refused != room.refused;
        room.refused = refused;
        let roots = room.demand.streams.keys().chain(taken.keys());
        let roots: BTreeSet<_> = roots
            .filter(|root| {
                taken.contains_key(*root) || !only_taken && !room.trees.contains_key(*root)
            })
            .collect();
        for root in roots {
            let before = taken.get(root);
            let planned = room.demand.streams.get(root).and_then(|stream| {
                let around = Around::new(net, &ways, &self.load, stream.bitrate.as_bps());
                let job = Job {
                    around: &around,
                    root,
                    stream,
                    residency: &room.demand.residency,
                    rules: &self.rules,
                    before: before.map(|planned| &planned.tree),
                };
                let Assessed { tree, broken, .. } = job.plan(&mut self.search)?;
                let same = before.filter(|before| before.version == version && before.tree == tree);
                let full = match same {
                    Some(before) => before.full.clone(),
                    None => with_standbys(net, &ways, &tree),
                };
                Some(Planned {
                    links: crossings(net, &tree),
                    spare: all_crossings(net, &full),
                    full,
                    tree,
                    broken,
                    bps: around.bps,
                    is_free: job.is_free(),
                    terrain: net.terrain.number,
                    version,
                })
            });
            let told = |planned: &Planned| (planned.full.clone(), planned.broken.clone());
            is_new |= planned.as_ref().map(told) != before.map(told);
            if let Some(planned) = planned {
                self.load.add(&planned.links, planned.bps);
                room.trees.insert(root.clone(), planned);
            }
        }
        if !only_taken {
            self.by_version.remove(&(room.version, id.clone()));
            room.version = version;
            self.by_version.insert((version, id.clone()));
        }
        is_new
    }

    /// Regions have other numbers when one is new.
    fn add_load_up(&mut self) {
        let net = self.graph.net();
        self.load = Load::new(net);
        let rooms = self.rooms.values_mut();
        for planned in rooms.flat_map(|room| room.trees.values_mut()) {
            planned.renew_links(net);
            self.load.add(&planned.links, planned.bps);
        }
    }
}
