//! What a worker counted, for metrics, heartbeats and people who watch.

use std::collections::HashSet;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use sluice_sfu::forward::Drop;
use sluice_types::ids::TrackId;

use super::Worker;

/// The latest figures of one worker.
#[derive(Debug, Clone, Default)]
pub(crate) struct WorkerReport {
    /// Participants.
    pub(crate) peers: usize,
    /// Share of one core that it used lately, in thousandths.
    pub(crate) load_permille: u32,
    /// Packets of each track so far.
    pub(crate) tracks: Vec<(TrackId, u64)>,
}

/// The one place that a worker and the hub both touch; twice a second, never for a packet.
#[derive(Default)]
pub(super) struct Shared(Mutex<WorkerReport>);

impl Shared {
    pub(super) fn read(&self) -> WorkerReport {
        self.0
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    pub(super) fn load_permille(&self) -> u32 {
        self.0
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .load_permille
    }

    fn write(&self, report: WorkerReport) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = report;
    }
}

const KINDS: [&str; 2] = ["audio", "video"];

impl Worker {
    pub(super) fn make_report(&mut self, since: Duration) {
        let busy = std::mem::take(&mut self.busy);
        let load = busy.as_micros() * 1_000 / since.as_micros().max(1);
        self.shared.write(WorkerReport {
            peers: self.table.peer_count(),
            load_permille: load.min(1_000) as u32,
            tracks: self
                .table
                .tracks
                .values()
                .filter(|track| track.across.is_none())
                .filter_map(|track| {
                    let (packets, _) = self.forwarder.source_packets(track.source)?;
                    Some((track.id.clone(), packets))
                })
                .collect(),
        });
        let used: HashSet<_> = self.forwarder.rooms().collect();
        self.table.rooms.retain(|room, _| used.contains(room));
        self.export(load as f64 / 1_000.0);
    }

    fn export(&self, load: f64) {
        let worker = self.index.to_string();
        let stats = self.forwarder.stats();
        let count = |name: &'static str, value: u64| {
            metrics::counter!(name, "worker" => worker.clone()).absolute(value);
        };
        for (place, kind) in KINDS.into_iter().enumerate() {
            let count = |name: &'static str, value: u64| {
                metrics::counter!(name, "worker" => worker.clone(), "kind" => kind).absolute(value);
            };
            count(
                "sluice_edge_received_packets_total",
                stats.received_packets[place],
            );
            count(
                "sluice_edge_received_bytes_total",
                stats.received_bytes[place],
            );
            count(
                "sluice_edge_forwarded_packets_total",
                stats.forwarded_packets[place],
            );
            count(
                "sluice_edge_forwarded_bytes_total",
                stats.forwarded_bytes[place],
            );
            count(
                "sluice_edge_relayed_in_packets_total",
                stats.relayed_in_packets[place],
            );
            count(
                "sluice_edge_relayed_out_packets_total",
                stats.relayed_out_packets[place],
            );
        }
        for reason in Drop::ALL {
            metrics::counter!(
                "sluice_edge_dropped_packets_total",
                "worker" => worker.clone(),
                "reason" => reason.as_str()
            )
            .absolute(stats.dropped[reason as usize]);
        }
        let send_dropped = metrics::counter!(
            "sluice_edge_dropped_packets_total", "worker" => worker.clone(), "reason" => "send"
        );
        send_dropped.absolute(self.sender.dropped);
        let inlet_dropped = metrics::counter!(
            "sluice_edge_dropped_packets_total", "worker" => worker.clone(), "reason" => "relay_inlet_full"
        );
        inlet_dropped.absolute(self.inlet.dropped());
        count(
            "sluice_edge_replayed_key_frames_total",
            stats.replayed_key_frames,
        );
        count("sluice_edge_probe_packets_total", stats.probe_packets);
        count("sluice_edge_ignored_checks_total", self.strangers.ignored);
        count("sluice_edge_sent_datagrams_total", self.sender.sent);
        count("sluice_edge_send_calls_total", self.sender.calls);
        count("sluice_edge_nacks_received_total", stats.nacks_received);
        count("sluice_edge_nacks_sent_total", stats.nacks_sent);
        count(
            "sluice_edge_retransmitted_packets_total",
            stats.retransmitted_packets,
        );
        count(
            "sluice_edge_recovered_packets_total",
            stats.recovered_packets,
        );
        count(
            "sluice_edge_key_frame_requests_received_total",
            stats.key_frame_requests_received,
        );
        count(
            "sluice_edge_key_frame_requests_sent_total",
            stats.key_frame_requests_sent,
        );
        metrics::gauge!("sluice_edge_worker_load_ratio", "worker" => worker.clone()).set(load);
        metrics::gauge!("sluice_edge_worker_tracks", "worker" => worker.clone())
            .set(self.table.tracks.len() as f64);
        metrics::gauge!("sluice_edge_worker_participants", "worker" => worker)
            .set(self.table.peer_count() as f64);
    }
}
