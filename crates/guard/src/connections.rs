//! How many connections there may be at once.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::addresses::network;

/// How many connections there may be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ConnectionBounds {
    /// In all.
    pub all: usize,
    /// From one IPv4 address or one IPv6 /64.
    pub per_network: usize,
}

/// Why there may not be one more.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Crowded {
    /// That network has as many as it may.
    Network,
    /// There are as many as there may be.
    All,
}

impl Crowded {
    /// As a metric's label.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Network => "network",
            Self::All => "all",
        }
    }
}

/// Counts connections. Clones count together. What is remembered is one number for each network that
/// has connections, so it is bounded as they are.
#[derive(Clone)]
pub struct Connections(Arc<Inner>);

struct Inner {
    bounds: ConnectionBounds,
    held: Mutex<Held>,
}

#[derive(Default)]
struct Held {
    all: usize,
    by_network: HashMap<IpAddr, usize>,
}

impl Inner {
    fn held(&self) -> MutexGuard<'_, Held> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Connections {
    /// There are none yet.
    #[must_use]
    pub fn new(bounds: ConnectionBounds) -> Self {
        let held = Mutex::default();
        Self(Arc::new(Inner { bounds, held }))
    }

    /// Counts one from that address, for as long as the permit is kept.
    ///
    /// # Errors
    /// When there are enough.
    pub fn take(&self, from: IpAddr) -> Result<Permit, Crowded> {
        let (bounds, network) = (self.0.bounds, network(from));
        let mut held = self.0.held();
        if held.all >= bounds.all {
            return Err(Crowded::All);
        }
        let here = held.by_network.get(&network).copied().unwrap_or_default();
        if here >= bounds.per_network {
            return Err(Crowded::Network);
        }
        held.by_network.insert(network, here + 1);
        held.all += 1;
        let connections = Arc::clone(&self.0);
        Ok(Permit {
            connections,
            network,
        })
    }

    /// How many there are.
    #[must_use]
    pub fn count(&self) -> usize {
        self.0.held().all
    }
}

/// One connection that is counted until this is dropped.
pub struct Permit {
    connections: Arc<Inner>,
    network: IpAddr,
}

impl Drop for Permit {
    fn drop(&mut self) {
        let mut held = self.connections.held();
        held.all -= 1;
        if let Some(here) = held.by_network.get_mut(&self.network) {
            *here -= 1;
            if *here == 0 {
                held.by_network.remove(&self.network);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_network_does_not_take_the_places_of_others() {
        let connections = Connections::new(ConnectionBounds {
            all: 4,
            per_network: 2,
        });
        let ip = |text: &str| text.parse::<IpAddr>().expect("an address");
        let take = |from: &str| connections.take(ip(from));
        let (first, _second) = (take("2001:db8::1").ok(), take("2001:db8::2").ok());
        assert_eq!(take("2001:db8::3").err(), Some(Crowded::Network));
        let _others = (take("192.0.2.1").ok(), take("192.0.2.2").ok());
        assert_eq!(take("192.0.2.3").err(), Some(Crowded::All));
        drop(first);
        assert_eq!(connections.count(), 3);
        assert!(take("2001:db8::3").is_ok());
        assert_eq!(connections.count(), 3, "let go at once");
    }

    #[test]
    fn a_network_that_is_refused_is_not_remembered() {
        let none = Connections::new(ConnectionBounds {
            all: 10,
            per_network: 0,
        });
        assert!(none.take(IpAddr::from([192, 0, 2, 1])).is_err());
        assert_eq!(none.count(), 0);
        assert_eq!(none.0.held().by_network.len(), 0);
    }
}
