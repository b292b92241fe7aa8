//! Which address a client has.

use std::net::{IpAddr, SocketAddr};

use axum::http::HeaderMap;
use serde::Deserialize;
use sluice_types::topology::Position;

use crate::state::Shared;

/// The header of development's client-address override.
const DEV_CLIENT_HEADER: &str = "x-sluice-dev-client";

/// Development's client-address override in the query.
#[derive(Debug, Default, Deserialize)]
pub(crate) struct ClientQuery {
    #[serde(rename = "as")]
    address: Option<IpAddr>,
}

/// The client of a connection: its own address, or behind trusted proxies the nearest one that is
/// not theirs in `Forwarded` (RFC 7239) or `X-Forwarded-For`, read from the right.
pub(super) fn socket_client(shared: &Shared, from: SocketAddr, headers: &HeaderMap) -> IpAddr {
    let registry = shared.registry();
    let trusted = registry.topology().coordinator().trusted_proxies();
    let is_trusted = |address: &IpAddr| trusted.iter().any(|prefix| prefix.contains(address));
    let direct = from.ip().to_canonical();
    if !is_trusted(&direct) {
        return direct;
    }
    let mut client = direct;
    for hop in forwarded(headers).into_iter().rev() {
        // What cannot be read was not written by a proxy of ours.
        let Some(hop) = hop else {
            break;
        };
        client = hop;
        if !is_trusted(&hop) {
            break;
        }
    }
    client
}

/// Where the client of a request is, as far as its address tells.
pub(super) fn position(
    shared: &Shared,
    from: SocketAddr,
    headers: &HeaderMap,
    query: &ClientQuery,
) -> Option<Position> {
    shared.geoip.find(client(shared, from, headers, query))
}

/// The client of a request, with development's override where it is switched on.
pub(super) fn client(
    shared: &Shared,
    from: SocketAddr,
    headers: &HeaderMap,
    query: &ClientQuery,
) -> IpAddr {
    if shared.config.dev_client_override {
        let header = headers
            .get(DEV_CLIENT_HEADER)
            .and_then(|value| value.to_str().ok()?.parse().ok());
        if let Some(address) = query.address.or(header) {
            return address;
        }
    }
    socket_client(shared, from, headers)
}

/// The hops that proxies wrote down, the first hop first; `None` for one that is no address.
fn forwarded(headers: &HeaderMap) -> Vec<Option<IpAddr>> {
    let values = |name: &str| -> Vec<String> {
        headers
            .get_all(name)
            .iter()
            .filter_map(|value| value.to_str().ok())
            .flat_map(|value| value.split(','))
            .map(|part| part.trim().to_owned())
            .collect()
    };
    let standard = values("forwarded");
    if standard.is_empty() {
        return values("x-forwarded-for")
            .iter()
            .map(|hop| address(hop))
            .collect();
    }
    standard
        .iter()
        .map(|hop| {
            hop.split(';').find_map(|pair| {
                let (name, value) = pair.split_once('=')?;
                let named = name.trim().eq_ignore_ascii_case("for");
                named.then(|| address(value.trim().trim_matches('"')))?
            })
        })
        .collect()
}

/// An address with or without port, IPv6 with or without brackets.
fn address(text: &str) -> Option<IpAddr> {
    let bare = text
        .strip_prefix('[')
        .and_then(|rest| rest.split(']').next());
    text.parse()
        .ok()
        .or_else(|| text.parse::<SocketAddr>().ok().map(|socket| socket.ip()))
        .or_else(|| bare?.parse().ok())
        .map(|address: IpAddr| address.to_canonical())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hops_are_read_in_either_form() {
        let hops = |name: &'static str, value: &str| {
            let mut headers = HeaderMap::new();
            headers.insert(name, value.parse().expect("a header"));
            forwarded(&headers)
        };
        let ip = |text: &str| Some(text.parse::<IpAddr>().expect("an address"));
        assert_eq!(
            hops("x-forwarded-for", "192.0.2.1, 198.51.100.2:80"),
            [ip("192.0.2.1"), ip("198.51.100.2")]
        );
        assert_eq!(
            hops(
                "forwarded",
                "for=192.0.2.1;proto=https, For=\"[2001:db8::1]:443\", for=unknown"
            ),
            [ip("192.0.2.1"), ip("2001:db8::1"), None]
        );
    }
}
