//! What does not change while the coordinator runs, as metrics: what the topology declares, which
//! rules compare measurements with.

use sluice_types::topology::Topology;

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
