//! Configuration of one edge.

use sluice_types::topology::{Edge, Region, Topology};

use super::certificates::{edge_names, settings};
use super::{CONTROL_PORT, HEAD, Public};

/// How long clients get to move before an edge ends, in milliseconds. Clients join elsewhere within
/// seconds; the rest is for those whose network is slow.
pub(super) const DRAIN_MS: u32 = 30_000;

/// The edge's TOML file. What only its machine knows, its public address, comes from
/// SLUICE_ADVERTISE unless the topology names it.
pub(super) fn render(topology: &Topology, region: &Region, edge: &Edge) -> String {
    let ports = edge.ports();
    let host = edge.host().in_url();
    let name = edge.id();
    let tls = settings(topology, region.certificates(), &edge_names(region, edge));
    let region = region.name();
    let coordinator = Public::of(topology).host;
    let initial_mtu = topology.policy().initial_mtu_bytes();
    let advertise = edge.address().map_or_else(
        || "# advertise: SLUICE_ADVERTISE, the machine's public address\n".to_owned(),
        |address| format!("advertise = [\"{address}\"]\n"),
    );
    format!(
        r#"{HEAD}edge = "{name}"
region = "{region}"
coordinator = "{coordinator}:{CONTROL_PORT}"
mesh_dir = "/etc/sluice/mesh"

http_listen = "0.0.0.0:{signal}"
{tls}sfu_endpoint = "https://{host}{signal_suffix}"

media_listen = "0.0.0.0"
media_port = {media}
workers = {workers}
ice_tcp_port = {ice_tcp}
{advertise}
backbone_listen = "0.0.0.0:{backbone}"
backbone_endpoint = "{host}:{backbone}"
initial_mtu = {initial_mtu}

capacity = {capacity}
drain_ms = {DRAIN_MS}
"#,
        signal = ports.signal(),
        signal_suffix = port_suffix(ports.signal()),
        media = ports.media(),
        workers = edge.workers(),
        ice_tcp = ports.ice_tcp(),
        backbone = ports.backbone(),
        capacity = edge.capacity(),
    )
}

/// `:PORT`, or nothing when `https://` means it anyway.
pub(super) fn port_suffix(port: u16) -> String {
    if port == 443 {
        String::new()
    } else {
        format!(":{port}")
    }
}
