//! Configuration of the coordinator, without its secrets.

use sluice_types::topology::Topology;

use super::certificates::settings;
use super::edge::port_suffix;
use super::{CONTROL_PORT, HEAD, Public};

/// The coordinator's TOML file. API keys and the TURN secret come from SLUICE_API_KEYS and
/// SLUICE_TURN_SECRET; a page name of its own from SLUICE_PAGE_URL.
pub(super) fn render(topology: &Topology) -> String {
    let public = Public::of(topology);
    let tls = if public.tls {
        let from = topology.coordinator().certificates();
        settings(topology, from, &[public.host.to_owned()])
    } else {
        String::new()
    };
    // The page is served by edges, not by the coordinator.
    let page = topology
        .region(topology.coordinator().fallback_region())
        .and_then(|region| {
            let edge = region.edges().first()?;
            let name = region.dns().first()?;
            Some(format!(
                "page_url = \"https://{name}{}\"\n",
                port_suffix(edge.ports().signal())
            ))
        })
        .unwrap_or_default();
    format!(
        "{HEAD}topology = \"/etc/sluice/topology\"
http_listen = \"0.0.0.0:{port}\"
{tls}{page}control_listen = \"0.0.0.0:{CONTROL_PORT}\"
mesh_dir = \"/etc/sluice/mesh\"
store = \"/var/lib/sluice/coordinator.redb\"
",
        port = public.port,
    )
}
