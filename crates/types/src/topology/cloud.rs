//! Where a region's machines are hired.

use std::fmt;
use std::str::FromStr;

/// A cloud that `terraform/` knows how to hire machines of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Provider {
    /// Amazon Web Services.
    Aws,
    /// Hetzner Cloud.
    Hetzner,
}

impl Provider {
    /// The provider as region files write it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Aws => "aws",
            Self::Hetzner => "hetzner",
        }
    }

    /// Whether this can be the name of one of its regions, such as `eu-west-3` or `fsn1`. It may
    /// still not exist: only the provider knows today's list.
    #[must_use]
    pub fn is_region(self, name: &str) -> bool {
        match self {
            Self::Aws => {
                let parts: Vec<&str> = name.split('-').collect();
                let (Some(first), Some(last)) = (parts.first(), parts.last()) else {
                    return false;
                };
                parts.len() >= 3
                    && first.len() == 2
                    && parts[..parts.len() - 1].iter().all(|part| is_word(part))
                    && is_digit(last)
            }
            Self::Hetzner => {
                let letters = name.trim_end_matches(|c: char| c.is_ascii_digit());
                letters.len() == 3 && is_word(letters) && name.len() <= 4
            }
        }
    }

    /// Whether this can be a zone of that region. Hetzner Cloud has none.
    #[must_use]
    pub fn is_zone(self, region: &str, name: &str) -> bool {
        let letter = name.strip_prefix(region);
        self == Self::Aws && letter.is_some_and(|letter| letter.len() == 1 && is_word(letter))
    }

    /// Whether this can be a type of machine, such as `c7i.xlarge` or `ccx23`.
    #[must_use]
    pub fn is_machine(self, name: &str) -> bool {
        let plain = |text: &str| {
            text.starts_with(|c: char| c.is_ascii_lowercase())
                && text.len() <= 20
                && text
                    .bytes()
                    .all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-')
        };
        match self {
            Self::Aws => name.split_once('.').is_some_and(|(family, size)| {
                let size = size.trim_start_matches(|c: char| c.is_ascii_digit());
                plain(family) && plain(size)
            }),
            Self::Hetzner => plain(name) && name.ends_with(|c: char| c.is_ascii_digit()),
        }
    }

    pub(super) const fn region_allowed(self) -> &'static str {
        match self {
            Self::Aws => "a region of AWS such as `eu-west-3`",
            Self::Hetzner => "a location of Hetzner Cloud such as `fsn1`",
        }
    }

    pub(super) const fn machine_allowed(self) -> &'static str {
        match self {
            Self::Aws => "an instance type of AWS such as `c7i.xlarge`",
            Self::Hetzner => "a server type of Hetzner Cloud such as `ccx23`",
        }
    }

    /// Four dedicated threads, which the default of a region's edges fills.
    pub(super) const fn edge_type(self) -> &'static str {
        match self {
            Self::Aws => "c7i.xlarge",
            Self::Hetzner => "ccx23",
        }
    }

    /// Two dedicated threads.
    pub(super) const fn turn_type(self) -> &'static str {
        match self {
            Self::Aws => "c7i.large",
            Self::Hetzner => "ccx13",
        }
    }
}

fn is_word(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|b| b.is_ascii_lowercase())
}

fn is_digit(text: &str) -> bool {
    text.len() == 1 && text.bytes().all(|b| b.is_ascii_digit())
}

/// The provider is not one of those that are known.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is no known cloud: aws and hetzner are")]
pub struct UnknownProvider(String);

impl FromStr for Provider {
    type Err = UnknownProvider;

    fn from_str(text: &str) -> Result<Self, UnknownProvider> {
        [Self::Aws, Self::Hetzner]
            .into_iter()
            .find(|provider| provider.as_str() == text)
            .ok_or_else(|| UnknownProvider(text.chars().take(64).collect()))
    }
}

impl fmt::Display for Provider {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// Where a region's machines are hired, and which.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cloud {
    pub(super) provider: Provider,
    pub(super) region: String,
    pub(super) zones: Vec<String>,
    pub(super) edge_type: String,
    pub(super) turn_type: String,
}

impl Cloud {
    /// Whose machines they are.
    #[must_use]
    pub const fn provider(&self) -> Provider {
        self.provider
    }

    /// The provider's own name of the region, such as `eu-west-3` or `fsn1`.
    #[must_use]
    pub fn region(&self) -> &str {
        &self.region
    }

    /// The zones over which machines are spread: at least one on AWS, none on Hetzner Cloud.
    #[must_use]
    pub fn zones(&self) -> &[String] {
        &self.zones
    }

    /// The type of machine of each edge.
    #[must_use]
    pub fn edge_type(&self) -> &str {
        &self.edge_type
    }

    /// The type of machine of the TURN service.
    #[must_use]
    pub fn turn_type(&self) -> &str {
        &self.turn_type
    }
}
