//! The mesh: certificates, the coordinator's control listener, and the ways to other edges.

use std::net::SocketAddr;
use std::path::Path;
use std::time::{Duration, Instant, SystemTime};

use hickory_resolver::TokioResolver;
use sluice_edge::config::EdgeConfig;
use sluice_meshnet::connection::CloseCode;
use sluice_meshnet::expiry::validities_of;
use sluice_meshnet::pki::CredentialFiles;
use sluice_meshnet::{Credentials, Identity, MeshConnection, MeshEndpoint, TransportSettings};
use sluice_types::ids::EdgeId;
use sluice_types::mesh::version::up_to;
use sluice_types::mesh::{backbone, control};

use super::names;
use super::report::Report;

const CERTIFICATES: &str = "certificate";
const COORDINATOR: &str = "coordinator";
const PEERS: &str = "peer";
const MTU: &str = "mtu";

const DAY: Duration = Duration::from_secs(86_400);
/// From when on the end of a certificate is worth a word.
const ENDS_SOON: Duration = Duration::from_secs(14 * 86_400);
/// In TLS 1.3 a dialler hears only after its handshake that its certificate was refused.
const REFUSAL: Duration = Duration::from_millis(400);
/// How long the path's MTU is searched for.
const MTU_SEARCH: Duration = Duration::from_secs(3);
/// What QUIC finds on an ordinary path of 1500 bytes, less what a tunnel or two may take.
const MTU_USUAL: u16 = 1_380;

/// Looks at the files that the edge would be started with.
pub(super) fn certificates(report: &mut Report, config: &EdgeConfig, now: SystemTime) {
    let mesh = CredentialFiles::in_dir(&config.mesh_dir);
    match Credentials::from_files(&mesh) {
        Ok(credentials) if credentials.identity().edge() == Some(&config.edge) => {
            report.ok(
                CERTIFICATES,
                mesh.cert.display().to_string(),
                format!("is that of {}", config.edge),
            );
        }
        Ok(credentials) => report.fail(
            CERTIFICATES,
            mesh.cert.display().to_string(),
            format!("is that of {}", credentials.identity()),
            "put the edge's own into `mesh_dir`, or correct `edge`",
        ),
        Err(error) => report.fail(
            CERTIFICATES,
            config.mesh_dir.display().to_string(),
            error,
            "put ca.pem, cert.pem and key.pem of `sluice pki issue` there, readable by the service",
        ),
    }
    expiry(report, &mesh.cert, now, "sluice pki renew, put it in place");
    expiry(report, &mesh.ca, now, "a new authority: sluice pki rotate");
    match &config.tls {
        Some((cert, _)) if config.acme.is_some() => expiry(
            report,
            cert,
            now,
            "the edge orders it by itself, and its log says what fails: port 80 of all `acme_names` has to lead to it",
        ),
        Some((cert, _)) => expiry(report, cert, now, "renew it, put it in place"),
        None => report.skip(
            CERTIFICATES,
            "public name",
            "HTTP is plain: a proxy in front has the certificate",
        ),
    }
}

fn expiry(report: &mut Report, path: &Path, now: SystemTime, mend: &str) {
    let of = path.display().to_string();
    let all = match validities_of(path) {
        Ok(all) => all,
        Err(error) => return report.fail(CERTIFICATES, of, error, mend),
    };
    for validity in all {
        let of = format!("{of} ({})", validity.subject);
        if !validity.has_begun(now) {
            report.fail(
                CERTIFICATES,
                of,
                "is not valid yet",
                "set this machine's clock",
            );
            continue;
        }
        match validity.left(now) {
            None => report.fail(CERTIFICATES, of, "has ended", mend),
            Some(left) => {
                let days = format!("good for {} days", left.as_secs() / DAY.as_secs());
                if left < ENDS_SOON {
                    report.warn(CERTIFICATES, of, days, mend);
                } else {
                    report.ok(CERTIFICATES, of, days);
                }
            }
        }
    }
}

/// Dials every coordinator as the edge does, and registers nothing.
pub(super) async fn coordinators(
    report: &mut Report,
    config: &EdgeConfig,
    resolver: &TokioResolver,
) {
    for of in &config.coordinators {
        coordinator(report, config, resolver, of).await;
    }
}

