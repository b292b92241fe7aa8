//! Where state is kept: a file, or etcd.

use std::path::PathBuf;
use std::time::Duration;

use clap::Args;
use serde::Deserialize;

use super::ConfigError;
use crate::store::{EtcdSettings, EtcdTls};

/// etcd, which several coordinators share in place of a file. The user's password comes from the
/// file, or from SLUICE_ETCD_PASSWORD.
#[derive(Debug, Clone, Default, Args, Deserialize)]
#[serde(default)]
pub struct EtcdStoreSettings {
    /// Client URLs of etcd's members, comma-separated, instead of `store` [default: none]
    #[arg(
        id = "etcd_endpoints",
        long = "etcd-endpoints",
        env = "SLUICE_ETCD_ENDPOINTS",
        value_delimiter = ','
    )]
    #[serde(rename = "etcd_endpoints")]
    pub endpoints: Option<Vec<String>>,
    /// What every key of this mesh begins with [default: sluice/]
    #[arg(id = "etcd_prefix", long = "etcd-prefix", env = "SLUICE_ETCD_PREFIX")]
    #[serde(rename = "etcd_prefix")]
    pub prefix: Option<String>,
    /// The authority of etcd's certificates, PEM, for https
    #[arg(id = "etcd_ca", long = "etcd-ca", env = "SLUICE_ETCD_CA")]
    #[serde(rename = "etcd_ca")]
    pub ca: Option<PathBuf>,
    /// Certificate with which this coordinator shows itself to etcd, PEM
    #[arg(id = "etcd_cert", long = "etcd-cert", env = "SLUICE_ETCD_CERT")]
    #[serde(rename = "etcd_cert")]
    pub cert: Option<PathBuf>,
    /// Private key that belongs to it, PEM
    #[arg(id = "etcd_key", long = "etcd-key", env = "SLUICE_ETCD_KEY")]
    #[serde(rename = "etcd_key")]
    pub key: Option<PathBuf>,
    /// User that etcd knows this coordinator by [default: none]
    #[arg(id = "etcd_user", long = "etcd-user", env = "SLUICE_ETCD_USER")]
    #[serde(rename = "etcd_user")]
    pub user: Option<String>,
    /// Its password.
    #[arg(skip)]
    #[serde(rename = "etcd_password")]
    pub password: Option<String>,
    /// After how many seconds of silence another coordinator leads, 2 to 60 [default: 5]
    #[arg(
        id = "etcd_lease_s",
        long = "etcd-lease-s",
        env = "SLUICE_ETCD_LEASE_S"
    )]
    #[serde(rename = "etcd_lease_s")]
    pub lease_s: Option<u32>,
}

impl EtcdStoreSettings {
    pub(super) fn or(self, other: Self) -> Self {
        Self {
            endpoints: self.endpoints.or(other.endpoints),
            prefix: self.prefix.or(other.prefix),
            ca: self.ca.or(other.ca),
            cert: self.cert.or(other.cert),
            key: self.key.or(other.key),
            user: self.user.or(other.user),
            password: self.password.or(other.password),
            lease_s: self.lease_s.or(other.lease_s),
        }
    }

    /// Fills in defaults and checks; none without endpoints.
    ///
    /// # Errors
    /// When something is missing, out of range, or makes no sense without the rest.
    pub fn resolve(self) -> Result<Option<EtcdSettings>, ConfigError> {
        let Some(endpoints) = self.endpoints else {
            let stray = [
                ("etcd_ca", self.ca.is_some()),
                ("etcd_cert", self.cert.is_some()),
                ("etcd_user", self.user.is_some()),
            ];
            return match stray.into_iter().find(|(_, given)| *given) {
                Some(_) => Err(ConfigError::Missing("etcd_endpoints")),
                None => Ok(None),
            };
        };
        let secure = endpoints.iter().all(|url| url.starts_with("https://"));
        let plain = endpoints.iter().all(|url| url.starts_with("http://"));
        if endpoints.is_empty() || !(secure || plain) {
            return Err(ConfigError::Value {
                key: "etcd_endpoints",
                value: endpoints.join(","),
                allowed: "URLs, all with http:// or all with https://",
            });
        }
        let prefix = self.prefix.unwrap_or_else(|| "sluice/".to_owned());
        if !prefix.ends_with('/') {
            return Err(ConfigError::Value {
                key: "etcd_prefix",
                value: prefix,
                allowed: "a name that ends with a slash",
            });
        }
        let client = match (self.cert, self.key) {
            (Some(cert), Some(key)) => Some((cert, key)),
            (None, None) => None,
            (Some(_), None) => return Err(ConfigError::Missing("etcd_key")),
            (None, Some(_)) => return Err(ConfigError::Missing("etcd_cert")),
        };
        let tls = match (self.ca, secure) {
            (Some(ca), true) => Some(EtcdTls { ca, client }),
            (None, true) => return Err(ConfigError::Missing("etcd_ca")),
            (None, false) if client.is_none() => None,
            (_, false) => {
                return Err(ConfigError::Value {
                    key: "etcd_endpoints",
                    value: endpoints.join(","),
                    allowed: "https:// where there are certificates",
                });
            }
        };
        let user = match (self.user, self.password) {
            (Some(user), Some(password)) => Some((user, password)),
            (None, _) => None,
            (Some(_), None) => return Err(ConfigError::Missing("etcd_password")),
        };
        let lease_s = self.lease_s.unwrap_or(5);
        if !(2..=60).contains(&lease_s) {
            return Err(ConfigError::Value {
                key: "etcd_lease_s",
                value: lease_s.to_string(),
                allowed: "2 to 60",
            });
        }
        Ok(Some(EtcdSettings {
            endpoints,
            prefix,
            tls,
            user,
            lease: Duration::from_secs(lease_s.into()),
        }))
    }
}

/// Where state is kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum StoreConfig {
    /// In a file, of one coordinator.
    File(PathBuf),
    /// In etcd, which several share.
    Etcd(EtcdSettings),
}

impl StoreConfig {
    pub(super) fn new(file: Option<PathBuf>, etcd: EtcdStoreSettings) -> Result<Self, ConfigError> {
        match (file, etcd.resolve()?) {
            (None, Some(etcd)) => Ok(Self::Etcd(etcd)),
            (Some(file), Some(_)) => Err(ConfigError::Value {
                key: "store",
                value: file.display().to_string(),
                allowed: "none beside etcd_endpoints",
            }),
            (file, None) => {
                Ok(Self::File(file.unwrap_or_else(|| {
                    "/var/lib/sluice/coordinator.redb".into()
                })))
            }
        }
    }
}
