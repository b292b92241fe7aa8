//! From where, and how often, somebody may ask.

use std::net::{IpAddr, SocketAddr};
use std::time::{Duration, Instant};

use axum::extract::{ConnectInfo, Request, State};
use axum::http::StatusCode;
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use sluice_guard::{Rate, Rates, network};
use sluice_types::ids::ApiKeyId;

use super::auth::{Caller, MaybeCaller, identify};
use super::client::socket_client;
use super::problem::Problem;
use crate::audit::Deed;
use crate::state::Shared;

/// The most addresses, and the most API keys, that are remembered.
const REMEMBERED_MAX: usize = 100_000;

/// How often addresses and API keys asked.
pub(crate) struct Limiter {
    per_address: Rate,
    addresses: Rates<IpAddr>,
    keys: Rates<ApiKeyId>,
}

impl Limiter {
    pub(crate) fn new(per_address: u32) -> Self {
        Self {
            per_address: Rate::per_second(per_address),
            addresses: Rates::new(REMEMBERED_MAX),
            keys: Rates::new(REMEMBERED_MAX),
        }
    }

    fn key(&self, key: &ApiKeyId, rate: Rate) -> Result<(), Problem> {
        let taken = self.keys.take(key.clone(), rate, Instant::now());
        taken.map_err(|wait| too_often("key", "this API key makes too many requests", wait))
    }

    fn address(&self, address: IpAddr) -> Result<(), Problem> {
        let from = network(address);
        let taken = self.addresses.take(from, self.per_address, Instant::now());
        taken.map_err(|wait| too_often("address", "this address makes too many requests", wait))
    }
}

fn too_often(by: &'static str, detail: &str, wait: Duration) -> Problem {
    metrics::counter!("sluice_coordinator_rate_limited_total", "by" => by).increment(1);
    Problem::too_many("too-many-requests", detail, wait)
}

/// Somebody may not come from there; `list` says whose word that is.
pub(super) fn wrong_address(list: &'static str, detail: &str) -> Problem {
    metrics::counter!("sluice_coordinator_address_refused_total", "list" => list).increment(1);
    Problem::refused("address-refused", detail)
}

/// Refuses those who come from the wrong place or ask too often, before anything else is done for
/// them. Back ends, which ask for many users from one address, are limited by their key; everybody
/// else by address, and so is who shows a token that proves nothing.
pub(super) async fn by_caller(
    State(shared): State<Shared>,
    ConnectInfo(from): ConnectInfo<SocketAddr>,
    mut request: Request,
    next: Next,
) -> Response {
    let path = request.uri().path();
    let is_probe = matches!(path, "/healthz" | "/readyz" | "/metrics");
    let client = socket_client(&shared, from, request.headers());
    if !shared.config.http_addresses.allows(client) {
        return wrong_address("listener", "this address may not ask here").into_response();
    }
    let caller = identify(&shared, request.headers());
    let taken = match &caller {
        Ok(MaybeCaller(Some(caller))) if caller.grants.is_none() => {
            back_end(&shared, caller, client)
        }
        _ if is_probe => Ok(()),
        _ => shared.limiter.address(client),
    };
    if let Err(problem) = taken {
        return problem.into_response();
    }
    let deed = deed(&caller, client, &request);
    request.extensions_mut().insert(caller);
    let response = next.run(request).await;
    if let Some((mut deed, changes)) = deed {
        let status = response.status();
        if changes || matches!(status, StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN) {
            deed.status = status.as_u16();
            shared.audit.note(deed);
        }
    }
    response
}

/// What may belong in the audit log, and whether it does however it ends: whatever back ends change, and
/// what is changed below `/v1/ops`, by those too who may not. What is only looked at there does when it
/// is refused. That people join does not.
fn deed(
    caller: &Result<MaybeCaller, Problem>,
    from: IpAddr,
    request: &Request,
) -> Option<(Deed, bool)> {
    let (method, path) = (request.method(), request.uri().path());
    let caller = match caller {
        Ok(MaybeCaller(Some(caller))) if caller.grants.is_none() => Some(caller),
        _ => None,
    };
    let joins = path.ends_with("/join") || path.ends_with("/whip");
    let ops = path.starts_with("/v1/ops/");
    let changes = !method.is_safe() && (ops || caller.is_some() && !joins);
    (changes || ops).then(|| {
        let deed = Deed {
            key: caller.map(|caller| caller.key.clone()),
            tenant: caller.map(|caller| caller.tenant.clone()),
            from,
            method: method.to_string(),
            path: path.to_owned(),
            status: 0,
        };
        (deed, changes)
    })
}

fn back_end(shared: &Shared, caller: &Caller, from: IpAddr) -> Result<(), Problem> {
    if !shared.tenants.key_allowed(&caller.tenant, from) {
        // Whoever stole a key asks no more often than others.
        shared.limiter.address(from)?;
        let detail = "API keys of this tenant may not be used from this address";
        return Err(wrong_address("keys", detail));
    }
    let rate = shared.tenants.rate(&caller.tenant);
    shared.limiter.key(&caller.key, rate)
}
