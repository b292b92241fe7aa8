//! Who a certificate of the mesh speaks for.

use std::fmt;
use std::str::FromStr;

use sluice_types::ids::EdgeId;
use thiserror::Error;

/// The suffix of an edge's name in its certificate.
const EDGE_SUFFIX: &str = ".edge.sluice.internal";
/// The coordinator's name in its certificate.
const COORDINATOR: &str = "coordinator.sluice.internal";

/// A process of the mesh, as its certificate names it.
///
/// A certificate carries it as its only DNS subject alternative name, so that the dialler's check
/// is the ordinary check of a server's name. The names are not looked up anywhere.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Identity {
    /// The coordinator.
    Coordinator,
    /// An edge.
    Edge(EdgeId),
}

impl Identity {
    /// The edge, when it is one.
    #[must_use]
    pub const fn edge(&self) -> Option<&EdgeId> {
        match self {
            Self::Coordinator => None,
            Self::Edge(edge) => Some(edge),
        }
    }

    /// The DNS name that stands for it in certificates.
    #[must_use]
    pub fn dns_name(&self) -> String {
        match self {
            Self::Coordinator => COORDINATOR.to_owned(),
            Self::Edge(edge) => format!("{edge}{EDGE_SUFFIX}"),
        }
    }

    /// The identity that `name` stands for.
    ///
    /// # Errors
    /// When it is neither the coordinator's name nor an edge's.
    pub fn from_dns_name(name: &str) -> Result<Self, UnknownIdentity> {
        let unknown = || UnknownIdentity(name.chars().take(80).collect());
        if name == COORDINATOR {
            return Ok(Self::Coordinator);
        }
        let edge = name.strip_suffix(EDGE_SUFFIX).ok_or_else(unknown)?;
        EdgeId::from_str(edge)
            .map(Self::Edge)
            .map_err(|_| unknown())
    }
}

impl fmt::Display for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Coordinator => f.write_str("coordinator"),
            Self::Edge(edge) => edge.fmt(f),
        }
    }
}

/// A certificate's name that is nobody's in a mesh.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("`{0}` is neither `{COORDINATOR}` nor an edge id followed by `{EDGE_SUFFIX}`")]
pub struct UnknownIdentity(pub String);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_read_back() {
        for identity in [
            Identity::Coordinator,
            Identity::Edge("paris-1".parse().expect("an edge id")),
        ] {
            assert_eq!(Identity::from_dns_name(&identity.dns_name()), Ok(identity));
        }
    }

    #[test]
    fn other_names_are_nobodys() {
        for name in [
            "",
            "paris-1",
            ".edge.sluice.internal",
            "a.b.edge.sluice.internal",
            "*.edge.sluice.internal",
            "coordinator.sluice.internal.example",
        ] {
            assert!(Identity::from_dns_name(name).is_err(), "{name}");
        }
    }
}
