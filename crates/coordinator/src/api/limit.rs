//! How often somebody may ask: token buckets by API key and by client address.

use std::collections::HashMap;
use std::hash::Hash;
use std::net::{IpAddr, Ipv6Addr, SocketAddr};
use std::sync::{Mutex, PoisonError};
use std::time::Instant;

use axum::extract::{ConnectInfo, Request, State};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use sluice_types::ids::ApiKeyId;

use super::auth::{MaybeCaller, identify};
use super::client::socket_client;
use super::problem::Problem;
use crate::state::Shared;

/// The most callers that are remembered. When there are more, those who have their whole allowance
/// are forgotten, and if that is not enough, all: for a moment everybody starts afresh.
const REMEMBERED_MAX: usize = 100_000;

/// Bursts are this many seconds' worth.
const BURST_S: f64 = 2.0;

struct Buckets<K> {
    per_second: f64,
    known: Mutex<HashMap<K, (f64, Instant)>>,
}

impl<K: Hash + Eq> Buckets<K> {
    fn new(per_second: u32) -> Self {
        Self {
            per_second: f64::from(per_second),
            known: Mutex::default(),
        }
    }

    fn allows(&self, who: K, now: Instant) -> bool {
        let full = self.per_second * BURST_S;
        let refilled = |(left, since): (f64, Instant)| {
            (left + now.duration_since(since).as_secs_f64() * self.per_second).min(full)
        };
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        if known.len() >= REMEMBERED_MAX && !known.contains_key(&who) {
            known.retain(|_, bucket| refilled(*bucket) < full);
            if known.len() >= REMEMBERED_MAX {
                known.clear();
            }
        }
        let bucket = known.entry(who).or_insert((full, now));
        let left = refilled(*bucket);
        let allowed = left >= 1.0;
        *bucket = (if allowed { left - 1.0 } else { left }, now);
        allowed
    }
}

/// Both kinds of buckets.
pub(crate) struct Limiter {
    addresses: Buckets<IpAddr>,
    keys: Buckets<ApiKeyId>,
}

impl Limiter {
    pub(crate) fn new(per_address: u32, per_key: u32) -> Self {
        Self {
            addresses: Buckets::new(per_address),
            keys: Buckets::new(per_key),
        }
    }

    pub(super) fn allows_key(&self, key: &ApiKeyId) -> bool {
        count(self.keys.allows(key.clone(), Instant::now()), "key")
    }

    fn allows_address(&self, address: IpAddr) -> bool {
        // One IPv6 customer has a /64 at least.
        let network = match address.to_canonical() {
            IpAddr::V6(v6) => {
                let mut segments = v6.segments();
                segments[4..].fill(0);
                IpAddr::V6(Ipv6Addr::from(segments))
            }
            v4 => v4,
        };
        count(self.addresses.allows(network, Instant::now()), "address")
    }
}

fn count(allowed: bool, by: &'static str) -> bool {
    if !allowed {
        metrics::counter!("sluice_coordinator_rate_limited_total", "by" => by).increment(1);
    }
    allowed
}

/// Refuses those who ask too often, before anything else is done for them. Back ends, which ask for
/// many users from one address, are limited by their key; everybody else by address, and so is who
/// shows a token that proves nothing.
pub(super) async fn by_caller(
    State(shared): State<Shared>,
    ConnectInfo(from): ConnectInfo<SocketAddr>,
    mut request: Request,
    next: Next,
) -> Response {
    let path = request.uri().path();
    let is_probe = matches!(path, "/healthz" | "/readyz" | "/metrics");
    let caller = identify(&shared, request.headers());
    let refused = match &caller {
        Ok(MaybeCaller(Some(caller))) if caller.grants.is_none() => {
            let allowed = shared.limiter.allows_key(&caller.key);
            (!allowed).then_some("this API key makes too many requests")
        }
        _ if is_probe => None,
        _ => {
            let client = socket_client(&shared, from, request.headers());
            let allowed = shared.limiter.allows_address(client);
            (!allowed).then_some("this address makes too many requests")
        }
    };
    if let Some(refused) = refused {
        return Problem::too_many(refused).into_response();
    }
    request.extensions_mut().insert(caller);
    next.run(request).await
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn a_burst_is_allowed_and_then_the_rate() {
        let buckets = Buckets::new(10);
        let now = Instant::now();
        let allowed = |at: Instant| (0..100).filter(|_| buckets.allows(1, at)).count();
        assert_eq!(allowed(now), 20);
        assert_eq!(allowed(now + Duration::from_secs(1)), 10);
        assert!(buckets.allows(2, now), "others are not concerned");
    }
}