async fn coordinator(report: &mut Report, config: &EdgeConfig, resolver: &TokioResolver, of: &str) {
    const MEND: &str = "see that the coordinator runs, that UDP to its control port is let through, \
                        and that both certificates are of one authority";
    let addresses = match names::endpoint(resolver, of).await {
        Ok(addresses) => addresses,
        Err(error) => {
            return report.fail(
                COORDINATOR,
                of.to_owned(),
                error,
                "correct `coordinator`, or its record",
            );
        }
    };
    for address in addresses {
        let of = format!("{of} ({address})");
        let dialled = dial(
            config,
            address,
            &Identity::Coordinator,
            up_to(config.protocol_max, control::ALPNS),
            &TransportSettings::control(),
        )
        .await;
        match dialled {
            Ok((endpoint, connection)) => {
                let round_trip = connection.quic().rtt();
                report.ok(
                    COORDINATOR,
                    of,
                    format!(
                        "lets this edge in, round trip {} ms",
                        round_trip.as_millis()
                    ),
                );
                connection.close(CloseCode::Done, "only looking");
                endpoint.close("only looking").await;
            }
            Err(error) => report.fail(COORDINATOR, of, error, MEND),
        }
    }
}

/// Dials other edges' backbones, and says what fits through.
pub(super) async fn peers(
    report: &mut Report,
    config: &EdgeConfig,
    resolver: &TokioResolver,
    peers: &[(EdgeId, String)],
) {
    if peers.is_empty() {
        report.skip(
            PEERS,
            "other edges",
            "give --topology DIR, or --peer EDGE=HOST:PORT",
        );
    }
    for (peer, at) in peers {
        let addresses = match names::endpoint(resolver, at).await {
            Ok(addresses) => addresses,
            Err(error) => {
                report.fail(
                    PEERS,
                    format!("{peer} at {at}"),
                    error,
                    "make the peer's record",
                );
                continue;
            }
        };
        for address in addresses {
            peer_at(report, config, peer, address).await;
        }
    }
}

async fn peer_at(report: &mut Report, config: &EdgeConfig, peer: &EdgeId, address: SocketAddr) {
    let of = format!("{peer} at {address}");
    let settings = TransportSettings::backbone(config.initial_mtu);
    let expected = Identity::Edge(peer.clone());
    let alpns = up_to(config.protocol_max, backbone::ALPNS);
    let (endpoint, connection) = match dial(config, address, &expected, alpns, &settings).await {
        Ok(dialled) => dialled,
        Err(error) => {
            return report.fail(
                PEERS,
                of,
                error,
                "see that it runs, that UDP to its backbone port is let through from here, and, \
                     when `initial_mtu` is above 1200, that the path carries it",
            );
        }
    };
    let mtu = search_mtu(&connection).await;
    let round_trip = connection.quic().rtt().as_millis();
    report.ok(PEERS, &of, format!("reached, round trip {round_trip} ms"));
    if mtu >= MTU_USUAL {
        report.ok(MTU, of, format!("{mtu} bytes of UDP payload"));
    } else {
        report.warn(
            MTU,
            of,
            format!("only {mtu} bytes of UDP payload go through"),
            "a tunnel is on the way: media is split more often; keep `initial_mtu_bytes` at or below that",
        );
    }
    connection.close(CloseCode::Done, "only looking");
    endpoint.close("only looking").await;
}

/// What QUIC's own search finds (RFC 8899), when it has not grown for a while.
async fn search_mtu(connection: &MeshConnection) -> u16 {
    let began = Instant::now();
    loop {
        let mtu = connection.quic().stats().path.current_mtu;
        if mtu >= MTU_USUAL || began.elapsed() >= MTU_SEARCH {
            return mtu;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

/// A connection with whom was dialled, who had the time to refuse us.
async fn dial(
    config: &EdgeConfig,
    address: SocketAddr,
    expected: &Identity,
    alpn: &[&[u8]],
    settings: &TransportSettings,
) -> Result<(MeshEndpoint, MeshConnection), String> {
    let files = CredentialFiles::in_dir(&config.mesh_dir);
    let credentials = Credentials::from_files(&files).map_err(|error| error.to_string())?;
    let from = SocketAddr::new(config.backbone_listen.ip(), 0);
    let endpoint =
        MeshEndpoint::bind(from, credentials, settings, &[]).map_err(|error| error.to_string())?;
    let connection = endpoint
        .connect(address, expected, alpn)
        .await
        .map_err(|error| error.to_string())?;
    let patience = REFUSAL.max(connection.quic().rtt() * 3);
    match tokio::time::timeout(patience, connection.quic().closed()).await {
        Ok(error) => Err(format!("it refuses this edge: {error}")),
        Err(_) => Ok((endpoint, connection)),
    }
}
