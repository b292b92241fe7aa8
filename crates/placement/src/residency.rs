//! Where media may be: regions that a mesh's policy or a meeting's settings allow or deny.

use std::collections::BTreeSet;

use sluice_types::ids::RegionName;
use sluice_types::topology::{RegionRules, Topology};
use thiserror::Error;

/// Where a room's media may be, for participants' edges and in transit alike.
///
/// Nothing is ever added to it: what it makes impossible is refused.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Residency {
    allowed: Option<BTreeSet<RegionName>>,
    denied: BTreeSet<RegionName>,
}

/// Why a region may not be used.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Error)]
pub enum Rule {
    /// There is a list of allowed regions, and it is not among them.
    #[error("the region is not among the allowed ones")]
    NotAllowed,
    /// It is among the denied regions.
    #[error("the region is among the denied ones")]
    Denied,
}

impl Residency {
    /// Everywhere.
    #[must_use]
    pub fn anywhere() -> Self {
        Self::default()
    }

    /// Only in these regions.
    #[must_use]
    pub fn only(allowed: impl IntoIterator<Item = RegionName>) -> Self {
        Self {
            allowed: Some(allowed.into_iter().collect()),
            denied: BTreeSet::new(),
        }
    }

    /// Everywhere but in these regions.
    #[must_use]
    pub fn except(denied: impl IntoIterator<Item = RegionName>) -> Self {
        Self {
            allowed: None,
            denied: denied.into_iter().collect(),
        }
    }

    /// What both allow: the mesh's policy and the meeting's settings, for example.
    #[must_use]
    pub fn and(&self, other: &Self) -> Self {
        let allowed = match (&self.allowed, &other.allowed) {
            (Some(a), Some(b)) => Some(a & b),
            (allowed, None) | (None, allowed) => allowed.clone(),
        };
        Self {
            allowed,
            denied: &self.denied | &other.denied,
        }
    }

    /// The regions of `up` that media from one of them can get to, itself included.
    #[must_use]
    pub fn reach<'a>(
        &self,
        topology: &'a Topology,
        up: &BTreeSet<RegionName>,
        from: &'a RegionName,
    ) -> BTreeSet<&'a RegionName> {
        let usable = |region: &RegionName| up.contains(region) && self.check(region).is_ok();
        let mut reached = BTreeSet::new();
        let mut open: Vec<_> = usable(from).then_some(from).into_iter().collect();
        while let Some(region) = open.pop() {
            if reached.insert(region) {
                let next = topology.neighbours(region).map(|(next, _)| next);
                open.extend(next.filter(|next| usable(next)));
            }
        }
        reached
    }

    /// Whether a region may be used.
    ///
    /// # Errors
    /// Which rule forbids it.
    pub fn check(&self, region: &RegionName) -> Result<(), Rule> {
        if self.denied.contains(region) {
            return Err(Rule::Denied);
        }
        match &self.allowed {
            Some(allowed) if !allowed.contains(region) => Err(Rule::NotAllowed),
            _ => Ok(()),
        }
    }
}

impl From<&RegionRules> for Residency {
    fn from(rules: &RegionRules) -> Self {
        Self {
            allowed: rules.allowed().cloned(),
            denied: rules.denied().clone(),
        }
    }
}
