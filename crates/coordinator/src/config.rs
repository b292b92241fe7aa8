//! Configuration of the coordinator: a TOML file, then `SLUICE_…` variables, then flags; the later
//! wins. API keys, which are secrets, come from the file or the environment only.

mod store;

use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::str::FromStr;

use clap::Args;
use serde::Deserialize;
use sluice_types::ids::ApiKeyId;
use thiserror::Error;

pub use self::store::{EtcdStoreSettings, StoreConfig};

/// The shortest secret of an API key, in characters: 32 of them carry the 256 bits of HMAC-SHA-256
/// when they are random.
const SECRET_CHARS_MIN: usize = 32;

/// An API key: who may sign tokens for which tenant.
#[derive(Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ApiKey {
    /// Its public name, the `iss` of tokens.
    pub id: ApiKeyId,
    /// Its secret, at least 32 characters. Never logged.
    pub secret: String,
    /// Whose meetings it is for; the key's own name when absent.
    #[serde(default)]
    pub tenant: Option<String>,
    /// It may also look at the whole mesh.
    #[serde(default)]
    pub ops: bool,
}

impl std::fmt::Debug for ApiKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ApiKey")
            .field("id", &self.id)
            .finish_non_exhaustive()
    }
}

impl FromStr for ApiKey {
    type Err = String;

    /// `ID:SECRET[:TENANT[:ops]]`.
    fn from_str(text: &str) -> Result<Self, String> {
        let mut parts = text.split(':');
        let id = parts.next().unwrap_or_default();
        let secret = parts.next().ok_or("allowed: ID:SECRET[:TENANT[:ops]]")?;
        Ok(Self {
            id: id.parse().map_err(|error| format!("{error}"))?,
            secret: secret.to_owned(),
            tenant: parts
                .next()
                .filter(|tenant| !tenant.is_empty())
                .map(str::to_owned),
            ops: parts.next() == Some("ops"),
        })
    }
}

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
    /// MaxMind DB files, comma-separated, the first that knows an address wins [default: none]
    #[arg(long, env = "SLUICE_GEOIP", value_delimiter = ',')]
    pub geoip: Option<Vec<PathBuf>>,
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
    /// Believe `as=ADDRESS` and X-Sluice-Dev-Client; only on a loopback listener [default: false]
    #[arg(long, env = "SLUICE_DEV_CLIENT_OVERRIDE")]
    pub dev_client_override: Option<bool>,
}

/// The host's name, as Linux has it.
fn host_name() -> String {
    let name = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    match name.trim() {
        "" => "coordinator".to_owned(),
        name => name.to_owned(),
    }
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
}

