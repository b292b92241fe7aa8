//! Targets of Prometheus, as its `file_sd_configs` read them.

use std::collections::BTreeMap;

use serde::Serialize;
use sluice_types::topology::Topology;

use super::turn::METRICS_PORT;
use super::{Public, tfvars};

#[derive(Serialize)]
struct Target {
    targets: [String; 1],
    labels: BTreeMap<&'static str, String>,
}

pub(super) fn edges(topology: &Topology) -> String {
    let target = |(region, edge): (
        &sluice_types::topology::Region,
        &sluice_types::topology::Edge,
    )| Target {
        targets: [format!(
            "{}:{}",
            edge.host().in_url(),
            edge.ports().signal()
        )],
        labels: BTreeMap::from([
            ("__scheme__", "https".to_owned()),
            ("edge", edge.id().to_string()),
            ("mesh", topology.name().to_owned()),
            ("region", region.name().to_string()),
        ]),
    };
    tfvars::json(&topology.edges().map(target).collect::<Vec<_>>())
}

pub(super) fn turn(topology: &Topology) -> String {
    let targets: Vec<_> = topology
        .regions()
        .iter()
        .filter_map(|region| {
            let turn = region.turn()?;
            Some(Target {
                targets: [format!("{}:{METRICS_PORT}", turn.host().in_url())],
                labels: BTreeMap::from([
                    ("mesh", topology.name().to_owned()),
                    ("region", region.name().to_string()),
                ]),
            })
        })
        .collect();
    tfvars::json(&targets)
}

pub(super) fn coordinator(topology: &Topology) -> String {
    let public = Public::of(topology);
    let scheme = if public.tls { "https" } else { "http" };
    tfvars::json(&[Target {
        targets: [format!("{}:{}", public.host, public.port)],
        labels: BTreeMap::from([
            ("__scheme__", scheme.to_owned()),
            ("mesh", topology.name().to_owned()),
        ]),
    }])
}
