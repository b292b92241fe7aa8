//! Two edges with an impaired path between them, and what the sending one's metrics count.

use metrics_exporter_prometheus::{PrometheusBuilder, PrometheusHandle};

use super::*;

/// What browsers send at most, with all RTP header extensions.
const LONGEST: usize = 1_200;

const RELAY: RelayId = RelayId(3);

/// See the module. One relay's packets cross it.
pub(super) struct Path {
    pub(super) one: Edge,
    _two: Edge,
    pub(super) path: ImpairmentRelay,
    outlet: Outlet,
    arrived: Arc<AtomicU64>,
    pub(super) sent: u64,
    metrics: PrometheusHandle,
}

impl Path {
    pub(super) async fn open(figures: LinkFigures, metrics: PrometheusHandle) -> Self {
        Self::open_at(LOOPBACK, figures, metrics).await
    }

    /// The same over the Internet Protocol of that address.
    pub(super) async fn open_at(
        loopback: IpAddr,
        figures: LinkFigures,
        metrics: PrometheusHandle,
    ) -> Self {
        let ca = ca();
        let (mut one, mut two, path) = impaired(loopback, &ca).await;
        path.set_figures(figures.clone(), figures);
        one.up().await;
        two.up().await;
        let arrived = Arc::<AtomicU64>::default();
        let route = Route {
            track: TrackKey::of(&sluice_types::ids::TrackId::from_random([1; 10])),
            inlet: crate::media::test_inlet(),
            packets: arrived.clone(),
        };
        two.backbone.route(&one.id, RELAY, route);
        let outlet = one.backbone.outlet(&two.id).expect("connected");
        let mut path = Self {
            one,
            _two: two,
            path,
            outlet,
            arrived,
            sent: 0,
            metrics,
        };
        // What comes before the route is taken is nobody's.
        path.send(1, |_| 100).await;
        while path.arrived.load(Ordering::Relaxed) == 0 {
            path.send(1, |_| 100).await;
        }
        path
    }

    /// Sends packets, and waits a little after each.
    pub(super) async fn send(&mut self, packets: u64, size: impl Fn(u64) -> usize) {
        for packet in 0..packets {
            let buffer = [7; LONGEST];
            self.outlet
                .media(RELAY, MediaKind::Video, &buffer[..size(packet)]);
            self.outlet.flush();
            self.sent += 1;
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    }

    /// A counter of the sending edge's.
    pub(super) fn count(&self, name: &str) -> u64 {
        self.sum(&format!("sluice_backbone_{name}{{peer=\"b-1\""))
    }

    /// Packets that did not fit where they were to go.
    pub(super) fn unfit(&self) -> u64 {
        let of = |reason| {
            self.sum(&format!(
                "sluice_backbone_dropped_packets_total{{peer=\"b-1\",reason=\"{reason}\""
            ))
        };
        of("congestion") + of("too_long") + of("queue_full")
    }

    /// Packets that parity brought back at the receiving edge.
    pub(super) fn restored(&self) -> u64 {
        self.sum("sluice_backbone_repaired_packets_total{peer=\"a-1\",by=\"parity\"")
    }

    fn sum(&self, sought: &str) -> u64 {
        let text = self.metrics.render();
        let lines = text.lines().filter(|line| line.starts_with(sought));
        let values = lines.filter_map(|line| line.rsplit(' ').next()?.parse::<f64>().ok());
        values.sum::<f64>() as u64
    }

    /// Until so many more have arrived, and are counted.
    async fn arrive(&self, before: u64, packets: u64, counted_before: u64) {
        let arrive = async {
            while self.arrived.load(Ordering::Relaxed) < before + packets
                || self.count("sent_packets_total") < counted_before + packets
            {
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        };
        let all = timeout(PATIENCE, arrive).await;
        let arrived = self.arrived.load(Ordering::Relaxed) - before;
        assert!(all.is_ok(), "{arrived} of {packets} arrived");
    }

    /// Sends packets until the path MTU is found to carry so many bytes of UDP payload.
    pub(super) async fn until_mtu(&mut self, least: usize) {
        let found = async {
            loop {
                self.pictures(20).await;
                // The gauge is set with each report.
                assert_eq!(self.one.backbone.reports().len(), 1);
                if self.count("mtu_bytes") >= least as u64 {
                    return;
                }
            }
        };
        timeout(2 * PATIENCE, found)
            .await
            .expect("the MTU is found");
    }

    /// Sends packets of a picture each, the longest ones but for the last of a frame; gives how many
    /// of them crossed split in two.
    pub(super) async fn pictures(&mut self, packets: u64) -> u64 {
        let arrived = self.arrived.load(Ordering::Relaxed);
        let [sent, split] =
            ["sent_packets_total", "split_packets_total"].map(|name| self.count(name));
        let size = |packet| if packet % 5 == 4 { 400 } else { LONGEST };
        self.send(packets, size).await;
        self.arrive(arrived, packets, sent).await;
        self.count("split_packets_total") - split
    }
}

/// Runs with metrics of its own.
pub(super) async fn measured<T>(test: impl AsyncFnOnce(PrometheusHandle) -> T) -> T {
    let recorder = PrometheusBuilder::new().build_recorder();
    // Everything of a test runs on its one thread.
    let _guard = metrics::set_default_local_recorder(&recorder);
    test(recorder.handle()).await
}