/// The configuration of a coordinator, checked.
#[derive(Debug, Clone)]
pub struct CoordinatorConfig {
    /// See [`CoordinatorSettings::topology`].
    pub topology: PathBuf,
    /// See [`CoordinatorSettings::http_listen`].
    pub http_listen: SocketAddr,
    /// Certificate and key of the public name.
    pub tls: Option<(PathBuf, PathBuf)>,
    /// See [`CoordinatorSettings::control_listen`].
    pub control_listen: SocketAddr,
    /// See [`CoordinatorSettings::mesh_dir`].
    pub mesh_dir: PathBuf,
    /// See [`CoordinatorSettings::name`].
    pub name: String,
    /// Where state is kept.
    pub store: StoreConfig,
    /// See [`CoordinatorSettings::geoip`].
    pub geoip: Vec<PathBuf>,
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
    /// See [`CoordinatorSettings::meetings_per_tenant`].
    pub meetings_per_tenant: usize,
    /// See [`CoordinatorSettings::dev_client_override`].
    pub dev_client_override: bool,
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
            control_listen: self.control_listen.or(other.control_listen),
            mesh_dir: self.mesh_dir.or(other.mesh_dir),
            name: self.name.or(other.name),
            // A store that is named before takes the place of one of the other kind.
            store: self
                .store
                .or(other.store.filter(|_| self.etcd.endpoints.is_none())),
            etcd: self.etcd.or(other.etcd),
            geoip: self.geoip.or(other.geoip),
            webhooks: self.webhooks.or(other.webhooks),
            page_url: self.page_url.or(other.page_url),
            public_url: self.public_url.or(other.public_url),
            api_keys: self.api_keys.or(other.api_keys),
            turn_secret: self.turn_secret.or(other.turn_secret),
            turn_override: self.turn_override.or(other.turn_override),
            requests_per_address: self.requests_per_address.or(other.requests_per_address),
            requests_per_key: self.requests_per_key.or(other.requests_per_key),
            meetings_per_tenant: self.meetings_per_tenant.or(other.meetings_per_tenant),
            dev_client_override: self.dev_client_override.or(other.dev_client_override),
        }
    }

    /// Fills in defaults and checks.
    ///
    /// # Errors
    /// When something required is missing or out of range.
    pub fn resolve(self) -> Result<CoordinatorConfig, ConfigError> {
        let any = Ipv4Addr::UNSPECIFIED.into();
        let api_keys = self.api_keys.filter(|keys| !keys.is_empty());
        let api_keys = api_keys.ok_or(ConfigError::Missing("api_keys"))?;
        if let Some(weak) = api_keys
            .iter()
            .find(|key| key.secret.len() < SECRET_CHARS_MIN)
        {
            return Err(ConfigError::Value {
                key: "api_keys",
                value: weak.id.to_string(),
                allowed: "secrets of at least 32 characters",
            });
        }
        let http_listen = self.http_listen.unwrap_or(SocketAddr::new(any, 443));
        let dev_client_override = self.dev_client_override.unwrap_or(false);
        if dev_client_override && !http_listen.ip().is_loopback() {
            return Err(ConfigError::Value {
                key: "dev_client_override",
                value: "true".to_owned(),
                allowed: "only with http_listen on a loopback address: anybody could choose a region",
            });
        }
        let tls = match (self.tls_cert, self.tls_key) {
            (Some(cert), Some(key)) => Some((cert, key)),
            (None, None) => None,
            (Some(_), None) => return Err(ConfigError::Missing("tls_key")),
            (None, Some(_)) => return Err(ConfigError::Missing("tls_cert")),
        };
        let name = self.name.unwrap_or_else(host_name);
        let store = StoreConfig::new(self.store, self.etcd)?;
        let url = |url: Option<String>| url.map(|url| url.trim_end_matches('/').to_owned());
        Ok(CoordinatorConfig {
            topology: self.topology.unwrap_or_else(|| ".".into()),
            http_listen,
            tls,
            control_listen: self.control_listen.unwrap_or(SocketAddr::new(any, 7_400)),
            mesh_dir: self.mesh_dir.unwrap_or_else(|| "/etc/sluice/mesh".into()),
            name,
            store,
            geoip: self.geoip.unwrap_or_default(),
            webhooks: self.webhooks,
            page_url: url(self.page_url),
            public_url: url(self.public_url),
            api_keys,
            turn_secret: self.turn_secret,
            turn_override: self.turn_override,
            requests_per_address: self.requests_per_address.unwrap_or(50).max(1),
            requests_per_key: self.requests_per_key.unwrap_or(2_000).max(1),
            meetings_per_tenant: self.meetings_per_tenant.unwrap_or(100_000),
            dev_client_override,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settings() -> CoordinatorSettings {
        toml_edit::de::from_str(
            r#"
            api_keys = [{ id = "key", secret = "0123456789abcdef0123456789abcdef", tenant = "acme" }]
            requests_per_key = 7
            "#,
        )
        .expect("good settings")
    }

    #[test]
    fn a_missing_flag_does_not_clobber_the_file() {
        let flags = CoordinatorSettings {
            requests_per_address: Some(3),
            ..CoordinatorSettings::default()
        };
        let config = flags.or(settings()).resolve().expect("complete");
        assert_eq!(
            (config.requests_per_address, config.requests_per_key),
            (3, 7)
        );
        assert!(
            !format!("{config:?}").contains("0123456789"),
            "secrets are not shown"
        );
    }

    #[test]
    fn etcd_takes_the_place_of_the_file_and_unknown_keys_are_refused_all_the_same() {
        let mut etcd = settings();
        let read = |text: &str| toml_edit::de::from_str::<CoordinatorSettings>(text);
        let file =
            read("etcd_endpoints = [\"https://a:2379\"]\netcd_ca = \"ca.pem\"\netcd_lease_s = 3");
        etcd.etcd = file.expect("good settings").etcd;
        let StoreConfig::Etcd(config) = etcd.clone().resolve().expect("complete").store else {
            unreachable!("etcd is named")
        };
        assert_eq!((config.lease.as_secs(), &*config.prefix), (3, "sluice/"));
        let mut both = etcd.clone();
        both.store = Some("a.redb".into());
        assert!(
            both.resolve()
                .expect_err("refused")
                .to_string()
                .contains("beside")
        );
        etcd.etcd.ca = None;
        assert!(matches!(
            etcd.resolve(),
            Err(ConfigError::Missing("etcd_ca"))
        ));
        for unknown in ["etcd_endpoint = \"a\"", "storre = \"a\"", "lease_s = 3"] {
            assert!(read(unknown).is_err(), "{unknown}");
        }
    }

    #[test]
    fn the_override_of_development_is_refused_where_others_could_use_it() {
        let mut open = settings();
        open.dev_client_override = Some(true);
        assert!(
            open.clone()
                .resolve()
                .expect_err("refused")
                .to_string()
                .contains("loopback")
        );
        open.http_listen = Some("127.0.0.1:7400".parse().expect("an address"));
        assert!(open.resolve().is_ok());
    }

    #[test]
    fn a_weak_or_missing_key_is_refused() {
        let mut weak = settings();
        weak.api_keys = Some(vec!["key:short".parse().expect("a key")]);
        assert!(weak.resolve().is_err());
        assert!(matches!(
            CoordinatorSettings::default().resolve(),
            Err(ConfigError::Missing("api_keys"))
        ));
    }
}
