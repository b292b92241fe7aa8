//! A mesh of two or more endpoints on loopback.

use std::future::Future;
use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use sluice_meshnet::{Identity, MeshCa, MeshEndpoint, TransportSettings};
use sluice_types::mesh::backbone::ALPN;

pub(crate) const LOOPBACK: SocketAddr =
    SocketAddr::new(std::net::IpAddr::V4(Ipv4Addr::LOCALHOST), 0);
const DAY: Duration = Duration::from_secs(24 * 3600);
const DEADLINE: Duration = Duration::from_secs(20);

pub(crate) fn edge(name: &str) -> Identity {
    Identity::Edge(name.parse().expect("an edge id"))
}

pub(crate) fn endpoint(ca: &MeshCa, identity: &Identity, mtu: u16) -> MeshEndpoint {
    let issued = ca.issue(identity, DAY).expect("issued");
    let credentials = issued.credentials().expect("credentials");
    let settings = TransportSettings::backbone(mtu);
    MeshEndpoint::bind(LOOPBACK, credentials, &settings, &[ALPN]).expect("bound")
}

pub(crate) fn address(endpoint: &MeshEndpoint) -> SocketAddr {
    endpoint.local_address().expect("an address")
}

pub(crate) async fn within<T>(what: impl Future<Output = T>) -> T {
    tokio::time::timeout(DEADLINE, what).await.expect("in time")
}
