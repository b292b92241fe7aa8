//! Configuration of an edge: a TOML file, then `SLUICE_…` variables, then flags; the later wins.

mod check;

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};

use clap::Args;
use ipnet::IpNet;
use serde::Deserialize;
use sluice_acme::{AcmeConfig, AcmeSettings, AcmeSettingsError};
use sluice_guard::{AddressRules, ConnectionBounds, Rate};
use sluice_trace::Endpoint;
use sluice_types::ids::{EdgeId, RegionName};
use sluice_types::mesh::version::{NEWEST, OLDEST, Version};
use sluice_types::units::Millis;
use thiserror::Error;

use self::check::{check_coordinators, endpoint, one_or_more, rules, within};

/// The most coordinators that an edge has lines to.
const COORDINATORS_MAX: usize = 9;

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

/// Why a configuration is of no use.
#[derive(Debug, Error)]
pub enum ConfigError {
    /// The file cannot be read.
    #[error("{path}: {source}", path = path.display())]
    Read {
        /// Which.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// The file is not TOML, or has an unknown key or a wrong value.
    #[error("{path}: {reason}", path = path.display())]
    File {
        /// Which.
        path: PathBuf,
        /// Where and why.
        reason: String,
    },
    /// A required setting is missing.
    #[error("`{0}` is not set: give it in the file, as SLUICE_… variable or as flag")]
    Missing(&'static str),
    /// A setting is out of range.
    #[error("`{key} = {value}`; allowed: {allowed}")]
    Value {
        /// Which.
        key: &'static str,
        /// What it is.
        value: String,
        /// What it may be.
        allowed: &'static str,
    },
    /// Where the public certificate comes from is not clear.
    #[error(transparent)]
    Certificate(#[from] AcmeSettingsError),
}

/// The configuration of one edge, checked.
#[derive(Debug, Clone)]
pub struct EdgeConfig {
    /// See [`EdgeSettings::edge`].
    pub edge: EdgeId,
    /// See [`EdgeSettings::region`].
    pub region: RegionName,
    /// See [`EdgeSettings::coordinator`]; at least one, none twice.
    pub coordinators: Vec<String>,
    /// See [`EdgeSettings::mesh_dir`].
    pub mesh_dir: PathBuf,
    /// See [`EdgeSettings::http_listen`].
    pub http_listen: SocketAddr,
    /// Certificate and key of the public name; of ACME both are one file.
    pub tls: Option<(PathBuf, PathBuf)>,
    /// From whom that certificate comes, unless it is put there by others.
    pub acme: Option<AcmeConfig>,
    /// See [`EdgeSettings::media_listen`].
    pub media_listen: IpAddr,
    /// See [`EdgeSettings::media_port`].
    pub media_port: u16,
    /// See [`EdgeSettings::workers`].
    pub workers: u16,
    /// See [`EdgeSettings::pin_workers`].
    pub pin_workers: bool,
    /// See [`EdgeSettings::segmentation`].
    pub segmentation: bool,
    /// See [`EdgeSettings::replay`].
    pub replay: bool,
    /// See [`EdgeSettings::ice_tcp_port`].
    pub ice_tcp_port: Option<u16>,
    /// See [`EdgeSettings::advertise`].
    pub advertise: Vec<IpAddr>,
    /// See [`EdgeSettings::backbone_listen`].
    pub backbone_listen: SocketAddr,
    /// See [`EdgeSettings::backbone_endpoint`].
    pub backbone_endpoint: String,
    /// See [`EdgeSettings::initial_mtu`].
    pub initial_mtu: u16,
    /// See [`EdgeSettings::backbone_silence_ms`].
    pub backbone_silence: Millis,
    /// See [`EdgeSettings::protocol_max`].
    pub protocol_max: Version,
    /// See [`EdgeSettings::sfu_endpoint`].
    pub sfu_endpoint: String,
    /// The WebSocket endpoint that follows from it.
    pub signal_endpoint: String,
    /// See [`EdgeSettings::capacity`].
    pub capacity: u32,
    /// See [`EdgeSettings::backbone_via`].
    pub backbone_via: BTreeMap<EdgeId, SocketAddr>,
    /// See [`EdgeSettings::drain_ms`].
    pub drain: Millis,
    /// From where clients may come.
    pub client_addresses: AddressRules,
    /// From where other edges may connect.
    pub backbone_addresses: AddressRules,
    /// How many connections there may be, of HTTP and of ICE-TCP each.
    pub connections: ConnectionBounds,
    /// How often one address may begin a session.
    pub sessions_per_address: Rate,
    /// See [`EdgeSettings::otlp_endpoint`].
    pub otlp_endpoint: Option<Endpoint>,
    /// See [`EdgeSettings::dev`].
    pub dev: bool,
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

    /// Fills in defaults and checks.
    ///
    /// # Errors
    /// When something required is missing or out of range.
    pub fn resolve(self) -> Result<EdgeConfig, ConfigError> {
        let any = IpAddr::V4(Ipv4Addr::UNSPECIFIED);
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        let media_listen = self.media_listen.unwrap_or(any);
        let advertise = match self.advertise {
            Some(addresses) if !addresses.is_empty() => addresses,
            _ if !media_listen.is_unspecified() => vec![media_listen],
            _ => return Err(ConfigError::Missing("advertise")),
        };
        let sfu_endpoint = self
            .sfu_endpoint
            .ok_or(ConfigError::Missing("sfu_endpoint"))?;
        let sfu_endpoint = sfu_endpoint.trim_end_matches('/').to_owned();
        let signal = sfu_endpoint
            .strip_prefix("https://")
            .map(|rest| format!("wss://{rest}/v1/signal"))
            .or_else(|| {
                let rest = sfu_endpoint.strip_prefix("http://")?;
                Some(format!("ws://{rest}/v1/signal"))
            });
        let signal_endpoint = signal.ok_or_else(|| ConfigError::Value {
            key: "sfu_endpoint",
            value: sfu_endpoint.clone(),
            allowed: "an http:// or https:// URL",
        })?;
        let (tls, acme) = self.acme.or_files(self.tls_cert, self.tls_key)?;
        let workers = self
            .workers
            .unwrap_or_else(|| u16::try_from(cores).unwrap_or(256).min(256));
        within("workers", u32::from(workers), 1..=256, "1 to 256")?;
        let capacity = self.capacity.unwrap_or(1_000);
        within("capacity", capacity, 1..=100_000, "1 to 100000")?;
        let initial_mtu = self.initial_mtu.unwrap_or(1_200);
        within(
            "initial_mtu",
            u32::from(initial_mtu),
            1_200..=9_000,
            "1200 to 9000",
        )?;
        let backbone_via = self
            .backbone_via
            .unwrap_or_default()
            .into_iter()
            .map(|entry| {
                entry
                    .split_once('=')
                    .and_then(|(edge, at)| Some((edge.parse().ok()?, at.parse().ok()?)))
                    .ok_or(ConfigError::Value {
                        key: "backbone_via",
                        value: entry.clone(),
                        allowed: "EDGE=IP:PORT",
                    })
            })
            .collect::<Result<_, _>>()?;
        let coordinators = check_coordinators(self.coordinator.unwrap_or_default())?;
        let silence_ms = self.backbone_silence_ms.unwrap_or(400);
        within(
            "backbone_silence_ms",
            silence_ms,
            100..=3_000,
            "100 to 3000",
        )?;
        let protocol_max = self.protocol_max.unwrap_or(NEWEST.0);
        within(
            "protocol_max",
            u32::from(protocol_max),
            u32::from(OLDEST.0)..=u32::from(NEWEST.0),
            "1 to 2",
        )?;
        let drain_ms = self.drain_ms.unwrap_or(500);
        within("drain_ms", drain_ms, 0..=600_000, "0 to 600000")?;
        Ok(EdgeConfig {
            edge: self.edge.ok_or(ConfigError::Missing("edge"))?,
            region: self.region.ok_or(ConfigError::Missing("region"))?,
            coordinators,
            mesh_dir: self.mesh_dir.unwrap_or_else(|| "/etc/sluice/mesh".into()),
            http_listen: self.http_listen.unwrap_or(SocketAddr::new(any, 443)),
            tls,
            acme,
            media_listen,
            media_port: self.media_port.unwrap_or(7_411),
            workers,
            pin_workers: self.pin_workers.unwrap_or(usize::from(workers) == cores),
            segmentation: self.segmentation.unwrap_or(true),
            replay: self.replay.unwrap_or(true),
            ice_tcp_port: match self.ice_tcp_port {
                Some(0) => None,
                port => Some(port.unwrap_or(7_405)),
            },
            advertise,
            backbone_listen: self.backbone_listen.unwrap_or(SocketAddr::new(any, 7_409)),
            backbone_endpoint: self
                .backbone_endpoint
                .ok_or(ConfigError::Missing("backbone_endpoint"))?,
            initial_mtu,
            backbone_silence: Millis(silence_ms),
            protocol_max: Version(protocol_max),
            sfu_endpoint,
            signal_endpoint,
            capacity,
            backbone_via,
            drain: Millis(drain_ms),
            client_addresses: rules(self.clients_allow, self.clients_deny),
            backbone_addresses: rules(self.backbone_allow, self.backbone_deny),
            connections: ConnectionBounds {
                all: self.connections.unwrap_or(10_000).max(1),
                per_network: self.connections_per_address.unwrap_or(1_000).max(1),
            },
            sessions_per_address: Rate::per_second(self.sessions_per_address.unwrap_or(50)),
            otlp_endpoint: self.otlp_endpoint.map(endpoint).transpose()?,
            dev: self.dev.unwrap_or(false),
        })
    }
}

#[cfg(test)]
mod tests;
