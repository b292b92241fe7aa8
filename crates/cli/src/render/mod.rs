//! `sluice topology render`: everything that deployment needs to know of a mesh, written from
//! topology.toml and regions/ alone.
//!
//! [`render`] is a pure function of the topology: the same mesh makes the same bytes on every
//! machine. Only [`disk`] touches files. Nothing that is written is a secret.

mod certificates;
mod coordinator;
mod disk;
mod dns;
mod edge;
mod prometheus;
#[cfg(test)]
mod tests;
mod tfvars;
mod turn;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use sluice_types::topology::Topology;

pub(crate) use disk::{check, write};

/// Where everything but Terraform's variables goes. The folder belongs to the renderer: what it
/// does not write there is stale.
const FOLDER: &str = "terraform/rendered";

/// Terraform's variables, where Terraform loads them by itself.
const VARIABLES: &str = "terraform/generated.auto.tfvars.json";

/// The UDP port at which edges reach the coordinator; `control_listen`'s default.
const CONTROL_PORT: u16 = 7_400;

/// Certificate chain and key of a machine's public names, PEM.
const TLS_CERT: &str = "/etc/sluice/tls/cert.pem";
const TLS_KEY: &str = "/etc/sluice/tls/key.pem";

/// What every file in a language with `#` begins with.
const HEAD: &str =
    "# Written by `sluice topology render`. Change topology.toml or regions/ instead.\n";

/// Texts by their paths under the folder that is rendered into.
pub(crate) type Files = BTreeMap<PathBuf, String>;

/// Everything that is rendered from a mesh.
#[must_use]
pub(crate) fn render(topology: &Topology) -> Files {
    let folder = Path::new(FOLDER);
    let mut files = Files::from([
        (VARIABLES.into(), tfvars::render(topology)),
        (
            folder.join("coordinator.toml"),
            coordinator::render(topology),
        ),
        (folder.join("dns/records.zone"), dns::render(topology)),
        (
            folder.join("prometheus/edges.json"),
            prometheus::edges(topology),
        ),
        (
            folder.join("prometheus/turn.json"),
            prometheus::turn(topology),
        ),
        (
            folder.join("prometheus/coordinator.json"),
            prometheus::coordinator(topology),
        ),
    ]);
    for region in topology.regions() {
        for edge in region.edges() {
            let text = edge::render(topology, region, edge);
            files.insert(edge_path(region.name().as_str(), edge.id().as_str()), text);
        }
        if let Some(text) = turn::render(region) {
            files.insert(turn_path(region.name().as_str()), text);
        }
    }
    files
}

fn edge_path(region: &str, edge: &str) -> PathBuf {
    Path::new(FOLDER).join(format!("regions/{region}/edges/{edge}.toml"))
}

fn turn_path(region: &str) -> PathBuf {
    Path::new(FOLDER).join(format!("regions/{region}/turnserver.conf"))
}

/// Where the coordinator is reached: whether by TLS, the host as URLs write it, and the port.
struct Public<'a> {
    tls: bool,
    host: &'a str,
    port: u16,
}

impl<'a> Public<'a> {
    fn of(topology: &'a Topology) -> Self {
        // The topology has checked the form: scheme, host, perhaps a port.
        let url = topology.coordinator().public_url();
        let (tls, rest) = match url.strip_prefix("https://") {
            Some(rest) => (true, rest),
            None => (false, url.strip_prefix("http://").unwrap_or(url)),
        };
        // The colons within an IPv6 address are followed by its bracket.
        let port = rest
            .rsplit_once(':')
            .and_then(|(host, port)| Some((host, port.parse().ok()?)));
        let (host, port) = port.unwrap_or((rest, if tls { 443 } else { 80 }));
        Self { tls, host, port }
    }
}
