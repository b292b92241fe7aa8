//! Regions, their edges and their TURN service.

use std::net::Ipv4Addr;
use std::ops::RangeInclusive;

use super::certificates::Certificates;
use super::cloud::Cloud;
use super::host::{DnsName, Host};
use super::position::Position;
use crate::ids::{EdgeId, RegionName};

/// A place with one or more edges.
#[derive(Debug, Clone, PartialEq)]
pub struct Region {
    pub(super) name: RegionName,
    pub(super) display_name: String,
    pub(super) position: Position,
    pub(super) dns: Vec<DnsName>,
    pub(super) dev_client: Option<Ipv4Addr>,
    pub(super) edges: Vec<Edge>,
    pub(super) turn: Option<Turn>,
    pub(super) cloud: Option<Cloud>,
    pub(super) certificates: Certificates,
}

impl Region {
    /// The region's name: the stem of its file.
    #[must_use]
    pub const fn name(&self) -> &RegionName {
        &self.name
    }

    /// What people call it, 1 to 64 characters.
    #[must_use]
    pub fn display_name(&self) -> &str {
        &self.display_name
    }

    /// Where it is.
    #[must_use]
    pub const fn position(&self) -> Position {
        self.position
    }

    /// Its public DNS names, at least one; the first is the one shown.
    #[must_use]
    pub fn dns(&self) -> &[DnsName] {
        &self.dns
    }

    /// A public address that GeoIP places in the region's country, for joining "as from there"
    /// in development.
    #[must_use]
    pub const fn dev_client(&self) -> Option<Ipv4Addr> {
        self.dev_client
    }

    /// Its edges, at least one, in the order of the file.
    #[must_use]
    pub fn edges(&self) -> &[Edge] {
        &self.edges
    }

    /// Its TURN service, if it has one.
    #[must_use]
    pub const fn turn(&self) -> Option<&Turn> {
        self.turn.as_ref()
    }

    /// Where its machines are hired, if `terraform/` is to hire them.
    #[must_use]
    pub const fn cloud(&self) -> Option<&Cloud> {
        self.cloud.as_ref()
    }

    /// Where certificates of its edges' names come from. Those of TURN always come from files.
    #[must_use]
    pub const fn certificates(&self) -> Certificates {
        self.certificates
    }
}

/// One SFU process on one host.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Edge {
    pub(super) id: EdgeId,
    pub(super) host: Host,
    pub(super) address: Option<Ipv4Addr>,
    pub(super) workers: u16,
    pub(super) capacity: u32,
    pub(super) ports: Ports,
}

impl Edge {
    /// Its name, unique in the mesh: the region's, a hyphen, and a number or word of its own.
    #[must_use]
    pub const fn id(&self) -> &EdgeId {
        &self.id
    }

    /// Where browsers and other edges reach it.
    #[must_use]
    pub const fn host(&self) -> &Host {
        &self.host
    }

    /// Its fixed public address when that is known beforehand: its own, or its `host` when that is
    /// one.
    #[must_use]
    pub fn address(&self) -> Option<Ipv4Addr> {
        self.address.or_else(|| self.host.ipv4())
    }

    /// How many media workers (threads) it runs, 1 to 256.
    #[must_use]
    pub const fn workers(&self) -> u16 {
        self.workers
    }

    /// How many participants it takes before it redirects, 1 to 100,000.
    #[must_use]
    pub const fn capacity(&self) -> u32 {
        self.capacity
    }

    /// The ports it listens on.
    #[must_use]
    pub const fn ports(&self) -> Ports {
        self.ports
    }
}

/// The ports that an edge listens on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Ports {
    pub(super) signal: u16,
    pub(super) media: u16,
    pub(super) ice_tcp: u16,
    pub(super) backbone: u16,
}

impl Ports {
    /// TCP: HTTP(S), the signalling WebSocket, WHIP, WHEP and the meeting page.
    #[must_use]
    pub const fn signal(self) -> u16 {
        self.signal
    }

    /// UDP: the first media worker's port. Worker `n`, counted from 0, has the `n`th after it.
    #[must_use]
    pub const fn media(self) -> u16 {
        self.media
    }

    /// TCP: media of clients that cannot use UDP (ICE-TCP).
    #[must_use]
    pub const fn ice_tcp(self) -> u16 {
        self.ice_tcp
    }

    /// UDP: QUIC between edges.
    #[must_use]
    pub const fn backbone(self) -> u16 {
        self.backbone
    }
}

impl Default for Ports {
    fn default() -> Self {
        Self {
            signal: 443,
            media: 40_000,
            ice_tcp: 40_000,
            backbone: 7_443,
        }
    }
}

/// A region's TURN service, one coturn.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Turn {
    pub(super) host: Host,
    pub(super) address: Option<Ipv4Addr>,
    pub(super) port: u16,
    pub(super) tls_port: u16,
    pub(super) relay_ports: RangeInclusive<u16>,
}

impl Turn {
    /// Where it is reached.
    #[must_use]
    pub const fn host(&self) -> &Host {
        &self.host
    }

    /// Its fixed public address when that is known beforehand: its own, or its `host` when that is
    /// one.
    #[must_use]
    pub fn address(&self) -> Option<Ipv4Addr> {
        self.address.or_else(|| self.host.ipv4())
    }

    /// The port of STUN and TURN over UDP and TCP.
    #[must_use]
    pub const fn port(&self) -> u16 {
        self.port
    }

    /// The port of TURN over TLS.
    #[must_use]
    pub const fn tls_port(&self) -> u16 {
        self.tls_port
    }

    /// The UDP ports that it relays from.
    #[must_use]
    pub const fn relay_ports(&self) -> &RangeInclusive<u16> {
        &self.relay_ports
    }

    /// The STUN server as browsers take it (RFC 7064).
    #[must_use]
    pub fn stun_urls(&self) -> Vec<String> {
        vec![format!("stun:{}:{}", self.host.in_url(), self.port)]
    }

    /// The TURN servers as browsers take them (RFC 7065): UDP, then TCP, then TLS.
    #[must_use]
    pub fn turn_urls(&self) -> Vec<String> {
        let host = self.host.in_url();
        vec![
            format!("turn:{host}:{}?transport=udp", self.port),
            format!("turn:{host}:{}?transport=tcp", self.port),
            format!("turns:{host}:{}?transport=tcp", self.tls_port),
        ]
    }
}
