//! Where media may be: the regions that the policy allows or denies.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;

use super::check::{Joined, hops_from, neighbours, unknown_region};
use super::fault::FaultKind;
use super::reader::{Reader, Section, Spanned};
use crate::ids::RegionName;

/// Where all rooms' media may be. Meetings may narrow it, and never widen.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct RegionRules {
    allowed: Option<BTreeSet<RegionName>>,
    denied: BTreeSet<RegionName>,
}

impl RegionRules {
    /// The only regions that may be used; none when all may.
    #[must_use]
    pub const fn allowed(&self) -> Option<&BTreeSet<RegionName>> {
        self.allowed.as_ref()
    }

    /// Regions that may not be used, whatever is allowed.
    #[must_use]
    pub const fn denied(&self) -> &BTreeSet<RegionName> {
        &self.denied
    }

    /// Whether a region may be used.
    #[must_use]
    pub fn allow(&self, region: &RegionName) -> bool {
        let is_listed = (self.allowed.as_ref()).is_none_or(|allowed| allowed.contains(region));
        is_listed && !self.denied.contains(region)
    }
}

/// What the policy says of regions, with where it says so.
#[derive(Default)]
pub(super) struct RulesDraft {
    allowed: Option<List>,
    denied: Option<List>,
}

struct List {
    at: Range<usize>,
    names: Vec<Spanned<RegionName>>,
}

const LIST_ALLOWED: &str = "an array of names of regions";
const ALLOWED: &str = "regions_allowed";
const DENIED: &str = "regions_denied";

pub(super) fn read(reader: &mut Reader<'_>, section: &mut Section<'_>) -> RulesDraft {
    let mut list = |key| {
        let field = section.find(key)?;
        let names = field.elements(reader, LIST_ALLOWED);
        let names = names
            .iter()
            .filter_map(|name| name.parsed(reader, "the name of one of the regions"))
            .collect();
        Some(List {
            at: field.at,
            names,
        })
    };
    RulesDraft {
        allowed: list(ALLOWED),
        denied: list(DENIED),
    }
}

impl RulesDraft {
    pub(super) fn rules(&self) -> RegionRules {
        let names = |list: &List| list.names.iter().map(|name| name.value.clone()).collect();
        RegionRules {
            allowed: self.allowed.as_ref().map(names),
            denied: self.denied.as_ref().map(names).unwrap_or_default(),
        }
    }

    /// They name regions that there are, leave some, and what they leave hangs together.
    pub(super) fn check(
        &self,
        reader: &mut Reader<'_>,
        known: &BTreeSet<RegionName>,
        joined: &Joined,
        hops_max: u32,
    ) {
        let lists = [(ALLOWED, &self.allowed), (DENIED, &self.denied)];
        let mut sound = true;
        for (key, list) in lists {
            for name in list.iter().flat_map(|list| &list.names) {
                if !known.contains(&name.value) {
                    unknown_region(reader, &format!("policy.{key}"), name, known);
                    sound = false;
                }
            }
        }
        let Some((key, list)) = lists
            .iter()
            .find_map(|(key, list)| Some((key, list.as_ref()?)))
        else {
            return;
        };
        let key = format!("policy.{key}");
        let rules = self.rules();
        let left: Vec<_> = known.iter().filter(|region| rules.allow(region)).collect();
        let Some(first) = left.first().filter(|_| sound) else {
            if sound {
                let problem = "no region is left that may be used";
                let allowed = "rules that leave at least one region";
                reader.fault(&list.at, FaultKind::InvalidValue, &key, problem, allowed);
            }
            return;
        };
        let open: Joined = joined
            .iter()
            .filter(|((a, b), _)| rules.allow(a) && rules.allow(b))
            .map(|(pair, place)| (pair.clone(), place.clone()))
            .collect();
        let neighbours: BTreeMap<_, _> = neighbours(&open);
        for from in &left {
            let reached = hops_from(from, &neighbours);
            let far = |to: &&&RegionName| reached.get(**to).is_none_or(|hops| *hops > hops_max);
            if let Some(to) = left.iter().find(far) {
                let problem = format!(
                    "of the regions that may be used no path of at most {hops_max} links leads from `{from}` to `{to}`"
                );
                let allowed = format!("regions that hang together with `{first}`");
                reader.fault(&list.at, FaultKind::Unreachable, &key, problem, allowed);
                return;
            }
        }
    }
}
