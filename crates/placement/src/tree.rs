//! Relay trees: for each edge that publishes, the way of its tracks to all that want them.
//!
//! A tree is the cheapest that is found whose paths keep to the stretch ([`crate::optimise`]), within
//! capacity, fan-out and hops. Where that cannot be, it breaks as little as can be, and says what.

use std::collections::{BTreeMap, BTreeSet};

use sluice_types::ids::EdgeId;
use sluice_types::mesh::control::RelayTree;
use sluice_types::units::Bitrate;

use crate::assess::{Around, Assessed, warm_hops};
use crate::attach::Edges;
use crate::backup::add_backups;
use crate::demand::{Demand, Stream};
use crate::found::Question;
use crate::graph::Graph;
use crate::limits::{Broken, Limits};
use crate::load::{Load, crossings};
use crate::net::{NEVER, Net, Region};
use crate::optimise::{complete, optimise};
use crate::residency::Residency;
use crate::search::limited_tree;
use crate::sketch::{Sketch, Task, Want};
use crate::way::Search;

/// What an edge's publishers send when nothing is known of them: a picture in three layers, and
/// sound.
const LIKELY: Bitrate = Bitrate::kbps(2_500);

/// What plans keep to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rules {
    /// What every tree keeps to, if it can.
    pub limits: Limits,
    /// A tree that works is changed only for one that saves so much of its price, or of its delay at
    /// no higher price, in thousandths, 0 to 1,000.
    pub gain_permille: u32,
}

impl Rules {
    /// What changes a tree unless told otherwise, in thousandths.
    pub const GAIN_PERMILLE: u32 = 100;
}

impl From<Limits> for Rules {
    fn from(limits: Limits) -> Self {
        Self {
            limits,
            gain_permille: Self::GAIN_PERMILLE,
        }
    }
}

/// The trees of a room and what was broken for them.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct PlannedTrees {
    /// One for each edge that publishes and is up and not refused, in order.
    pub trees: Vec<RelayTree>,
    /// Empty when every limit holds and nothing is refused.
    pub broken: Vec<Broken>,
}

/// The trees that join the edges `demand`, each of which publishes. Equal input gives equal trees.
#[must_use]
pub fn plan_trees(graph: &Graph, demand: &BTreeSet<EdgeId>, limits: &Limits) -> PlannedTrees {
    let demand = Demand::among(demand, LIKELY);
    plan_room(graph, &demand, &Rules::from(*limits), &[])
}

/// The trees of a room whose trees were `before`. Equal input gives equal trees.
#[must_use]
pub fn plan_room(
    graph: &Graph,
    demand: &Demand,
    rules: &Rules,
    before: &[RelayTree],
) -> PlannedTrees {
    let net = graph.net();
    let ways = net.ways(&demand.residency);
    let mut load = Load::new(net);
    let mut planned = PlannedTrees {
        trees: Vec::new(),
        broken: refused(net, demand),
    };
    let mut search = Search::default();
    for (root, stream) in &demand.streams {
        let around = Around::new(net, &ways, &load, stream.bitrate.as_bps());
        let before = before.iter().find(|tree| tree.root == *root);
        let job = Job {
            around: &around,
            root,
            stream,
            residency: &demand.residency,
            rules,
            before,
        };
        if let Some(assessed) = job.plan(&mut search) {
            let Assessed {
                mut tree, broken, ..
            } = assessed;
            add_backups(net, &mut tree);
            load.add(&crossings(net, &tree), stream.bitrate.as_bps());
            planned.trees.push(tree);
            planned.broken.extend(broken);
        }
    }
    planned
}

/// The edges of a demand that its residency refuses.
pub(crate) fn refused(net: &Net, demand: &Demand) -> Vec<Broken> {
    let wanting = demand.streams.values().flat_map(|stream| &stream.wanted_by);
    let edges: BTreeSet<_> = demand.streams.keys().chain(wanting).collect();
    let refused = edges.into_iter().filter_map(|edge| {
        let region = net.name(net.region_of(edge)?);
        let rule = demand.residency.check(region).err()?;
        Some(Broken::Refused {
            edge: edge.clone(),
            region: region.clone(),
            rule,
        })
    });
    refused.collect()
}

/// One tree to be planned.
pub(crate) struct Job<'a> {
    pub(crate) around: &'a Around<'a>,
    pub(crate) root: &'a EdgeId,
    pub(crate) stream: &'a Stream,
    pub(crate) residency: &'a Residency,
    pub(crate) rules: &'a Rules,
    pub(crate) before: Option<&'a RelayTree>,
}

