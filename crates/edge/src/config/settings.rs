//! The configuration as it is written: in a file, in the environment, as flags.

use std::net::{IpAddr, SocketAddr};
use std::path::{Path, PathBuf};

use clap::Args;
use ipnet::IpNet;
use serde::Deserialize;
use sluice_acme::AcmeSettings;
use sluice_types::ids::{EdgeId, RegionName};

use super::ConfigError;
use super::check::one_or_more;

/// What may be set. Everything but the required settings has a default that suits production.
#[derive(Debug, Clone, Default, Args, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct EdgeSettings {
    /// The edge's name, as in its certificate. Required
    #[arg(long, env = "SLUICE_EDGE")]
    pub edge: Option<EdgeId>,
    /// The edge's region. Required
    #[arg(long, env = "SLUICE_REGION")]
    pub region: Option<RegionName>,
    /// The control listener of each coordinator, host:port, comma-separated. Required
    #[arg(long, env = "SLUICE_COORDINATOR", value_delimiter = ',')]
    #[serde(deserialize_with = "one_or_more")]
    pub coordinator: Option<Vec<String>>,
    /// Directory with ca.pem, cert.pem and key.pem of the mesh [default: /etc/sluice/mesh]
    #[arg(long, env = "SLUICE_MESH_DIR")]
    pub mesh_dir: Option<PathBuf>,
    /// Where the page, signalling and metrics are served [default: 0.0.0.0:443]
    #[arg(long, env = "SLUICE_HTTP_LISTEN")]
    pub http_listen: Option<SocketAddr>,
    /// Certificate chain of the public name, PEM. Without it HTTP is plain, for a TLS proxy in front
    #[arg(long, env = "SLUICE_TLS_CERT")]
    pub tls_cert: Option<PathBuf>,
    /// Private key that belongs to it, PEM
    #[arg(long, env = "SLUICE_TLS_KEY")]
    pub tls_key: Option<PathBuf>,
    /// An ACME authority in their place.
    #[command(flatten)]
    #[serde(flatten)]
    pub acme: AcmeSettings,
    /// Address that media and ICE-TCP are bound to [default: 0.0.0.0]
    #[arg(long, env = "SLUICE_MEDIA_LISTEN")]
    pub media_listen: Option<IpAddr>,
    /// UDP port of the first media worker; worker n has this plus n [default: 7411]
    #[arg(long, env = "SLUICE_MEDIA_PORT")]
    pub media_port: Option<u16>,
    /// Media workers, one for each core, 1 to 256 [default: number of cores]
    #[arg(long, env = "SLUICE_WORKERS")]
    pub workers: Option<u16>,
    /// Keep each media worker on a core of its own [default: when there are as many as cores]
    #[arg(long, env = "SLUICE_PIN_WORKERS")]
    pub pin_workers: Option<bool>,
    /// Let the kernel cut runs of packets for one client (UDP GSO) [default: true]
    #[arg(long, env = "SLUICE_SEGMENTATION")]
    pub segmentation: Option<bool>,
    /// Begin a newcomer's picture with the latest key frame of memory and what followed, where it is
    /// recent, in place of asking the publisher for one [default: true]
    #[arg(long, env = "SLUICE_REPLAY")]
    pub replay: Option<bool>,
    /// TCP port of ICE-TCP; 0 turns it off [default: 7405]
    #[arg(long, env = "SLUICE_ICE_TCP_PORT")]
    pub ice_tcp_port: Option<u16>,
    /// Addresses at which clients reach media, comma-separated. Required unless media-listen is one
    #[arg(long, env = "SLUICE_ADVERTISE", value_delimiter = ',')]
    pub advertise: Option<Vec<IpAddr>>,
    /// Where other edges connect, UDP [default: 0.0.0.0:7409]
    #[arg(long, env = "SLUICE_BACKBONE_LISTEN")]
    pub backbone_listen: Option<SocketAddr>,
    /// What other edges are told to connect to, host:port. Required
    #[arg(long, env = "SLUICE_BACKBONE_ENDPOINT")]
    pub backbone_endpoint: Option<String>,
    /// First size of QUIC packets on the backbone in bytes, 1200 to 9000 [default: 1200]
    #[arg(long, env = "SLUICE_INITIAL_MTU")]
    pub initial_mtu: Option<u16>,
    /// After how long without anything from another edge trees turn to their backups, in
    /// milliseconds, 100 to 3000 [default: 400]
    #[arg(long, env = "SLUICE_BACKBONE_SILENCE_MS")]
    pub backbone_silence_ms: Option<u32>,
    /// The newest version of the mesh's protocols that is spoken, 1 or 2; lower than the newest only
    /// before going back to software that knows no more [default: 2]
    #[arg(long, env = "SLUICE_PROTOCOL_MAX")]
    pub protocol_max: Option<u16>,
    /// HTTP endpoint that clients are given, such as `https://paris-1.example`. Required
    #[arg(long, env = "SLUICE_SFU_ENDPOINT")]
    pub sfu_endpoint: Option<String>,
    /// Participants that the edge takes, 1 to 100000 [default: 1000]
    #[arg(long, env = "SLUICE_CAPACITY")]
    pub capacity: Option<u32>,
    /// Other ways to peers than the coordinator tells, EDGE=IP:PORT, comma-separated. For development
    #[arg(long, env = "SLUICE_BACKBONE_VIA", value_delimiter = ',')]
    pub backbone_via: Option<Vec<String>>,
    /// How long clients get to move when the edge is stopped, in milliseconds, at most 600000
    /// [default: 500]
    #[arg(long, env = "SLUICE_DRAIN_MS")]
    pub drain_ms: Option<u32>,
    /// Prefixes from which clients may come, comma-separated [default: everywhere]
    #[arg(long, env = "SLUICE_CLIENTS_ALLOW", value_delimiter = ',')]
    pub clients_allow: Option<Vec<IpNet>>,
    /// Prefixes from which clients may not come, comma-separated [default: none]
    #[arg(long, env = "SLUICE_CLIENTS_DENY", value_delimiter = ',')]
    pub clients_deny: Option<Vec<IpNet>>,
    /// Prefixes from which other edges may connect, comma-separated [default: everywhere]
    #[arg(long, env = "SLUICE_BACKBONE_ALLOW", value_delimiter = ',')]
    pub backbone_allow: Option<Vec<IpNet>>,
    /// Prefixes from which other edges may not connect, comma-separated [default: none]
    #[arg(long, env = "SLUICE_BACKBONE_DENY", value_delimiter = ',')]
    pub backbone_deny: Option<Vec<IpNet>>,
    /// Connections at once, of HTTP and of ICE-TCP each [default: 10000]
    #[arg(long, env = "SLUICE_CONNECTIONS")]
    pub connections: Option<usize>,
    /// The same from one address; with a proxy in front as many as `connections` [default: 1000]
    #[arg(long, env = "SLUICE_CONNECTIONS_PER_ADDRESS")]
    pub connections_per_address: Option<usize>,
    /// Sessions a second that one address may begin, bursts of twice that [default: 50]
    #[arg(long, env = "SLUICE_SESSIONS_PER_ADDRESS")]
    pub sessions_per_address: Option<u32>,
    /// Collector that is told of traced joins, OTLP over HTTP, such as http://127.0.0.1:4318
    /// [default: none]
    #[arg(long, env = "SLUICE_OTLP_ENDPOINT")]
    pub otlp_endpoint: Option<String>,
    /// The page offers development's client-address override [default: false]
    #[arg(long, env = "SLUICE_DEV")]
    pub dev: Option<bool>,
}

