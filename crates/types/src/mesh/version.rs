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

/// The newest version of the mesh's protocols, and the oldest that is still spoken.
pub const NEWEST: Version = Version(2);
/// See [`NEWEST`].
pub const OLDEST: Version = Version(1);

/// Of a protocol's names, the newest first, those up to a version.
#[must_use]
pub fn up_to(most: Version, alpns: &'static [&'static [u8]]) -> &'static [&'static [u8]] {
    let is_newer = |name: &&&[u8]| Version::of_alpn(name).is_some_and(|version| version > most);
    &alpns[alpns.iter().take_while(is_newer).count()..]
}

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
            assert_eq!(versions, [Some(NEWEST), Some(OLDEST)]);
            assert_eq!(up_to(NEWEST, names), names);
            assert_eq!(up_to(OLDEST, names), &names[1..]);
        }
        assert_eq!(Version::of_alpn(b"h3"), None);
        assert_eq!(Version::of_alpn(b"sluice/x"), None);
    }
}
