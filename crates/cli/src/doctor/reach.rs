//! The ports of other edges, from here: what their firewalls let in.

use std::net::SocketAddr;
use std::time::Duration;

use hickory_resolver::TokioResolver;
use sluice_types::ids::EdgeId;
use sluice_types::topology::Topology;
use tokio::net::TcpStream;
use tokio::time::timeout;

use super::names;
use super::report::Report;
use super::stun::Line;

const REACH: &str = "reach";

/// How long a port that is open may take to say so.
const PATIENCE: Duration = Duration::from_secs(3);

/// Knocks at what clients use of these edges: signalling and ICE-TCP, and media by a binding request,
/// which an edge answers with an error for want of a name.
pub(super) async fn check(
    report: &mut Report,
    resolver: &TokioResolver,
    topology: Option<&Topology>,
    peers: &[(EdgeId, String)],
) {
    let Some(topology) = topology else {
        return report.skip(REACH, "other edges", "give --topology DIR");
    };
    for (peer, _) in peers {
        let Some((_, edge)) = topology.edge(peer) else {
            report.skip(REACH, peer.to_string(), "the topology has no such edge");
            continue;
        };
        // That a name leads nowhere is said of the peer's backbone already.
        let Ok(addresses) = names::lookup(resolver, &edge.host().to_string()).await else {
            continue;
        };
        let ports = edge.ports();
        for address in addresses {
            for (what, port) in [("signalling", ports.signal()), ("ICE-TCP", ports.ice_tcp())] {
                let at = SocketAddr::new(address, port);
                tcp(report, format!("{peer}, {what}, TCP {at}"), at).await;
            }
            for worker in 0..edge.workers() {
                let at = SocketAddr::new(address, ports.media().saturating_add(worker));
                udp(report, format!("{peer}, media, UDP {at}"), at).await;
            }
        }
    }
}

async fn tcp(report: &mut Report, of: String, at: SocketAddr) {
    match timeout(PATIENCE, TcpStream::connect(at)).await {
        Ok(Ok(_)) => report.ok(REACH, of, "is open"),
        Ok(Err(error)) => report.fail(
            REACH,
            of,
            error,
            "nobody listens there: see that the edge runs, with the ports of its topology",
        ),
        Err(_) => report.fail(
            REACH,
            of,
            format!("no answer within {PATIENCE:?}"),
            "its firewall has to let this port in from everywhere",
        ),
    }
}

async fn udp(report: &mut Report, of: String, at: SocketAddr) {
    let answered = match Line::udp(at).await {
        Ok(mut line) => line.is_answered().await,
        Err(error) => Err(error),
    };
    match answered {
        Ok(()) => report.ok(REACH, of, "is open"),
        Err(error) => report.fail(
            REACH,
            of,
            error,
            "its firewall has to let a UDP port for each worker in from everywhere",
        ),
    }
}