impl Job<'_> {
    /// The tree, without backups; `None` when the root is not up, or may not be where it is.
    pub(crate) fn plan(&self, search: &mut Search) -> Option<Assessed> {
        let home = self.around.net.region_of(self.root)?;
        if !self.around.ways.usable(home) {
            return None;
        }
        let wanted = self.wanted(home);
        let mut slots: fn(&Self, Region, usize) -> u32 = Self::slots;
        let mut best = self.attach(&wanted, &self.together(search, home, &wanted));
        if !best.is_sound() {
            // Edges that help out are a hop on the way too.
            slots = Self::own_slots;
            let (sketch, _) = optimise(&self.task(home, &wanted, slots), search);
            let limits = &self.rules.limits;
            let tree = limited_tree(self.around, self.root, &self.stream.wanted_by, limits);
            for other in [self.attach(&wanted, &sketch), self.assess(tree)] {
                if other.score() < best.score() {
                    best = other;
                }
            }
        }
        if let Some(before) = self.before {
            let task = || self.task(home, &wanted, slots);
            best = self.keep(task, search, &wanted, before, best);
        }
        Some(best)
    }

    /// What is in force, or what is left of it made whole, unless `best` is worth the change.
    fn keep<'a>(
        &'a self,
        task: impl FnOnce() -> Task<'a>,
        search: &mut Search,
        wanted: &BTreeMap<Region, Vec<EdgeId>>,
        before: &RelayTree,
        best: Assessed,
    ) -> Assessed {
        let gain = self.rules.gain_permille;
        if self.still_stands(before) {
            let kept = self.assess(before.clone());
            if !best.is_worth(&kept, gain) {
                return kept;
            }
        }
        let task = task();
        let rest = self.rest(&task, before);
        let repaired = self.attach(wanted, &complete(&task, search, rest));
        if best.is_worth(&repaired, gain) {
            best
        } else {
            repaired
        }
    }

    /// Whether a tree has what is wanted, and nothing that leads nowhere, over links that are up.
    fn still_stands(&self, tree: &RelayTree) -> bool {
        let Around { net, ways, .. } = self.around;
        let feeds = |edge: &EdgeId| tree.branches.iter().any(|other| other.parent == *edge);
        let stands = tree.branches.iter().all(|branch| {
            let region = net.region_of(&branch.edge);
            region.is_some_and(|region| ways.usable(region))
                && self.around.step_us(&branch.parent, &branch.edge).is_some()
                && (self.stream.wanted_by.contains(&branch.edge) || feeds(&branch.edge))
        });
        let home = net.region_of(self.root);
        let mut wanted = self
            .stream
            .wanted_by
            .iter()
            .filter(|edge| *edge != self.root);
        stands
            && wanted.all(|edge| {
                let reached = home.zip(net.region_of(edge));
                reached.is_none_or(|(from, to)| ways.delay(from, to) == NEVER)
                    || tree.branch(edge).is_some()
            })
    }

    /// What is left of a tree that was in force.
    fn rest(&self, task: &Task<'_>, before: &RelayTree) -> Sketch {
        let net = self.around.net;
        let mut sketch = Sketch::new(net, task.root);
        for branch in &before.branches {
            let ends = net
                .region_of(&branch.parent)
                .zip(net.region_of(&branch.edge));
            let Some((from, to)) = ends else { continue };
            let has_slot = sketch.places[from].children < task.slots[from];
            let hop = net.hop(from, to).filter(|hop| {
                self.around.ways.usable(to) && self.around.load.takes(from, hop, task.bps)
            });
            if hop.is_some() && has_slot && sketch.has(from) && !sketch.has(to) {
                sketch.join(net, &[from, to]);
            }
        }
        sketch
    }

    /// The edges that want the stream and can be reached, without the root, by region.
    fn wanted(&self, home: Region) -> BTreeMap<Region, Vec<EdgeId>> {
        let mut wanted: BTreeMap<_, Vec<_>> = BTreeMap::new();
        for edge in self
            .stream
            .wanted_by
            .iter()
            .filter(|edge| *edge != self.root)
        {
            if let Some(region) = self.around.net.region_of(edge)
                && self.around.ways.delay(home, region) != NEVER
            {
                wanted.entry(region).or_default().push(edge.clone());
            }
        }
        wanted
    }

    fn task<'a>(
        &'a self,
        home: Region,
        wanted: &BTreeMap<Region, Vec<EdgeId>>,
        slots: fn(&Self, Region, usize) -> u32,
    ) -> Task<'a> {
        let Around {
            net,
            ways,
            load,
            is_roomy,
            bps,
        } = *self.around;
        let limits = &self.rules.limits;
        let wants: Vec<_> = wanted
            .iter()
            .filter(|(region, _)| **region != home)
            .map(|(&region, edges)| Want {
                region,
                delay_max: limits.stretched_us(ways.delay(home, region)),
                hops_max: u64::from(limits.hops_max).saturating_sub(u64::from(edges.len() > 1)),
            })
            .collect();
        let mut is_wanted = vec![false; net.len()];
        for want in &wants {
            is_wanted[want.region] = true;
        }
        let inside = |region| {
            let edges = wanted.get(&region).map_or(0, Vec::len);
            edges.saturating_sub(usize::from(region != home))
        };
        Task {
            net,
            ways,
            load,
            is_roomy,
            root: home,
            wants,
            wanted: is_wanted,
            slots: (0..net.len())
                .map(|region| slots(self, region, inside(region)))
                .collect(),
            warm: warm_hops(net, self.stream).into_iter().collect(),
            bps,
        }
    }

    /// The best tree over regions that is found when the edges of each help one another.
    fn together(
        &self,
        search: &mut Search,
        home: Region,
        wanted: &BTreeMap<Region, Vec<EdgeId>>,
    ) -> Sketch {
        let Around {
            net,
            ways,
            is_roomy,
            ..
        } = *self.around;
        let mut find = || optimise(&self.task(home, wanted, Self::slots), search).0;
        if !is_roomy || !self.stream.warm.is_empty() {
            return find();
        }
        let regions = wanted.iter().filter(|(region, _)| **region != home);
        let question = Question {
            ways: ways.number,
            root: home,
            limits: self.rules.limits,
            // Whether the way has one more hop, within the region.
            wanted: regions
                .map(|(&region, edges)| (region, edges.len() > 1))
                .collect(),
            scarce: self.scarce(wanted.len()),
        };
        net.terrain.found.or_find(net, question, find)
    }

    /// Whether nothing but the terrain and what is wanted decides the tree: no lack of room on links or
    /// of edges that help.
    pub(crate) fn is_free(&self) -> bool {
        self.around.is_roomy && self.scarce(self.stream.wanted_by.len()).is_empty()
    }

    /// The regions that may be asked to feed more others than they can when so many are wanted, with
    /// how many they can.
    fn scarce(&self, wanted: usize) -> Vec<(Region, u32)> {
        // What a region feeds leads to a wanted one each, or to one that is tried on the way.
        let fed_max = u32::try_from(wanted).unwrap_or(u32::MAX).saturating_add(1);
        let slots = (0..self.around.net.len()).map(|region| (region, self.slots(region, 0)));
        slots.filter(|(_, slots)| *slots < fed_max).collect()
    }

    /// How many regions a region can feed when all its edges help, `_inside` of which want the stream
    /// themselves.
    fn slots(&self, region: Region, _inside: usize) -> u32 {
        let edges = u32::try_from(self.around.net.edges[region].len()).unwrap_or(u32::MAX);
        let fan_out = self.rules.limits.fan_out_max.max(1);
        let within = edges.saturating_sub(1);
        edges.saturating_mul(fan_out).saturating_sub(within).max(1)
    }

    /// The same for an edge alone, which feeds the others of its region too.
    fn own_slots(&self, _region: Region, inside: usize) -> u32 {
        let inside = u32::try_from(inside).unwrap_or(u32::MAX);
        let fan_out = self.rules.limits.fan_out_max;
        fan_out.saturating_sub(inside).max(1)
    }

    fn attach(&self, wanted: &BTreeMap<Region, Vec<EdgeId>>, sketch: &Sketch) -> Assessed {
        let warm: BTreeSet<_> = self
            .stream
            .warm
            .iter()
            .map(|copy| copy.to.clone())
            .collect();
        let edges = Edges {
            root: self.root,
            wanted,
            warm: &warm,
            before: self.before,
            fan_out_max: self.rules.limits.fan_out_max,
        };
        self.assess(edges.attach(self.around.net, sketch))
    }

    fn assess(&self, tree: RelayTree) -> Assessed {
        let Self {
            stream,
            residency,
            rules,
            ..
        } = self;
        self.around.assess(tree, stream, residency, &rules.limits)
    }
}