impl EdgeSettings {
    /// Reads a file.
    ///
    /// # Errors
    /// When it cannot be read, is not TOML, or has an unknown key or a wrong value.
    pub fn from_file(path: &Path) -> Result<Self, ConfigError> {
        let text = std::fs::read_to_string(path).map_err(|source| ConfigError::Read {
            path: path.to_owned(),
            source,
        })?;
        toml_edit::de::from_str(&text).map_err(|error| ConfigError::File {
            path: path.to_owned(),
            reason: error.to_string(),
        })
    }

    /// These settings, and `other` where they say nothing.
    #[must_use]
    pub fn or(self, other: Self) -> Self {
        Self {
            edge: self.edge.or(other.edge),
            region: self.region.or(other.region),
            coordinator: self.coordinator.or(other.coordinator),
            mesh_dir: self.mesh_dir.or(other.mesh_dir),
            http_listen: self.http_listen.or(other.http_listen),
            tls_cert: self.tls_cert.or(other.tls_cert),
            tls_key: self.tls_key.or(other.tls_key),
            acme: self.acme.or(other.acme),
            media_listen: self.media_listen.or(other.media_listen),
            media_port: self.media_port.or(other.media_port),
            workers: self.workers.or(other.workers),
            pin_workers: self.pin_workers.or(other.pin_workers),
            segmentation: self.segmentation.or(other.segmentation),
            replay: self.replay.or(other.replay),
            ice_tcp_port: self.ice_tcp_port.or(other.ice_tcp_port),
            advertise: self.advertise.or(other.advertise),
            backbone_listen: self.backbone_listen.or(other.backbone_listen),
            backbone_endpoint: self.backbone_endpoint.or(other.backbone_endpoint),
            initial_mtu: self.initial_mtu.or(other.initial_mtu),
            backbone_silence_ms: self.backbone_silence_ms.or(other.backbone_silence_ms),
            protocol_max: self.protocol_max.or(other.protocol_max),
            sfu_endpoint: self.sfu_endpoint.or(other.sfu_endpoint),
            capacity: self.capacity.or(other.capacity),
            backbone_via: self.backbone_via.or(other.backbone_via),
            drain_ms: self.drain_ms.or(other.drain_ms),
            clients_allow: self.clients_allow.or(other.clients_allow),
            clients_deny: self.clients_deny.or(other.clients_deny),
            backbone_allow: self.backbone_allow.or(other.backbone_allow),
            backbone_deny: self.backbone_deny.or(other.backbone_deny),
            connections: self.connections.or(other.connections),
            connections_per_address: self
                .connections_per_address
                .or(other.connections_per_address),
            sessions_per_address: self.sessions_per_address.or(other.sessions_per_address),
            otlp_endpoint: self.otlp_endpoint.or(other.otlp_endpoint),
            dev: self.dev.or(other.dev),
        }
    }
}
