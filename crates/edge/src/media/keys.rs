//! Small names for things that workers look up.

use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::atomic::{AtomicU64, Ordering};

use sluice_types::ids::TrackId;

/// A track, at every worker of every edge.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct TrackKey(u64);

impl TrackKey {
    /// The key of a track. Ids have 80 random bits, so two tracks of a mesh share a key about as
    /// often as two of them share an id.
    #[must_use]
    pub fn of(track: &TrackId) -> Self {
        let mut hasher = DefaultHasher::new();
        track.hash(&mut hasher);
        Self(hasher.finish())
    }
}

static NEXT: AtomicU64 = AtomicU64::new(1);

macro_rules! counted {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub(crate) struct $name(pub(super) u64);

        impl $name {
            /// One that this process has not used yet.
            pub(super) fn next() -> Self {
                Self(NEXT.fetch_add(1, Ordering::Relaxed))
            }
        }
    };
}

counted!(
    /// A participant's transport at its worker.
    PeerKey
);
counted!(
    /// A receiver of a track.
    SinkKey
);
counted!(
    /// An ICE-TCP connection.
    ConnectionKey
);
