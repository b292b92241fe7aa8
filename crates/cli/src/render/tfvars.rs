//! Terraform's variables: the mesh as `terraform/variables.tf` declares it.

use std::collections::BTreeMap;
use std::net::Ipv4Addr;

use serde::Serialize;
use sluice_types::topology::{Certificates, Cloud, Edge, Region, Topology, Turn};

use super::certificates::edge_names;
use super::edge::DRAIN_MS;
use super::turn::{METRICS_PORT, auxiliary_ports};
use super::{CONTROL_PORT, FOLDER, Public, edge_path, turn_path};

#[derive(Serialize)]
struct Variables<'a> {
    mesh: MeshVariables<'a>,
    regions: BTreeMap<&'a str, RegionVariables<'a>>,
}

#[derive(Serialize)]
struct MeshVariables<'a> {
    name: &'a str,
    public_host: &'a str,
    public_port: u16,
    control_port: u16,
    drain_s: u32,
    fallback_region: &'a str,
    coordinator_acme: bool,
}

#[derive(Serialize)]
struct RegionVariables<'a> {
    display_name: &'a str,
    dns: Vec<&'a str>,
    cloud: Option<CloudVariables<'a>>,
    edges: BTreeMap<&'a str, EdgeVariables>,
    turn: Option<TurnVariables>,
}

#[derive(Serialize)]
struct CloudVariables<'a> {
    provider: &'static str,
    region: &'a str,
    zones: &'a [String],
    edge_type: &'a str,
    turn_type: &'a str,
}

#[derive(Serialize)]
struct EdgeVariables {
    host: String,
    address: Option<Ipv4Addr>,
    workers: u16,
    capacity: u32,
    /// What it gets a certificate for by ACME; none when that comes from files.
    acme_names: Vec<String>,
    ports: PortVariables,
    config: String,
}

#[derive(Serialize)]
struct PortVariables {
    signal: u16,
    media: u16,
    ice_tcp: u16,
    backbone: u16,
}

#[derive(Serialize)]
struct TurnVariables {
    host: String,
    address: Option<Ipv4Addr>,
    port: u16,
    tls_ports: Vec<u16>,
    relay_port_min: u16,
    relay_port_max: u16,
    metrics_port: u16,
    config: String,
}

pub(super) fn render(topology: &Topology) -> String {
    let public = Public::of(topology);
    let region = |region| (Region::name(region).as_str(), region_variables(region));
    json(&Variables {
        mesh: MeshVariables {
            name: topology.name(),
            public_host: public.host,
            public_port: public.port,
            control_port: CONTROL_PORT,
            drain_s: DRAIN_MS.div_ceil(1_000),
            fallback_region: topology.coordinator().fallback_region().as_str(),
            coordinator_acme: topology.coordinator().certificates() == Certificates::Acme,
        },
        regions: topology.regions().iter().map(region).collect(),
    })
}

fn region_variables(region: &Region) -> RegionVariables<'_> {
    let edge = |edge| (Edge::id(edge).as_str(), edge_variables(region, edge));
    RegionVariables {
        display_name: region.display_name(),
        dns: region.dns().iter().map(|name| name.as_str()).collect(),
        cloud: region.cloud().map(cloud_variables),
        edges: region.edges().iter().map(edge).collect(),
        turn: region.turn().map(|turn| turn_variables(region, turn)),
    }
}

fn cloud_variables(cloud: &Cloud) -> CloudVariables<'_> {
    CloudVariables {
        provider: cloud.provider().as_str(),
        region: cloud.region(),
        zones: cloud.zones(),
        edge_type: cloud.edge_type(),
        turn_type: cloud.turn_type(),
    }
}

fn edge_variables(region: &Region, edge: &Edge) -> EdgeVariables {
    let ports = edge.ports();
    EdgeVariables {
        host: edge.host().to_string(),
        address: edge.address(),
        workers: edge.workers(),
        capacity: edge.capacity(),
        acme_names: match region.certificates() {
            Certificates::Acme => edge_names(region, edge),
            Certificates::Files => Vec::new(),
        },
        ports: PortVariables {
            signal: ports.signal(),
            media: ports.media(),
            ice_tcp: ports.ice_tcp(),
            backbone: ports.backbone(),
        },
        config: within_folder(&edge_path(region.name().as_str(), edge.id().as_str())),
    }
}

fn turn_variables(region: &Region, turn: &Turn) -> TurnVariables {
    let mut tls_ports = auxiliary_ports(turn);
    tls_ports.insert(turn.tls_port());
    TurnVariables {
        host: turn.host().to_string(),
        address: turn.address(),
        port: turn.port(),
        tls_ports: tls_ports.into_iter().collect(),
        relay_port_min: *turn.relay_ports().start(),
        relay_port_max: *turn.relay_ports().end(),
        metrics_port: METRICS_PORT,
        config: within_folder(&turn_path(region.name().as_str())),
    }
}

/// The path as Terraform finds it from the folder of all rendered files.
fn within_folder(path: &std::path::Path) -> String {
    let path = path.strip_prefix(FOLDER).unwrap_or(path);
    path.display().to_string()
}

/// Indented, with an end of line at the end.
pub(super) fn json<T: Serialize>(value: &T) -> String {
    // Only maps with keys that are no strings, and types of others' making, fail.
    let text = serde_json::to_string_pretty(value);
    text.expect("structs of strings and numbers are JSON") + "\n"
}
