//! The configuration as it is written: in a file, in the environment, as flags.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use clap::Args;
use ipnet::IpNet;
use serde::Deserialize;
use sluice_acme::AcmeSettings;

use super::{ApiKey, ConfigError, EtcdStoreSettings};
use crate::quota::TenantSettings;

/// What may be set. Everything but the required settings has a default that suits production.
#[derive(Debug, Clone, Default, Args, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct CoordinatorSettings {
    /// Directory with topology.toml and regions/ [default: .]
    #[arg(long, env = "SLUICE_TOPOLOGY")]
    pub topology: Option<PathBuf>,
    /// Where REST is served [default: 0.0.0.0:443]
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
    /// Where edges connect, UDP [default: 0.0.0.0:7400]
    #[arg(long, env = "SLUICE_CONTROL_LISTEN")]
    pub control_listen: Option<SocketAddr>,
    /// Directory with ca.pem, cert.pem and key.pem of the mesh [default: /etc/sluice/mesh]
    #[arg(long, env = "SLUICE_MESH_DIR")]
    pub mesh_dir: Option<PathBuf>,
    /// This coordinator's name among several, for people [default: the host's]
    #[arg(long, env = "SLUICE_NAME")]
    pub name: Option<String>,
    /// File of the embedded store, for one coordinator [default: /var/lib/sluice/coordinator.redb]
    #[arg(long, env = "SLUICE_STORE")]
    pub store: Option<PathBuf>,
    /// etcd in its place, for several.
    #[command(flatten)]
    #[serde(flatten)]
    pub etcd: EtcdStoreSettings,
    /// The newest version of the mesh's protocols that is spoken, 1 or 2; lower than the newest only
    /// before going back to software that knows no more, and not with etcd [default: 2]
    #[arg(long, env = "SLUICE_PROTOCOL_MAX")]
    pub protocol_max: Option<u16>,
    /// MaxMind DB files, comma-separated, the first that knows an address wins [default: none]
    #[arg(long, env = "SLUICE_GEOIP", value_delimiter = ',')]
    pub geoip: Option<Vec<PathBuf>>,
    /// Name servers, IP:PORT, comma-separated, for edges that are given by name [default: the host's]
    #[arg(long, env = "SLUICE_NAME_SERVERS", value_delimiter = ',')]
    pub name_servers: Option<Vec<SocketAddr>>,
    /// File of webhooks, `[[webhook]]` tables [default: none]
    #[arg(long, env = "SLUICE_WEBHOOKS")]
    pub webhooks: Option<PathBuf>,
    /// Where the page is opened; join links begin with it [default: the topology's public_url]
    #[arg(long, env = "SLUICE_PAGE_URL")]
    pub page_url: Option<String>,
    /// How clients reach REST [default: the topology's public_url]
    #[arg(long, env = "SLUICE_PUBLIC_URL")]
    pub public_url: Option<String>,
    /// API keys, `ID:SECRET[:TENANT[:ops]]` in the environment, tables in the file. Required
    #[arg(skip)]
    pub api_keys: Option<Vec<ApiKey>>,
    /// The secret that is shared with every coturn (static-auth-secret) [default: none, so no TURN]
    #[arg(skip)]
    pub turn_secret: Option<String>,
    /// One TURN server for all regions, host:port, instead of the topology's. For development
    #[arg(long, env = "SLUICE_TURN_OVERRIDE")]
    pub turn_override: Option<String>,
    /// Requests a second that one client address may make, bursts of twice that [default: 50]
    #[arg(long, env = "SLUICE_REQUESTS_PER_ADDRESS")]
    pub requests_per_address: Option<u32>,
    /// Requests a second that one API key may make, bursts of twice that [default: 2000]
    #[arg(long, env = "SLUICE_REQUESTS_PER_KEY")]
    pub requests_per_key: Option<u32>,
    /// Meetings of one tenant that are not ended [default: 100000]
    #[arg(long, env = "SLUICE_MEETINGS_PER_TENANT")]
    pub meetings_per_tenant: Option<usize>,
    /// Prefixes from which REST may be asked, comma-separated [default: everywhere]
    #[arg(long, env = "SLUICE_HTTP_ALLOW", value_delimiter = ',')]
    pub http_allow: Option<Vec<IpNet>>,
    /// Prefixes from which REST may not be asked, comma-separated [default: none]
    #[arg(long, env = "SLUICE_HTTP_DENY", value_delimiter = ',')]
    pub http_deny: Option<Vec<IpNet>>,
    /// Prefixes from which edges may connect, comma-separated [default: everywhere]
    #[arg(long, env = "SLUICE_CONTROL_ALLOW", value_delimiter = ',')]
    pub control_allow: Option<Vec<IpNet>>,
    /// Prefixes from which edges may not connect, comma-separated [default: none]
    #[arg(long, env = "SLUICE_CONTROL_DENY", value_delimiter = ',')]
    pub control_deny: Option<Vec<IpNet>>,
    /// HTTP connections at once [default: 10000]
    #[arg(long, env = "SLUICE_CONNECTIONS")]
    pub connections: Option<usize>,
    /// HTTP connections at once from one address; with a proxy in front as many as `connections`
    /// [default: 1000]
    #[arg(long, env = "SLUICE_CONNECTIONS_PER_ADDRESS")]
    pub connections_per_address: Option<usize>,
    /// Participants of one tenant at once [default: no limit]
    #[arg(long, env = "SLUICE_PARTICIPANTS_PER_TENANT")]
    pub participants_per_tenant: Option<u32>,
    /// What the participants of one tenant publish at once, in Mbit/s [default: no limit]
    #[arg(long, env = "SLUICE_BITRATE_MBPS_PER_TENANT")]
    pub bitrate_mbps_per_tenant: Option<u32>,
    /// Minutes that participants of one tenant spend in meetings in a month [default: no limit]
    #[arg(long, env = "SLUICE_MINUTES_PER_TENANT")]
    pub minutes_per_tenant: Option<u64>,
    /// What holds for some tenants, instead of what holds for each: `[[tenant]]` tables in the file
    #[arg(skip)]
    pub tenant: Option<Vec<TenantSettings>>,
    /// File of the audit log [default: audit.jsonl beside the store]
    #[arg(long, env = "SLUICE_AUDIT")]
    pub audit: Option<PathBuf>,
    /// From how many bytes on the audit log begins a new file, at least 1000 [default: 67108864]
    #[arg(long, env = "SLUICE_AUDIT_BYTES")]
    pub audit_bytes: Option<u64>,
    /// How many full files of the audit log are kept, at least 1 [default: 8]
    #[arg(long, env = "SLUICE_AUDIT_KEPT")]
    pub audit_kept: Option<u32>,
    /// File of the minutes that were used [default: usage.json beside the store]
    #[arg(long, env = "SLUICE_USAGE")]
    pub usage: Option<PathBuf>,
    /// How long records of meetings' quality are kept, in hours, at most 8760; 0 keeps none
    /// [default: 168]
    #[arg(long, env = "SLUICE_QUALITY_RETENTION_H")]
    pub quality_retention_h: Option<u32>,
    /// File of these records [default: quality.redb beside `store`, or in /var/lib/sluice]
    #[arg(long, env = "SLUICE_QUALITY_STORE")]
    pub quality_store: Option<PathBuf>,
    /// The most that all of them take, in MiB, 1 to 1048576; the oldest go first
    /// [default: 1024]
    #[arg(long, env = "SLUICE_QUALITY_STORE_MB")]
    pub quality_store_mb: Option<u32>,
    /// Collector that is told of joins, OTLP over HTTP, such as http://127.0.0.1:4318 [default: none]
    #[arg(long, env = "SLUICE_OTLP_ENDPOINT")]
    pub otlp_endpoint: Option<String>,
    /// Of how many in a thousand joins, at most 1000 [default: 1000]
    #[arg(long, env = "SLUICE_OTLP_SAMPLE_PERMILLE")]
    pub otlp_sample_permille: Option<u32>,
    /// Believe `as=ADDRESS` and X-Sluice-Dev-Client; only on a loopback listener [default: false]
    #[arg(long, env = "SLUICE_DEV_CLIENT_OVERRIDE")]
    pub dev_client_override: Option<bool>,
}

