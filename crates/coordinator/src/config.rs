//! Configuration of the coordinator: a TOML file, then `SLUICE_…` variables, then flags; the later
//! wins. API keys, which are secrets, come from the file or the environment only.

mod key;
mod resolve;
mod settings;
mod store;

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use sluice_acme::{AcmeConfig, AcmeSettingsError};
use sluice_guard::{AddressRules, ConnectionBounds};
use sluice_trace::Endpoint;
use sluice_types::mesh::version::Version;
use thiserror::Error;

pub use self::key::ApiKey;
pub use self::settings::CoordinatorSettings;
pub use self::store::{EtcdStoreSettings, StoreConfig};
use crate::audit::AuditFiles;
use crate::quota::{Quota, TenantSettings};

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
    #[error("`{0}` is not set: give it in the file or as SLUICE_… variable")]
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

/// The configuration of a coordinator, checked.
#[derive(Debug, Clone)]
pub struct CoordinatorConfig {
    /// See [`CoordinatorSettings::topology`].
    pub topology: PathBuf,
    /// See [`CoordinatorSettings::http_listen`].
    pub http_listen: SocketAddr,
    /// Certificate and key of the public name; of ACME both are one file.
    pub tls: Option<(PathBuf, PathBuf)>,
    /// From whom that certificate comes, unless it is put there by others.
    pub acme: Option<AcmeConfig>,
    /// See [`CoordinatorSettings::control_listen`].
    pub control_listen: SocketAddr,
    /// See [`CoordinatorSettings::mesh_dir`].
    pub mesh_dir: PathBuf,
    /// See [`CoordinatorSettings::name`].
    pub name: String,
    /// Where state is kept.
    pub store: StoreConfig,
    /// See [`CoordinatorSettings::protocol_max`].
    pub protocol_max: Version,
    /// See [`CoordinatorSettings::geoip`].
    pub geoip: Vec<PathBuf>,
    /// See [`CoordinatorSettings::name_servers`].
    pub name_servers: Vec<SocketAddr>,
    /// See [`CoordinatorSettings::webhooks`].
    pub webhooks: Option<PathBuf>,
    /// See [`CoordinatorSettings::page_url`].
    pub page_url: Option<String>,
    /// See [`CoordinatorSettings::public_url`].
    pub public_url: Option<String>,
    /// See [`CoordinatorSettings::api_keys`].
    pub api_keys: Vec<ApiKey>,
    /// See [`CoordinatorSettings::turn_secret`].
    pub turn_secret: Option<String>,
    /// See [`CoordinatorSettings::turn_override`].
    pub turn_override: Option<String>,
    /// See [`CoordinatorSettings::requests_per_address`].
    pub requests_per_address: u32,
    /// See [`CoordinatorSettings::requests_per_key`].
    pub requests_per_key: u32,
    /// From where REST may be asked.
    pub http_addresses: AddressRules,
    /// From where edges may connect.
    pub control_addresses: AddressRules,
    /// How many HTTP connections there may be.
    pub connections: ConnectionBounds,
    /// What one tenant may have.
    pub quota: Quota,
    /// See [`CoordinatorSettings::tenant`].
    pub tenants: Vec<TenantSettings>,
    /// See [`CoordinatorSettings::usage`].
    pub usage: PathBuf,
    /// The audit log.
    pub audit: AuditFiles,
    /// See [`CoordinatorSettings::quality_retention_h`].
    pub quality_retention: Duration,
    /// See [`CoordinatorSettings::quality_store`].
    pub quality_store: PathBuf,
    /// See [`CoordinatorSettings::quality_store_mb`].
    pub quality_store_bytes: u64,
    /// See [`CoordinatorSettings::otlp_endpoint`].
    pub otlp_endpoint: Option<Endpoint>,
    /// See [`CoordinatorSettings::otlp_sample_permille`].
    pub otlp_sample_permille: u16,
    /// See [`CoordinatorSettings::dev_client_override`].
    pub dev_client_override: bool,
}

#[cfg(test)]
mod tests;
