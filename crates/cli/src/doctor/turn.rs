//! coturn: credentials as clients get them, over UDP and TLS, and whom it relays to.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::time::{SystemTime, UNIX_EPOCH};

use sluice_coordinator::tokens::turn_credential;
use sluice_types::ids::ParticipantId;

use super::Patient;
use super::names;
use super::report::Report;
use super::stun::{Allocation, Line, TurnError};

const TURN: &str = "turn";

/// How long the credential lasts that is tried.
const CREDENTIAL_S: u64 = 120;

/// Where a relay must not lead: a cloud's metadata, coturn's own machine, and private networks.
const WITHIN: [Ipv4Addr; 5] = [
    Ipv4Addr::new(169, 254, 169, 254),
    Ipv4Addr::LOCALHOST,
    Ipv4Addr::new(10, 0, 0, 1),
    Ipv4Addr::new(172, 16, 0, 1),
    Ipv4Addr::new(192, 168, 0, 1),
];

/// Where TURN is, as clients are told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Server {
    /// The host.
    pub(super) host: String,
    /// Its port for UDP.
    pub(super) port: u16,
    /// Its port for TLS, when it is known.
    pub(super) tls_port: Option<u16>,
}

/// Allocates at coturn with a credential as clients get them, and asks what it would relay.
pub(super) async fn check(report: &mut Report, patient: &Patient) {
    let Some(server) = &patient.turn else {
        return report.skip(TURN, "server", "none is configured: give --turn HOST:PORT");
    };
    let Some(secret) = &patient.turn_secret else {
        return report.skip(
            TURN,
            &server.host,
            "give --turn-secret-file or SLUICE_TURN_SECRET",
        );
    };
    let addresses = match names::lookup(&patient.resolver, &server.host).await {
        Ok(addresses) => addresses,
        Err(error) => return report.fail(TURN, &server.host, error, "make coturn's record"),
    };
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    let until = since.unwrap_or_default().as_secs() + CREDENTIAL_S;
    let participant = ParticipantId::from_random([0; 10]);
    let credential = turn_credential(secret, &participant, until);
    for address in addresses {
        let at = SocketAddr::new(address, server.port);
        let of = format!("{}:{}, UDP ({address})", server.host, server.port);
        if let Some(allocation) = allocate(report, &of, Line::udp(at).await, &credential).await {
            relaying(report, &of, patient, allocation).await;
        }
        let Some(port) = server.tls_port else {
            continue;
        };
        let of = format!("{}:{port}, TLS ({address})", server.host);
        let line = Line::tls(SocketAddr::new(address, port), &server.host).await;
        if let Some(allocation) = allocate(report, &of, line, &credential).await {
            allocation.end().await;
        }
    }
}

async fn allocate(
    report: &mut Report,
    of: &str,
    line: Result<Line, TurnError>,
    (username, password): &(String, String),
) -> Option<Allocation> {
    let allocated = match line {
        Ok(line) => line.allocate(username, password).await,
        Err(error) => Err(error),
    };
    let error = match allocated {
        Ok(given) => {
            let found = format!("relays from {}, sees us at {}", given.relayed, given.mapped);
            report.ok(TURN, of, found);
            return Some(given);
        }
        Err(error) => error,
    };
    let mend = match error {
        TurnError::Refused(_) => {
            "give coturn and the coordinator the same secret, compare clocks, see coturn's quotas"
        }
        TurnError::Open => {
            "configure `use-auth-secret` and `static-auth-secret`, as turnserver.conf is rendered"
        }
        TurnError::Tls(_) => {
            "give coturn a certificate of this name from an authority that browsers trust, with its \
             chain, in `cert` and `pkey`; restart it when they are new"
        }
        TurnError::Socket(_) | TurnError::Silent | TurnError::Malformed(_) => {
            "see that coturn runs, and that its firewall lets this port in"
        }
    };
    report.fail(TURN, of, error, mend);
    None
}

/// A relay has to lead to edges, and nowhere into networks that are not public.
async fn relaying(report: &mut Report, of: &str, patient: &Patient, mut allocation: Allocation) {
    let edges = patient.config.advertise.iter().copied();
    let relayed = allocation.relayed;
    let edges: Vec<_> = edges
        .filter(|edge| edge.is_ipv4() == relayed.is_ipv4())
        .collect();
    for edge in &edges {
        match allocation.permits(*edge).await {
            Ok(true) => report.ok(TURN, of, format!("relays to this edge, {edge}")),
            Ok(false) => report.fail(
                TURN,
                of,
                format!("refuses to relay to this edge, {edge}"),
                "coturn's log says which `denied-peer-ip` has it: render turnserver.conf anew, and \
                 give edges public addresses",
            ),
            Err(error) => report.fail(TURN, of, error, "see coturn's log"),
        }
    }
    if !edges.iter().all(is_public) {
        report.skip(
            TURN,
            of,
            "edges are in a private network, so it leads into one",
        );
        return allocation.end().await;
    }
    let mut open = Vec::new();
    for peer in WITHIN {
        if matches!(allocation.permits(peer.into()).await, Ok(true)) {
            open.push(peer.to_string());
        }
    }
    if open.is_empty() {
        report.ok(TURN, of, "relays into no private network");
    } else {
        report.fail(
            TURN,
            of,
            format!("relays to {}: a door into its network", open.join(", ")),
            "deny private addresses by `denied-peer-ip`, as turnserver.conf is rendered",
        );
    }
    allocation.end().await;
}

fn is_public(address: &IpAddr) -> bool {
    match address {
        IpAddr::V4(address) => {
            !(address.is_private() || address.is_loopback() || address.is_link_local())
        }
        IpAddr::V6(address) => !(address.is_loopback() || address.is_unique_local()),
    }
}