impl CoordinatorSettings {
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

    /// The secrets of the environment: SLUICE_API_KEYS, SLUICE_TURN_SECRET and SLUICE_ETCD_PASSWORD.
    ///
    /// # Errors
    /// When an API key is none.
    pub fn secrets_from_env() -> Result<Self, ConfigError> {
        let keys = std::env::var("SLUICE_API_KEYS").ok();
        let api_keys = keys
            .map(|keys| {
                keys.split(',')
                    .map(str::parse)
                    .collect::<Result<_, String>>()
            })
            .transpose()
            .map_err(|_| ConfigError::Value {
                key: "SLUICE_API_KEYS",
                value: "…".to_owned(),
                allowed: "ID:SECRET[:TENANT[:ops]], comma-separated",
            })?;
        Ok(Self {
            api_keys,
            turn_secret: std::env::var("SLUICE_TURN_SECRET").ok(),
            etcd: EtcdStoreSettings {
                password: std::env::var("SLUICE_ETCD_PASSWORD").ok(),
                ..EtcdStoreSettings::default()
            },
            ..Self::default()
        })
    }

    /// These settings, and `other` where they say nothing.
    #[must_use]
    pub fn or(self, other: Self) -> Self {
        Self {
            topology: self.topology.or(other.topology),
            http_listen: self.http_listen.or(other.http_listen),
            tls_cert: self.tls_cert.or(other.tls_cert),
            tls_key: self.tls_key.or(other.tls_key),
            acme: self.acme.or(other.acme),
            control_listen: self.control_listen.or(other.control_listen),
            mesh_dir: self.mesh_dir.or(other.mesh_dir),
            name: self.name.or(other.name),
            // A store that is named before takes the place of one of the other kind.
            store: self
                .store
                .or(other.store.filter(|_| self.etcd.endpoints.is_none())),
            etcd: self.etcd.or(other.etcd),
            protocol_max: self.protocol_max.or(other.protocol_max),
            geoip: self.geoip.or(other.geoip),
            name_servers: self.name_servers.or(other.name_servers),
            webhooks: self.webhooks.or(other.webhooks),
            page_url: self.page_url.or(other.page_url),
            public_url: self.public_url.or(other.public_url),
            api_keys: self.api_keys.or(other.api_keys),
            turn_secret: self.turn_secret.or(other.turn_secret),
            turn_override: self.turn_override.or(other.turn_override),
            requests_per_address: self.requests_per_address.or(other.requests_per_address),
            requests_per_key: self.requests_per_key.or(other.requests_per_key),
            meetings_per_tenant: self.meetings_per_tenant.or(other.meetings_per_tenant),
            http_allow: self.http_allow.or(other.http_allow),
            http_deny: self.http_deny.or(other.http_deny),
            control_allow: self.control_allow.or(other.control_allow),
            control_deny: self.control_deny.or(other.control_deny),
            connections: self.connections.or(other.connections),
            connections_per_address: self
                .connections_per_address
                .or(other.connections_per_address),
            participants_per_tenant: self
                .participants_per_tenant
                .or(other.participants_per_tenant),
            bitrate_mbps_per_tenant: self
                .bitrate_mbps_per_tenant
                .or(other.bitrate_mbps_per_tenant),
            minutes_per_tenant: self.minutes_per_tenant.or(other.minutes_per_tenant),
            tenant: self.tenant.or(other.tenant),
            usage: self.usage.or(other.usage),
            audit: self.audit.or(other.audit),
            audit_bytes: self.audit_bytes.or(other.audit_bytes),
            audit_kept: self.audit_kept.or(other.audit_kept),
            quality_retention_h: self.quality_retention_h.or(other.quality_retention_h),
            quality_store: self.quality_store.or(other.quality_store),
            quality_store_mb: self.quality_store_mb.or(other.quality_store_mb),
            otlp_endpoint: self.otlp_endpoint.or(other.otlp_endpoint),
            otlp_sample_permille: self.otlp_sample_permille.or(other.otlp_sample_permille),
            dev_client_override: self.dev_client_override.or(other.dev_client_override),
        }
    }
}
