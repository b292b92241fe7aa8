//! Names and addresses of hosts.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr};
use std::str::FromStr;
use std::sync::Arc;

use thiserror::Error;

/// Why a text is neither a DNS name nor an address.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("`{0}` is not {DNS_NAME_ALLOWED}")]
pub struct InvalidHost(String);

/// A DNS name: at most 253 of a-z, 0-9, hyphens and dots, in labels of 1 to 63 characters, not
/// all digits in the last. Always lowercase, never with a final dot.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct DnsName(Arc<str>);

impl DnsName {
    /// The name as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The name of a host under this one, for example `paris-1` under `paris.example.net`.
    ///
    /// # Errors
    /// When the longer name is not a DNS name any more.
    pub fn child(&self, label: &str) -> Result<Self, InvalidHost> {
        format!("{label}.{self}").parse()
    }
}

impl FromStr for DnsName {
    type Err = InvalidHost;

    fn from_str(text: &str) -> Result<Self, InvalidHost> {
        let label_is_valid = |label: &str| {
            (1..=63).contains(&label.len())
                && !label.starts_with('-')
                && !label.ends_with('-')
                && label
                    .bytes()
                    .all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-')
        };
        // A last label of digits would be read as part of an IPv4 address (RFC 3696).
        let all_digits = |label: &str| label.bytes().all(|b| b.is_ascii_digit());
        let last_is_valid = text
            .rsplit('.')
            .next()
            .is_some_and(|last| !all_digits(last));
        if text.len() <= 253 && last_is_valid && text.split('.').all(label_is_valid) {
            Ok(Self(Arc::from(text)))
        } else {
            Err(InvalidHost(text.chars().take(64).collect()))
        }
    }
}

impl fmt::Display for DnsName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

/// Where a host is: by name, or by address.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Host {
    /// A name to be resolved, and resolved again when its time to live ends.
    Name(DnsName),
    /// A fixed address.
    Address(IpAddr),
}

impl Host {
    /// The host when it is an IPv4 address.
    #[must_use]
    pub const fn ipv4(&self) -> Option<Ipv4Addr> {
        match self {
            Self::Address(IpAddr::V4(address)) => Some(*address),
            Self::Address(IpAddr::V6(_)) | Self::Name(_) => None,
        }
    }

    /// The host as URLs write it: an IPv6 address stands in brackets.
    #[must_use]
    pub fn in_url(&self) -> String {
        match self {
            Self::Address(IpAddr::V6(address)) => format!("[{address}]"),
            Self::Address(IpAddr::V4(address)) => address.to_string(),
            Self::Name(name) => name.to_string(),
        }
    }
}

impl FromStr for Host {
    type Err = InvalidHost;

    fn from_str(text: &str) -> Result<Self, InvalidHost> {
        match text.parse() {
            Ok(address) => Ok(Self::Address(address)),
            Err(_) => text.parse().map(Self::Name),
        }
    }
}

impl fmt::Display for Host {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Name(name) => name.fmt(f),
            Self::Address(address) => address.fmt(f),
        }
    }
}

/// What a DNS name may be, for faults.
pub(super) const DNS_NAME_ALLOWED: &str = "a lowercase DNS name such as `paris.example.net`";
