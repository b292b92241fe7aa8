//! What differs between two topologies.

use std::collections::BTreeMap;
use std::fmt::{self, Debug};

use super::{Edge, Link, Region, Topology};

/// One part that differs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Change {
    /// What it is.
    pub part: Part,
    /// Its name; for a link its ends in order of their names, with ` - ` between; for the rest empty.
    pub name: String,
    /// How it differs.
    pub how: How,
}

/// The parts of a topology.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Part {
    /// What applies to the whole mesh: its name, policy and coordinator.
    Mesh,
    /// A region.
    Region,
    /// An edge.
    Edge,
    /// A link.
    Link,
}

/// How a part differs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum How {
    /// It is new.
    Added,
    /// It is gone.
    Removed,
    /// Some of its keys have other values.
    Changed(Vec<Value>),
}

/// A key that has another value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Value {
    /// The key, as in the files.
    pub key: &'static str,
    /// What it was.
    pub before: String,
    /// What it is.
    pub after: String,
}

impl Part {
    /// The part as a word.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Mesh => "mesh",
            Self::Region => "region",
            Self::Edge => "edge",
            Self::Link => "link",
        }
    }
}

impl fmt::Display for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {} -> {}", self.key, self.before, self.after)
    }
}

/// What a part says, key by key.
type Values = Vec<(&'static str, String)>;

impl Topology {
    /// What is different in `after`: the mesh, then regions, edges and links by their names.
    #[must_use]
    pub fn changes(&self, after: &Self) -> Vec<Change> {
        let mut changes = Vec::new();
        compare(
            &mut changes,
            Part::Mesh,
            self.mesh_values(),
            after.mesh_values(),
        );
        let regions = |topology: &Self| {
            let regions = topology.regions.iter();
            regions
                .map(|region| (region.name().to_string(), region_values(region)))
                .collect()
        };
        compare(&mut changes, Part::Region, regions(self), regions(after));
        let edges = |topology: &Self| {
            let edges = topology.edges();
            edges
                .map(|(_, edge)| (edge.id().to_string(), edge_values(edge)))
                .collect()
        };
        compare(&mut changes, Part::Edge, edges(self), edges(after));
        let links = |topology: &Self| topology.links.iter().map(link_values).collect();
        compare(&mut changes, Part::Link, links(self), links(after));
        changes
    }

    fn mesh_values(&self) -> BTreeMap<String, Values> {
        let (policy, coordinator) = (&self.policy, &self.coordinator);
        let rules = &self.rules;
        let values = vec![
            ("name", self.name.clone()),
            (
                "policy.latency_stretch",
                policy.latency_stretch().to_string(),
            ),
            ("policy.fan_out_max", policy.fan_out_max().to_string()),
            ("policy.hops_max", policy.hops_max().to_string()),
            (
                "policy.initial_mtu_bytes",
                policy.initial_mtu_bytes().to_string(),
            ),
            (
                "policy.regions_allowed",
                rules.allowed().map_or_else(|| "all".to_owned(), list),
            ),
            ("policy.regions_denied", list(rules.denied())),
            (
                "coordinator.public_url",
                coordinator.public_url().to_owned(),
            ),
            (
                "coordinator.heartbeat_ms",
                coordinator.heartbeat().to_string(),
            ),
            (
                "coordinator.silent_after_ms",
                coordinator.silent_after().to_string(),
            ),
            (
                "coordinator.fallback_region",
                coordinator.fallback_region().to_string(),
            ),
            (
                "coordinator.join_token_s",
                coordinator.join_token_s().to_string(),
            ),
            (
                "coordinator.turn_credential_s",
                coordinator.turn_credential_s().to_string(),
            ),
            (
                "coordinator.candidates",
                coordinator.candidates().to_string(),
            ),
            (
                "coordinator.trusted_proxies",
                list(coordinator.trusted_proxies()),
            ),
            (
                "coordinator.certificates",
                coordinator.certificates().as_str().to_owned(),
            ),
            (
                "acme",
                self.acme.as_ref().map_or_else(|| "none".to_owned(), debug),
            ),
        ];
        BTreeMap::from([(String::new(), values)])
    }
}

fn region_values(region: &Region) -> Values {
    vec![
        ("display_name", region.display_name().to_owned()),
        ("position", region.position().to_string()),
        ("dns", list(region.dns())),
        ("dev_client", option(region.dev_client().as_ref())),
        (
            "turn",
            option(
                region
                    .turn()
                    .map(|turn| turn.turn_urls().join(" "))
                    .as_ref(),
            ),
        ),
        (
            "cloud",
            region.cloud().map_or_else(|| "none".to_owned(), debug),
        ),
        ("certificates", region.certificates().as_str().to_owned()),
    ]
}

fn edge_values(edge: &Edge) -> Values {
    let ports = edge.ports();
    vec![
        ("host", edge.host().to_string()),
        ("address", option(edge.address().as_ref())),
        ("workers", edge.workers().to_string()),
        ("capacity", edge.capacity().to_string()),
        ("ports.signal", ports.signal().to_string()),
        ("ports.media", ports.media().to_string()),
        ("ports.ice_tcp", ports.ice_tcp().to_string()),
        ("ports.backbone", ports.backbone().to_string()),
    ]
}

fn link_values(link: &Link) -> (String, Values) {
    // Which end a file names first makes no difference.
    let [a, b] = link.ends();
    let (a, b) = (a.min(b), a.max(b));
    let price = |end| link.price_from(end).unwrap_or_default();
    let prices = format!("{a} {}, {b} {}", price(a), price(b));
    let values = vec![
        ("round_trip_ms", link.round_trip().to_string()),
        ("capacity_mbps", link.capacity().to_string()),
        ("cost_per_gb", prices),
        ("loss", link.loss().to_string()),
    ];
    (format!("{a} - {b}"), values)
}

fn compare(
    changes: &mut Vec<Change>,
    part: Part,
    before: BTreeMap<String, Values>,
    mut after: BTreeMap<String, Values>,
) {
    let change = |name, how| Change { part, name, how };
    let mut found = BTreeMap::new();
    for (name, before) in before {
        let Some(after) = after.remove(&name) else {
            found.insert(name, How::Removed);
            continue;
        };
        let values: Vec<_> = before
            .into_iter()
            .zip(after)
            .filter(|((_, before), (_, after))| before != after)
            .map(|((key, before), (_, after))| Value { key, before, after })
            .collect();
        if !values.is_empty() {
            found.insert(name, How::Changed(values));
        }
    }
    found.extend(after.into_keys().map(|name| (name, How::Added)));
    changes.extend(found.into_iter().map(|(name, how)| change(name, how)));
}

fn list<T: ToString>(values: impl IntoIterator<Item = T>) -> String {
    let values: Vec<_> = values.into_iter().map(|value| value.to_string()).collect();
    format!("[{}]", values.join(", "))
}

fn option<T: ToString>(value: Option<&T>) -> String {
    value.map_or_else(|| "none".to_owned(), ToString::to_string)
}

fn debug(value: &impl Debug) -> String {
    format!("{value:?}")
}
