//! What applies to the whole mesh: the relay trees' policy and the coordinator's settings.

use std::fmt;

use ipnet::IpNet;

use super::certificates::Certificates;
use crate::ids::RegionName;
use crate::units::Millis;

/// What relay trees have to keep to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Policy {
    pub(super) latency_stretch: Stretch,
    pub(super) fan_out_max: u32,
    pub(super) hops_max: u32,
    pub(super) initial_mtu_bytes: u16,
}

impl Policy {
    /// How much longer than the shortest path a tree's path may be.
    #[must_use]
    pub const fn latency_stretch(&self) -> Stretch {
        self.latency_stretch
    }

    /// To how many others an edge may relay one track, 1 to 64.
    #[must_use]
    pub const fn fan_out_max(&self) -> u32 {
        self.fan_out_max
    }

    /// Over how many links a track may travel, 1 to 16.
    #[must_use]
    pub const fn hops_max(&self) -> u32 {
        self.hops_max
    }

    /// The size of UDP payload that QUIC starts with, before path MTU discovery: 1,200 to 9,000
    /// bytes.
    #[must_use]
    pub const fn initial_mtu_bytes(&self) -> u16 {
        self.initial_mtu_bytes
    }
}

impl Default for Policy {
    fn default() -> Self {
        Self {
            latency_stretch: Stretch(1_500),
            fan_out_max: 4,
            hops_max: 4,
            initial_mtu_bytes: 1_200,
        }
    }
}

/// A factor from 1 to 10, counted in thousandths so that equal input makes equal plans.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Stretch(u32);

impl Stretch {
    /// The largest factor.
    pub const FACTOR_MAX: f64 = 10.0;

    /// The factor as a stretch; none when it is not a number from 1 to 10.
    #[must_use]
    pub fn factor(factor: f64) -> Option<Self> {
        (1.0..=Self::FACTOR_MAX)
            .contains(&factor)
            .then(|| Self((factor * 1e3).round() as u32))
    }

    /// The factor in thousandths, 1,000 to 10,000.
    #[must_use]
    pub const fn as_thousandths(self) -> u32 {
        self.0
    }

    /// The longest that may take the place of the shortest, rounded down to whole milliseconds.
    #[must_use]
    pub fn limit(self, shortest: Millis) -> Millis {
        let limit = u64::from(shortest.0) * u64::from(self.0) / 1_000;
        Millis(u32::try_from(limit).unwrap_or(u32::MAX))
    }
}

impl fmt::Display for Stretch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}×", f64::from(self.0) / 1e3)
    }
}

/// How the coordinator behaves.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CoordinatorSettings {
    pub(super) public_url: String,
    pub(super) heartbeat: Millis,
    pub(super) silent_after: Millis,
    pub(super) fallback_region: RegionName,
    pub(super) join_token_s: u32,
    pub(super) turn_credential_s: u32,
    pub(super) candidates: u32,
    pub(super) trusted_proxies: Vec<IpNet>,
    pub(super) certificates: Certificates,
}

impl CoordinatorSettings {
    /// Where clients and edges reach it: scheme, host and port, without a final slash.
    #[must_use]
    pub fn public_url(&self) -> &str {
        &self.public_url
    }

    /// How often an edge reports its load, 100 to 60,000 ms.
    #[must_use]
    pub const fn heartbeat(&self) -> Millis {
        self.heartbeat
    }

    /// After how long without a heartbeat an edge counts as gone: at least two heartbeats, at
    /// most 600,000 ms.
    #[must_use]
    pub const fn silent_after(&self) -> Millis {
        self.silent_after
    }

    /// The region whose position stands for that of a client whose address GeoIP does not know.
    #[must_use]
    pub const fn fallback_region(&self) -> &RegionName {
        &self.fallback_region
    }

    /// How long a join token admits, 30 to 3,600 seconds.
    #[must_use]
    pub const fn join_token_s(&self) -> u32 {
        self.join_token_s
    }

    /// How long a TURN credential lasts, 300 to 86,400 seconds.
    #[must_use]
    pub const fn turn_credential_s(&self) -> u32 {
        self.turn_credential_s
    }

    /// How many next-nearest edges a join is told besides its own, 0 to 8.
    #[must_use]
    pub const fn candidates(&self) -> u32 {
        self.candidates
    }

    /// The networks whose `Forwarded` and `X-Forwarded-For` are believed.
    #[must_use]
    pub fn trusted_proxies(&self) -> &[IpNet] {
        &self.trusted_proxies
    }

    /// Where the certificate of its public name comes from.
    #[must_use]
    pub const fn certificates(&self) -> Certificates {
        self.certificates
    }
}
