//! From what is written to what is used: defaults are filled in, and everything is checked.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;
use std::time::Duration;

use ipnet::IpNet;
use sluice_guard::{AddressRules, ConnectionBounds};
use sluice_trace::Endpoint;
use sluice_types::mesh::control::LEADS;
use sluice_types::mesh::version::{NEWEST, OLDEST, Version};

use super::{ConfigError, CoordinatorConfig, CoordinatorSettings, StoreConfig};
use crate::audit::AuditFiles;
use crate::quota::Quota;

/// The shortest secret of an API key, in characters: 32 of them carry the 256 bits of HMAC-SHA-256
/// when they are random.
const SECRET_CHARS_MIN: usize = 32;

/// The host's name, as Linux has it.
fn host_name() -> String {
    let name = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    match name.trim() {
        "" => "coordinator".to_owned(),
        name => name.to_owned(),
    }
}

impl CoordinatorSettings {
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
        let (tls, acme) = self.acme.or_files(self.tls_cert, self.tls_key)?;
        let rules = |allow: Option<Vec<IpNet>>, deny: Option<Vec<IpNet>>| {
            AddressRules::new(allow.unwrap_or_default(), deny.unwrap_or_default())
        };
        let connections = ConnectionBounds {
            all: self.connections.unwrap_or(10_000).max(1),
            per_network: self.connections_per_address.unwrap_or(1_000).max(1),
        };
        let tenants = self.tenant.unwrap_or_default();
        let mut names: Vec<_> = tenants.iter().map(|tenant| &tenant.name).collect();
        names.sort_unstable();
        if let Some(twice) = names.windows(2).find(|pair| pair[0] == pair[1]) {
            return Err(ConfigError::Value {
                key: "tenant.name",
                value: twice[0].clone(),
                allowed: "each tenant once",
            });
        }
        let within = |key, value: u32, range: std::ops::RangeInclusive<u32>, allowed| {
            if range.contains(&value) {
                return Ok(u64::from(value));
            }
            Err(ConfigError::Value {
                key,
                value: value.to_string(),
                allowed,
            })
        };
        let retention_h = within(
            "quality_retention_h",
            self.quality_retention_h.unwrap_or(168),
            0..=8_760,
            "0 to 8760",
        )?;
        let store_mb = within(
            "quality_store_mb",
            self.quality_store_mb.unwrap_or(1_024),
            1..=1_048_576,
            "1 to 1048576",
        )?;
        let permille = within(
            "otlp_sample_permille",
            self.otlp_sample_permille.unwrap_or(1_000),
            0..=1_000,
            "0 to 1000",
        )?;
        let endpoint = |text: String| {
            text.parse().map_err(|_| ConfigError::Value {
                key: "otlp_endpoint",
                value: text,
                allowed: Endpoint::ALLOWED,
            })
        };
        let name = self.name.unwrap_or_else(host_name);
        let state_dir = match &self.store {
            Some(store) => store.parent().map(Path::to_owned).unwrap_or_default(),
            None => "/var/lib/sluice".into(),
        };
        let quality_store = self
            .quality_store
            .unwrap_or_else(|| state_dir.join("quality.redb"));
        let store = StoreConfig::new(self.store, self.etcd)?;
        let protocol_max = self.protocol_max.unwrap_or(NEWEST.0);
        // Of several that say no terms, edges could not tell which one to follow.
        let (oldest, allowed) = match store {
            StoreConfig::File(_) => (OLDEST, "1 to 2"),
            StoreConfig::Etcd(_) => (LEADS, "2 with etcd"),
        };
        within(
            "protocol_max",
            u32::from(protocol_max),
            u32::from(oldest.0)..=u32::from(NEWEST.0),
            allowed,
        )?;
        let usage = self.usage.unwrap_or_else(|| state_dir.join("usage.json"));
        let audit = AuditFiles {
            path: self.audit.unwrap_or_else(|| state_dir.join("audit.jsonl")),
            bytes: self.audit_bytes.unwrap_or(64 << 20).max(1_000),
            kept: self.audit_kept.unwrap_or(8).max(1),
        };
        let url = |url: Option<String>| url.map(|url| url.trim_end_matches('/').to_owned());
        Ok(CoordinatorConfig {
            topology: self.topology.unwrap_or_else(|| ".".into()),
            http_listen,
            tls,
            acme,
            control_listen: self.control_listen.unwrap_or(SocketAddr::new(any, 7_400)),
            mesh_dir: self.mesh_dir.unwrap_or_else(|| "/etc/sluice/mesh".into()),
            name,
            store,
            protocol_max: Version(protocol_max),
            geoip: self.geoip.unwrap_or_default(),
            name_servers: self.name_servers.unwrap_or_default(),
            webhooks: self.webhooks,
            page_url: url(self.page_url),
            public_url: url(self.public_url),
            api_keys,
            turn_secret: self.turn_secret,
            turn_override: self.turn_override,
            requests_per_address: self.requests_per_address.unwrap_or(50).max(1),
            requests_per_key: self.requests_per_key.unwrap_or(2_000).max(1),
            http_addresses: rules(self.http_allow, self.http_deny),
            control_addresses: rules(self.control_allow, self.control_deny),
            connections,
            quota: Quota {
                meetings: self.meetings_per_tenant.unwrap_or(100_000),
                participants: self.participants_per_tenant,
                bitrate_mbps: self.bitrate_mbps_per_tenant,
                minutes: self.minutes_per_tenant,
            },
            tenants,
            usage,
            audit,
            quality_retention: Duration::from_secs(retention_h * 3_600),
            quality_store,
            quality_store_bytes: store_mb * 1_024 * 1_024,
            otlp_endpoint: self.otlp_endpoint.map(endpoint).transpose()?,
            // It is at most 1000.
            otlp_sample_permille: permille as u16,
            dev_client_override,
        })
    }
}
