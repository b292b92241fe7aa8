//! Why a plan is as it is, for people.

use std::collections::BTreeMap;
use std::fmt;

use sluice_types::ids::{EdgeId, RegionName};
use sluice_types::mesh::control::RelayTree;
use sluice_types::topology::Price;

use crate::demand::Demand;
use crate::graph::Graph;
use crate::net::NEVER;
use crate::tree::Rules;

/// An edge's place in a tree, and why it is there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Explanation {
    /// Whose tracks.
    pub root: EdgeId,
    /// The edge that receives them.
    pub edge: EdgeId,
    /// The way that they take, both ends included.
    pub path: Vec<EdgeId>,
    /// Its round trip, in microseconds.
    pub round_trip_us: u64,
    /// Whether the round trips of all its links were measured; otherwise some are as declared.
    pub measured: bool,
    /// The shortest round trip that the residency allows, in microseconds.
    pub shortest_us: u64,
    /// The longest that the policy allows, in microseconds.
    pub allowed_us: u64,
    /// What the last hop costs: what the mesh would save without this edge, if none were below it.
    pub price: Price,
    /// What the parent was chosen over.
    pub reason: Reason,
    /// Whom it turns to when the parent is lost.
    pub backup: Option<EdgeId>,
}

/// Why an edge receives from its parent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Reason {
    /// No other edge of the tree could feed it: none is linked, or all are below it.
    OnlyOne,
    /// The next best would cost more, or as much and take longer.
    BestOf(Alternative),
    /// Another would be better on its own: the tree as a whole is cheaper this way, or has another
    /// limit to keep, or was better before and is not so much worse that a change is worth it.
    BetterForTheTree(Alternative),
    /// Every other would take too long or have too many hops or children; this one would do best.
    OthersBreakLimits(Alternative),
}

/// Another parent that an edge could have.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Alternative {
    /// Which.
    pub parent: EdgeId,
    /// The round trip over it, in microseconds.
    pub round_trip_us: u64,
    /// What its hop would cost.
    pub price: Price,
}

impl Explanation {
    /// How long the way is, in thousandths of the shortest.
    #[must_use]
    pub fn stretch_permille(&self) -> u64 {
        match self.shortest_us {
            0 => 1_000,
            shortest => self.round_trip_us.saturating_mul(1_000) / shortest,
        }
    }
}

impl fmt::Display for Alternative {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            parent,
            round_trip_us,
            price,
        } = self;
        write!(f, "{parent} ({} ms, {price})", round_trip_us / 1_000)
    }
}

impl fmt::Display for Explanation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let path: Vec<_> = self.path.iter().map(EdgeId::as_str).collect();
        let kind = if self.measured {
            "measured"
        } else {
            "declared"
        };
        let stretch = self.stretch_permille();
        write!(
            f,
            "{}: {} ms {kind}, {}.{:03} of the shortest, last hop {}; ",
            path.join(" > "),
            self.round_trip_us / 1_000,
            stretch / 1_000,
            stretch % 1_000,
            self.price,
        )?;
        match &self.reason {
            Reason::OnlyOne => f.write_str("nothing else could feed it")?,
            Reason::BestOf(other) => write!(f, "next best {other}")?,
            Reason::BetterForTheTree(other) => write!(f, "better for the whole than {other}")?,
            Reason::OthersBreakLimits(other) => write!(f, "{other} would break a limit")?,
        }
        match &self.backup {
            Some(backup) => write!(f, "; backup {backup}"),
            None => f.write_str("; no backup"),
        }
    }
}

/// Why each edge of a tree is where it is, parents before children. Edges that are not up any more
/// are left out.
#[must_use]
pub fn explain(
    graph: &Graph,
    demand: &Demand,
    rules: &Rules,
    tree: &RelayTree,
) -> Vec<Explanation> {
    let mut places = BTreeMap::from([(&tree.root, Spot::default())]);
    for branch in &tree.branches {
        let above = places.get(&branch.parent).copied().unwrap_or_default();
        let step = graph.direct_us(&branch.parent, &branch.edge);
        let spot = Spot {
            round_trip_us: above.round_trip_us + step.unwrap_or_default(),
            hops: above.hops + 1,
            children: 0,
        };
        places.insert(&branch.edge, spot);
        if let Some(above) = places.get_mut(&branch.parent) {
            above.children += 1;
        }
    }
    let explainer = Explainer {
        graph,
        rules,
        tree,
        places,
    };
    let explained = tree.branches.iter().filter_map(|branch| {
        let (root, edge) = (&tree.root, &branch.edge);
        let (net, path) = (graph.net(), explainer.path(edge));
        let shortest_us =
            (net.ways(&demand.residency)).delay(net.region_of(root)?, net.region_of(edge)?);
        if shortest_us == NEVER {
            return None;
        }
        let allowed_us = rules.limits.allowed_us(shortest_us);
        let measured = path.windows(2).all(|hop| {
            let ends: Option<[&RegionName; 2]> = graph
                .region_of(&hop[0])
                .zip(graph.region_of(&hop[1]))
                .map(Into::into);
            ends.is_some_and(|[a, b]| graph.is_measured(a, b))
        });
        Some(Explanation {
            root: root.clone(),
            edge: edge.clone(),
            path,
            round_trip_us: explainer.places.get(edge)?.round_trip_us,
            measured,
            shortest_us,
            allowed_us,
            price: graph.price(&branch.parent, edge)?,
            reason: explainer.reason(edge, &branch.parent, allowed_us)?,
            backup: branch.backup.clone(),
        })
    });
    explained.collect()
}

#[derive(Debug, Clone, Copy, Default)]
struct Spot {
    round_trip_us: u64,
    hops: u32,
    children: u32,
}

struct Explainer<'a> {
    graph: &'a Graph,
    rules: &'a Rules,
    tree: &'a RelayTree,
    places: BTreeMap<&'a EdgeId, Spot>,
}

impl Explainer<'_> {
    fn path(&self, edge: &EdgeId) -> Vec<EdgeId> {
        let mut path = vec![edge.clone()];
        let mut at = edge;
        while let Some(branch) = self.tree.branch(at) {
            at = &branch.parent;
            path.push(at.clone());
        }
        path.reverse();
        path
    }

    fn reason(&self, edge: &EdgeId, parent: &EdgeId, allowed_us: u64) -> Option<Reason> {
        let limits = &self.rules.limits;
        let others = self.places.iter().filter_map(|(&other, spot)| {
            if other == parent || self.path(other).contains(edge) {
                return None;
            }
            let step_us = self.graph.direct_us(other, edge)?;
            let alternative = Alternative {
                parent: other.clone(),
                round_trip_us: spot.round_trip_us + step_us,
                price: self.graph.price(other, edge)?,
            };
            let breaks = alternative.round_trip_us > allowed_us
                || spot.hops >= limits.hops_max
                || spot.children >= limits.fan_out_max;
            let key = (breaks, alternative.price, alternative.round_trip_us);
            Some((key, alternative))
        });
        let Some(((breaks, price, round_trip_us), best)) =
            others.min_by(|a, b| a.0.cmp(&b.0).then_with(|| a.1.parent.cmp(&b.1.parent)))
        else {
            return Some(Reason::OnlyOne);
        };
        if breaks {
            return Some(Reason::OthersBreakLimits(best));
        }
        let own = (
            self.graph.price(parent, edge)?,
            self.places.get(edge)?.round_trip_us,
        );
        Some(if own <= (price, round_trip_us) {
            Reason::BestOf(best)
        } else {
            Reason::BetterForTheTree(best)
        })
    }
}
