//! Versions of the protocols between processes of a mesh.
//!
//! Who dials offers every version that it speaks as an ALPN name (RFC 7301), and the other end picks the
//! newest that both know: agreed with the handshake, and per connection. Software speaks at least its
//! own version and the one before, so that a mesh can be upgraded process by process. Two that have no
//! version in common get no connection.
//!
//! A new version may add variants at the end of a message's enum, which are sent only where that version
//! was agreed on. Fields of a message that exists already never change: a message that must carry more
//! is a new variant.

/// A version of a protocol.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Version(pub u16);

impl Version {
    /// The version that an ALPN name ends with: `sluice-backbone/2` is version 2.
    #[must_use]
    pub fn of_alpn(alpn: &[u8]) -> Option<Self> {
        let name = std::str::from_utf8(alpn).ok()?;
        let (_, number) = name.rsplit_once('/')?;
        number.parse().ok().map(Self)
    }
}

impl std::fmt::Display for Version {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0.fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mesh::{backbone, control};

    #[test]
    fn alpn_names_end_with_their_version_the_newest_first() {
        for names in [backbone::ALPNS, control::ALPNS] {
            let versions: Vec<_> = names.iter().map(|name| Version::of_alpn(name)).collect();
            assert_eq!(versions, [Some(Version(2)), Some(Version(1))]);
        }
        assert_eq!(Version::of_alpn(b"h3"), None);
        assert_eq!(Version::of_alpn(b"sluice/x"), None);
    }
}
