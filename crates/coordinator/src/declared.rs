//! What does not change while the coordinator runs, as metrics: what the topology declares, which
//! rules compare measurements with, and when certificates end.

use sluice_meshnet::expiry::first_end_s;
use sluice_meshnet::pki::CredentialFiles;
use sluice_types::topology::Topology;

use crate::config::CoordinatorConfig;

/// Exports the number of edges, and the round trip of each pair of edges that a link joins.
pub(crate) fn export_topology(topology: &Topology) {
    for result in ["admitted", "waiting", "refused", "failed"] {
        metrics::counter!("sluice_coordinator_joins_total", "result" => result).absolute(0);
    }
    for result in ["delivered", "refused", "gave_up", "queue_full"] {
        metrics::counter!("sluice_coordinator_webhook_events_total", "result" => result)
            .absolute(0);
    }
    metrics::gauge!("sluice_coordinator_declared_edges").set(topology.edges().count() as f64);
    for (region, edge) in topology.edges() {
        // Rates see a step only in a series that was there before.
        metrics::counter!("sluice_coordinator_silent_edges_total", "edge" => edge.id().to_string())
            .absolute(0);
        for (other, link) in topology.neighbours(region.name()) {
            let peers = topology
                .region(other)
                .map_or(&[][..], |other| other.edges());
            for peer in peers {
                metrics::gauge!(
                    "sluice_coordinator_declared_round_trip_seconds",
                    "edge" => edge.id().to_string(),
                    "peer" => peer.id().to_string()
                )
                .set(link.round_trip().duration().as_secs_f64());
            }
        }
    }
}

/// Exports when the certificates end that the process was started with.
pub(crate) fn export_certificates(config: &CoordinatorConfig) {
    let mesh = CredentialFiles::in_dir(&config.mesh_dir);
    let public = config.tls.as_ref().map(|(cert, _)| ("public", cert));
    for (of, path) in [("mesh", &mesh.cert), ("mesh_ca", &mesh.ca)]
        .into_iter()
        .chain(public)
    {
        match first_end_s(path) {
            Ok(end) => metrics::gauge!(
                "sluice_coordinator_certificate_expiry_timestamp_seconds", "of" => of
            )
            .set(end as f64),
            // Those who use the file say what is wrong with it.
            Err(error) => tracing::warn!(%error, of, "when a certificate ends is not known"),
        }
    }
}
