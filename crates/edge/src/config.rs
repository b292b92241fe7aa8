//! Configuration of an edge: a TOML file, then `SLUICE_…` variables, then flags; the later wins.

mod check;
mod settings;

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::PathBuf;

use sluice_acme::{AcmeConfig, AcmeSettingsError};
use sluice_guard::{AddressRules, ConnectionBounds, Rate};
use sluice_trace::Endpoint;
use sluice_types::ids::{EdgeId, RegionName};
use sluice_types::mesh::version::{NEWEST, OLDEST, Version};
use sluice_types::units::Millis;
use thiserror::Error;

use self::check::{check_coordinators, endpoint, rules, within};
pub use self::settings::EdgeSettings;

/// The most coordinators that an edge has lines to.
const COORDINATORS_MAX: usize = 9;

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
