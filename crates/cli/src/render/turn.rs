//! Configuration of a region's coturn, without its secret.

use std::collections::BTreeSet;
use std::fmt::Write;

use sluice_types::topology::{Region, Turn};

use super::{HEAD, TLS_CERT, TLS_KEY};

/// TLS at the port of HTTPS, which networks let through that close all others, and at TURN's own.
const TLS_PORTS: [u16; 2] = [443, 5_349];

/// Where coturn's metrics are, if it was built with them.
pub(super) const METRICS_PORT: u16 = 9_641;

/// Allocations of one credential: a few at a time for each way that a browser tries (UDP, TCP, TLS).
const USER_QUOTA: u32 = 16;

/// Allocations for each participant that the region's edges take, if all came through TURN.
const ALLOCATIONS_EACH: u32 = 2;

/// What one allocation may carry in each direction, in bytes a second (20 Mbit/s).
const BYTES_PER_SECOND: u32 = 2_500_000;

/// Nobody is a peer there: private, shared, loopback, link-local, documentation, multicast and
/// reserved addresses (RFC 6890), by which a relay would otherwise lead into its own network. The
/// unspecified IPv6 address is not among them: coturn refuses it anyway, and takes a range that ends
/// with it for every address.
const DENIED: [&str; 27] = [
    "0.0.0.0-0.255.255.255",
    "10.0.0.0-10.255.255.255",
    "100.64.0.0-100.127.255.255",
    "127.0.0.0-127.255.255.255",
    "169.254.0.0-169.254.255.255",
    "172.16.0.0-172.31.255.255",
    "192.0.0.0-192.0.0.255",
    "192.0.2.0-192.0.2.255",
    "192.88.99.0-192.88.99.255",
    "192.168.0.0-192.168.255.255",
    "198.18.0.0-198.19.255.255",
    "198.51.100.0-198.51.100.255",
    "203.0.113.0-203.0.113.255",
    "224.0.0.0-239.255.255.255",
    "240.0.0.0-255.255.255.255",
    "::1",
    "::ffff:0.0.0.0-::ffff:255.255.255.255",
    "64:ff9b::-64:ff9b::ffff:ffff",
    "64:ff9b:1::-64:ff9b:1:ffff:ffff:ffff:ffff:ffff",
    "100::-100::ffff:ffff:ffff:ffff",
    "2001::-2001:1ff:ffff:ffff:ffff:ffff:ffff:ffff",
    "2001:db8::-2001:db8:ffff:ffff:ffff:ffff:ffff:ffff",
    "2002::-2002:ffff:ffff:ffff:ffff:ffff:ffff:ffff",
    "fc00::-fdff:ffff:ffff:ffff:ffff:ffff:ffff:ffff",
    "fe80::-febf:ffff:ffff:ffff:ffff:ffff:ffff:ffff",
    "fec0::-feff:ffff:ffff:ffff:ffff:ffff:ffff:ffff",
    "ff00::-ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff",
];

/// The region's `turnserver.conf`, if it has a TURN service. The machine puts its secret, and its
/// address unless the topology names it, where the placeholders `@…@` are.
pub(super) fn render(region: &Region) -> Option<String> {
    let turn = region.turn()?;
    let (min, max) = turn.relay_ports().clone().into_inner();
    let relay_ports = u32::from(max - min) + 1;
    let capacity: u32 = region.edges().iter().map(|edge| edge.capacity()).sum();
    let total_quota = capacity.saturating_mul(ALLOCATIONS_EACH).min(relay_ports);
    let address = turn
        .address()
        .map_or_else(|| "@EXTERNAL_IP@".to_owned(), |address| address.to_string());
    let mut text = format!(
        "{HEAD}realm={host}
listening-port={port}
tls-listening-port={tls_port}
",
        host = turn.host(),
        port = turn.port(),
        tls_port = turn.tls_port(),
    );
    for port in auxiliary_ports(turn) {
        // Each listener tells TLS and DTLS from plain TURN by itself.
        push(&mut text, format_args!("aux-server=0.0.0.0:{port}"));
    }
    push(
        &mut text,
        format_args!(
            "external-ip={address}
min-port={min}
max-port={max}

use-auth-secret
static-auth-secret=@TURN_SECRET@
stale-nonce=600
fingerprint

cert={TLS_CERT}
pkey={TLS_KEY}
no-tlsv1
no-tlsv1_1

user-quota={USER_QUOTA}
total-quota={total_quota}
max-bps={BYTES_PER_SECOND}

prometheus
prometheus-port={METRICS_PORT}
log-file=stdout
simple-log
pidfile=/run/sluice-turn/turnserver.pid
userdb=/run/sluice-turn/turndb

no-cli
no-tcp-relay
no-rfc5780
no-stun-backward-compatibility
response-origin-only-with-rfc5780
no-software-attribute
no-multicast-peers"
        ),
    );
    for range in DENIED {
        push(&mut text, format_args!("denied-peer-ip={range}"));
    }
    Some(text)
}

/// The TLS ports that need a listener besides the two that the topology names.
pub(super) fn auxiliary_ports(turn: &Turn) -> BTreeSet<u16> {
    let named = [turn.port(), turn.tls_port()];
    let mut ports = BTreeSet::from(TLS_PORTS);
    ports.retain(|port| !named.contains(port));
    ports
}

fn push(text: &mut String, line: std::fmt::Arguments<'_>) {
    // A `String` takes whatever it is given.
    let _ = writeln!(text, "{line}");
}
