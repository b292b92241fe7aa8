//! The metrics of one connection.

use sluice_relay::connection::{Connection, ConnectionCounters};
use sluice_relay::hop::{HopCounters, Measured};
use sluice_relay::share::ShareCounters;
use sluice_types::ids::EdgeId;

pub(super) struct Metrics {
    sent: metrics::Counter,
    pub(super) received: metrics::Counter,
    split: metrics::Counter,
    pub(super) joined: metrics::Counter,
    pub(super) sent_bytes: metrics::Counter,
    pub(super) received_bytes: metrics::Counter,
    pub(super) unrouted: metrics::Counter,
    too_long: metrics::Counter,
    pub(super) no_room: metrics::Counter,
    pub(super) duplicates: metrics::Counter,
    pub(super) queue_full: metrics::Counter,
    shed: metrics::Counter,
    lost: metrics::Counter,
    nacks: metrics::Counter,
    repairs: metrics::Counter,
    parities: metrics::Counter,
    refused: metrics::Counter,
    repaired: metrics::Counter,
    restored: metrics::Counter,
    late: metrics::Counter,
    overhead_bytes: metrics::Counter,
    pub(super) silences: metrics::Counter,
    away: metrics::Gauge,
    jitter: metrics::Gauge,
    used: metrics::Gauge,
    /// What was shown already.
    shown: (ConnectionCounters, HopCounters, ShareCounters),
}

impl Metrics {
    pub(super) fn new(peer: &EdgeId) -> Self {
        let peer = peer.to_string();
        let counter = |name: &'static str| metrics::counter!(name, "peer" => peer.clone());
        let gauge = |name: &'static str| metrics::gauge!(name, "peer" => peer.clone());
        let dropped = |reason: &'static str| {
            metrics::counter!(
                "sluice_backbone_dropped_packets_total", "peer" => peer.clone(), "reason" => reason
            )
        };
        let repaired = |by: &'static str| {
            metrics::counter!(
                "sluice_backbone_repaired_packets_total", "peer" => peer.clone(), "by" => by
            )
        };
        Self {
            sent: counter("sluice_backbone_sent_packets_total"),
            received: counter("sluice_backbone_received_packets_total"),
            split: counter("sluice_backbone_split_packets_total"),
            joined: counter("sluice_backbone_joined_packets_total"),
            sent_bytes: counter("sluice_backbone_sent_bytes_total"),
            received_bytes: counter("sluice_backbone_received_bytes_total"),
            unrouted: dropped("unrouted"),
            too_long: dropped("too_long"),
            no_room: dropped("congestion"),
            duplicates: dropped("duplicate"),
            queue_full: dropped("queue_full"),
            shed: dropped("shed"),
            lost: dropped("lost"),
            nacks: counter("sluice_backbone_nacks_total"),
            repairs: counter("sluice_backbone_repairs_total"),
            parities: counter("sluice_backbone_parities_total"),
            refused: counter("sluice_backbone_refused_repairs_total"),
            repaired: repaired("request"),
            restored: repaired("parity"),
            late: counter("sluice_backbone_late_packets_total"),
            overhead_bytes: counter("sluice_backbone_overhead_bytes_total"),
            silences: counter("sluice_backbone_silences_total"),
            away: gauge("sluice_backbone_shed_encodings"),
            jitter: gauge("sluice_backbone_jitter_seconds"),
            used: gauge("sluice_backbone_capacity_used_ratio"),
            shown: Default::default(),
        }
    }

    /// Shows what a connection counted and measured. `window` is what QUIC's window lets through, in
    /// bits per second.
    pub(super) fn show(&mut self, core: &Connection, measured: Option<Measured>, window: f64) {
        let (counters, hop, shares) = core.counters();
        let (counters0, hop0, shares0) = std::mem::replace(&mut self.shown, core.counters());
        self.sent.increment(counters.sent - counters0.sent);
        self.split.increment(counters.split - counters0.split);
        self.too_long
            .increment(counters.too_long - counters0.too_long);
        let dropped = |shares: ShareCounters| shares.dropped.iter().sum::<u64>();
        self.shed.increment(dropped(shares) - dropped(shares0));
        self.lost.increment(hop.lost - hop0.lost);
        self.nacks.increment(hop.nacks_sent - hop0.nacks_sent);
        self.repairs.increment(hop.repairs_sent - hop0.repairs_sent);
        self.parities
            .increment(hop.parities_sent - hop0.parities_sent);
        let refused = |hop: HopCounters| hop.too_old + hop.over_budget;
        self.refused.increment(refused(hop) - refused(hop0));
        self.repaired.increment(hop.repaired - hop0.repaired);
        self.restored.increment(hop.restored - hop0.restored);
        self.late.increment(hop.late - hop0.late);
        self.overhead_bytes
            .increment(hop.overhead_bytes() - hop0.overhead_bytes());
        self.away.set(core.away() as f64);
        if let Some(measured) = measured {
            self.jitter.set(measured.jitter.as_secs_f64());
            let most = core
                .limit()
                .map_or(window, |limit| window.min(limit.as_bps() as f64));
            self.used
                .set(measured.delivered.as_bps() as f64 / most.max(1.0));
        }
    }
}
