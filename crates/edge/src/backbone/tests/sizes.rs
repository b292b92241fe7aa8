//! Packets of browsers' sizes over paths of several sizes, as the metrics count them.

use metrics_exporter_prometheus::{PrometheusBuilder, PrometheusHandle};

use super::*;

/// An IPv4 and a UDP header.
const HEADERS: usize = 28;

/// What browsers send at most, with all RTP header extensions.
const LONGEST: usize = 1_200;

const RELAY: RelayId = RelayId(3);

/// Two edges with a path between them that carries so much UDP payload, and a relay over it.
struct Path {
    one: Edge,
    _two: Edge,
    path: ImpairmentRelay,
    outlet: Outlet,
    arrived: Arc<AtomicU64>,
    sent: u64,
    metrics: PrometheusHandle,
}

impl Path {
    async fn open(longest: usize, metrics: PrometheusHandle) -> Self {
        let ca = ca();
        let figures = LinkFigures {
            delay: Duration::from_millis(5),
            longest: Some(longest),
            ..LinkFigures::default()
        };
        let (mut one, mut two, path) = impaired(&ca).await;
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
    async fn send(&mut self, packets: u64, size: impl Fn(u64) -> usize) {
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
    fn count(&self, name: &str) -> u64 {
        let text = self.metrics.render();
        let sought = format!("sluice_backbone_{name}{{peer=\"b-1\"");
        let lines = text.lines().filter(|line| line.starts_with(&sought));
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

    /// Sends packets of a picture each, the longest ones but for the last of a frame; gives how many
    /// of them crossed split in two.
    async fn pictures(&mut self, packets: u64) -> u64 {
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
async fn measured<T>(test: impl AsyncFnOnce(PrometheusHandle) -> T) -> T {
    let recorder = PrometheusBuilder::new().build_recorder();
    // Everything of a test runs on its one thread.
    let _guard = metrics::set_default_local_recorder(&recorder);
    test(recorder.handle()).await
}

#[tokio::test]
async fn at_the_initial_mtu_every_packet_crosses_split_and_joined() {
    measured(async |metrics| {
        let mut path = Path::open(1_200, metrics).await;
        assert_eq!(path.pictures(500).await, 400, "the long ones");
        assert_eq!(path.count("dropped_packets_total"), 0);
        assert!(path.path.there().too_long > 0, "more was tried");
    })
    .await;
}

#[tokio::test]
async fn once_the_path_mtu_is_found_no_packet_is_split() {
    for mtu in [1_280, 1_400, 1_500] {
        measured(async |metrics| {
            let longest = mtu - HEADERS;
            let mut path = Path::open(longest, metrics).await;
            // QUIC looks for at most 1,452 bytes, which is what IPv6 leaves of 1,500.
            let least = longest.min(1_452) - 4;
            let found = async {
                loop {
                    path.pictures(20).await;
                    path.one.backbone.reports();
                    if path.count("mtu_bytes") >= least as u64 {
                        return;
                    }
                }
            };
            timeout(PATIENCE, found).await.expect("the MTU is found");
            assert_eq!(path.pictures(500).await, 0, "split at {mtu}");
            assert_eq!(path.count("dropped_packets_total"), 0);
        })
        .await;
    }
}
