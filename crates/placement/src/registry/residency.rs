//! Where a meeting's media may be, and whether those who are in can hear each other there.

use std::collections::BTreeSet;

use crate::{Candidate, Residency, Rule};
use sluice_types::ids::{EdgeId, MeetingId, RegionName};
use sluice_types::rest::MeetingSettings;
use sluice_types::topology::Topology;
use thiserror::Error;

use super::Registry;

/// Why a place cannot be part of a meeting. What is impossible is refused; rules are never widened.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum Forbidden {
    /// Its region may not be used.
    #[error("region `{region}` may not be used: {rule}")]
    Region {
        /// Which.
        region: RegionName,
        /// What forbids it.
        rule: Rule,
    },
    /// Media would have to pass a region that may not be used.
    #[error(
        "every way from `{from}`, where the meeting is, to `{to}` leads through a region that may not be used"
    )]
    Way {
        /// Where participants are.
        from: RegionName,
        /// Where another would be.
        to: RegionName,
    },
}

/// What the mesh and the meeting both allow.
#[must_use]
pub fn residency(topology: &Topology, settings: &MeetingSettings) -> Residency {
    let meeting = settings.regions_allowed.as_ref();
    let meeting = meeting.map_or_else(Residency::anywhere, |allowed| {
        Residency::only(allowed.iter().cloned())
    });
    let denied = Residency::except(settings.regions_denied.iter().cloned());
    Residency::from(topology.region_rules())
        .and(&meeting)
        .and(&denied)
}

impl Registry {
    /// The candidates that may serve a meeting, and why the others may not.
    #[must_use]
    pub fn allowed(
        &self,
        id: &MeetingId,
        candidates: Vec<Candidate>,
        residency: &Residency,
    ) -> (Vec<Candidate>, Vec<Forbidden>) {
        let mut forbidden = BTreeSet::new();
        let mut reasons = Vec::new();
        let mut check = |candidate: &Candidate| {
            let region = &candidate.region;
            if forbidden.contains(region) {
                return false;
            }
            let reason = self.check(id, region, residency).err();
            if reason.is_some() {
                forbidden.insert(region.clone());
            }
            reasons.extend(reason);
            !forbidden.contains(region)
        };
        let allowed = candidates.into_iter().filter(|it| check(it)).collect();
        (allowed, reasons)
    }

    /// Whether those who are in a meeting may be where they are.
    ///
    /// # Errors
    /// Why not.
    pub fn fits(&self, id: &MeetingId, residency: &Residency) -> Result<(), Forbidden> {
        let regions = self.regions_of(id);
        let mut regions = regions.iter();
        regions.try_for_each(|region| self.check(id, region, residency))
    }

    fn check(
        &self,
        id: &MeetingId,
        to: &RegionName,
        residency: &Residency,
    ) -> Result<(), Forbidden> {
        residency.check(to).map_err(|rule| Forbidden::Region {
            region: to.clone(),
            rule,
        })?;
        if *residency == Residency::anywhere() {
            return Ok(());
        }
        let states = self.edges.values();
        let up: BTreeSet<_> = states
            .map(|state| state.registration.region.clone())
            .collect();
        let within = residency.reach(&self.topology, &up, to);
        let anywhere = Residency::anywhere().reach(&self.topology, &up, to);
        let others = self.regions_of(id);
        // That a link is missing is nobody's rule, and who is where nobody may be has to go.
        let cut_off = others.into_iter().find(|from| {
            let may_stay = residency.check(from).is_ok();
            may_stay && anywhere.contains(from) && !within.contains(from)
        });
        cut_off.map_or(Ok(()), |from| {
            Err(Forbidden::Way {
                from,
                to: to.clone(),
            })
        })
    }

    /// Where a meeting has participants, or expects some.
    pub(super) fn regions_of(&self, id: &MeetingId) -> BTreeSet<RegionName> {
        let at = |edge: &EdgeId| Some(self.topology.edge(edge)?.0.name().clone());
        let room = self.rooms.get(id);
        room.map(|room| room.edges().filter_map(at).collect())
            .unwrap_or_default()
    }
}
