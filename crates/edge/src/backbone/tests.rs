//! Real QUIC on loopback between supervisors.

mod moved;
mod overhead;
mod path;
mod sizes;

use std::collections::BTreeSet;
use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::time::Duration;

use sluice_meshnet::impair::{ImpairmentRelay, LinkFigures, LossModel, RelaySettings};
use sluice_meshnet::{Identity, MeshCa, MeshEndpoint, TransportSettings};
use sluice_types::mesh::backbone::ALPNS;
use sluice_types::mesh::version::NEWEST;
use sluice_types::room::MediaKind;
use tokio::time::timeout;

use super::*;
use crate::media::RelayOutlet;

const PATIENCE: Duration = Duration::from_secs(10);

const LOOPBACK: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);

struct Edge {
    id: EdgeId,
    address: std::net::SocketAddr,
    backbone: Backbone,
    events: mpsc::Receiver<BackboneEvent>,
    shutdown: CancellationToken,
}

fn id(name: &str) -> EdgeId {
    name.parse().expect("an edge id")
}

fn edge(ca: &MeshCa, name: &str) -> Edge {
    edge_at(LOOPBACK, ca, name, ALPNS)
}

fn edge_at(loopback: IpAddr, ca: &MeshCa, name: &str, alpns: &[&[u8]]) -> Edge {
    let issued = ca
        .issue(&Identity::Edge(id(name)), Duration::from_secs(3_600))
        .expect("a certificate");
    let endpoint = MeshEndpoint::bind(
        (loopback, 0).into(),
        issued.credentials().expect("good credentials"),
        &TransportSettings::backbone(1_200),
        alpns,
    )
    .expect("an endpoint");
    let address = endpoint.local_address().expect("bound");
    let shutdown = CancellationToken::new();
    let settings = BackboneSettings {
        edge: id(name),
        region: "paris".parse().expect("a region"),
        silence: Duration::from_millis(400),
        protocol_max: NEWEST,
    };
    let (backbone, events) = Backbone::start(endpoint, settings, shutdown.clone());
    Edge {
        id: id(name),
        address,
        backbone,
        events,
        shutdown,
    }
}

fn address(edge: &Edge) -> EdgeAddress {
    EdgeAddress {
        edge: edge.id.clone(),
        region: "paris".parse().expect("a region"),
        backbone: vec![edge.address],
        signal_endpoint: String::new(),
    }
}

impl Edge {
    /// The next event, taken as the hub takes it.
    async fn next(&mut self) -> BackboneEvent {
        let event = self.events.recv().await.expect("the backbone runs");
        match &event {
            BackboneEvent::PeerUp { peer, link } | BackboneEvent::PeerReplaced { peer, link } => {
                self.backbone.adopt(peer.clone(), link.clone());
            }
            BackboneEvent::PeerDown { peer } => self.backbone.forget(peer),
            BackboneEvent::Message { .. }
            | BackboneEvent::FirstPacket { .. }
            | BackboneEvent::PeerSilent { .. }
            | BackboneEvent::PeerHeard { .. } => {}
        }
        event
    }

    async fn event(&mut self, wanted: impl Fn(&BackboneEvent) -> bool) -> BackboneEvent {
        let search = async {
            loop {
                let event = self.next().await;
                if wanted(&event) {
                    return event;
                }
            }
        };
        timeout(PATIENCE, search).await.expect("the event comes")
    }

    async fn up(&mut self) {
        self.event(|event| matches!(event, BackboneEvent::PeerUp { .. }))
            .await;
    }
}

fn ca() -> MeshCa {
    MeshCa::generate("test").expect("a CA")
}

/// One edge of two that dial each other: at each link it says how many it has had.
struct Greeter {
    edge: Edge,
    links: u32,
    heard: u32,
}

impl Greeter {
    fn new(edge: Edge) -> Self {
        Self {
            edge,
            links: 0,
            heard: 0,
        }
    }

    async fn step(&mut self) {
        match self.edge.next().await {
            BackboneEvent::PeerUp { peer, .. } | BackboneEvent::PeerReplaced { peer, .. } => {
                self.links += 1;
                let message = BackboneMessage::KeyFrame {
                    relay: RelayId(self.links),
                    encoding: 0,
                };
                self.edge.backbone.send(&peer, message);
                // What was heard on the link before counts no more.
                self.heard = 0;
            }
            BackboneEvent::Message {
                message: BackboneMessage::KeyFrame { relay, .. },
                ..
            } => {
                assert!(self.links > 0, "a message before its link");
                self.heard = relay.0;
            }
            // The other side settled first, and closed this one before the next was there.
            BackboneEvent::PeerDown { .. } => self.heard = 0,
            event => panic!("nothing else happens: {event:?}"),
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn edges_that_dial_each_other_settle_on_one_link_and_miss_nothing_said_on_it() {
    let ca = ca();
    for round in 0..20 {
        let (one, two) = (edge(&ca, "one-1"), edge(&ca, "two-1"));
        for (near, far) in [(&one, &two), (&two, &one)] {
            near.backbone.update_directory(vec![address(far)]);
            near.backbone.connect(far.id.clone());
        }
        let (mut one, mut two) = (Greeter::new(one), Greeter::new(two));
        let settled = async {
            while one.links == 0 || one.heard != two.links || two.heard != one.links {
                tokio::select! {
                    () = one.step() => {}
                    () = two.step() => {}
                }
            }
        };
        let settled = timeout(PATIENCE, settled).await;
        assert!(
            settled.is_ok(),
            "round {round}: one had {} links and heard {}, two had {} and heard {}",
            one.links,
            one.heard,
            two.links,
            two.heard
        );
        assert_eq!(one.edge.backbone.reports().len(), 1);
    }
}

#[tokio::test]
async fn an_edge_of_another_mesh_is_refused() {
    let (ours, theirs) = (ca(), ca());
    let (mut one, mut stranger) = (edge(&ours, "one-1"), edge(&theirs, "two-1"));
    stranger.backbone.update_directory(vec![address(&one)]);
    stranger.backbone.connect(one.id.clone());
    let mut friend = edge(&ours, "friend-1");
    friend.backbone.update_directory(vec![address(&one)]);
    friend.backbone.connect(one.id.clone());
    friend.up().await;
    one.up().await;
    // The friend got in while the stranger kept trying.
    assert!(stranger.events.try_recv().is_err());
    assert!(stranger.backbone.reports().is_empty());
    let known: BTreeSet<_> = one
        .backbone
        .reports()
        .into_iter()
        .map(|link| link.peer)
        .collect();
    assert_eq!(known, BTreeSet::from([friend.id.clone()]));
}

#[tokio::test]
async fn an_edge_that_goes_away_says_so_and_is_dialled_again() {
    let ca = ca();
    let (mut one, two) = (edge(&ca, "one-1"), edge(&ca, "two-1"));
    one.backbone.update_directory(vec![address(&two)]);
    one.backbone.connect(two.id.clone());
    one.up().await;
    two.shutdown.cancel();
    one.event(|event| matches!(event, BackboneEvent::PeerDown { .. }))
        .await;
    let mut again = edge(&ca, "two-1");
    one.backbone.update_directory(vec![address(&again)]);
    one.up().await;
    again.up().await;
}

#[tokio::test]
async fn browser_sized_packets_cross_at_the_smallest_mtu() {
    let ca = ca();
    let (mut one, mut two) = (edge(&ca, "one-1"), edge(&ca, "two-1"));
    one.backbone.update_directory(vec![address(&two)]);
    one.backbone.connect(two.id.clone());
    one.up().await;
    two.up().await;
    let inlet = crate::media::test_inlet();
    let packets = Arc::<AtomicU64>::default();
    let route = Route {
        track: TrackKey::of(&sluice_types::ids::TrackId::from_random([1; 10])),
        inlet,
        packets: packets.clone(),
    };
    two.backbone.route(&one.id, RelayId(3), route);
    let mut outlet = one.backbone.outlet(&two.id).expect("connected");
    // Routes are taken before datagrams, but only once they are there.
    let arrived = async {
        let mut sent = 0;
        while packets.load(Ordering::Relaxed) < 50 {
            outlet.media(RelayId(3), MediaKind::Video, &[7; 1_215]);
            outlet.flush();
            sent += 1;
            tokio::task::yield_now().await;
            assert!(sent < 100_000, "packets do not arrive");
        }
    };
    timeout(PATIENCE, arrived).await.expect("packets arrive");
    two.event(|event| {
        matches!(
            event,
            BackboneEvent::FirstPacket {
                relay: RelayId(3),
                ..
            }
        )
    })
    .await;
}

#[tokio::test]
async fn what_a_link_loses_is_repaired() {
    const PACKETS: u64 = 3_000;
    let ca = ca();
    let (mut one, mut two) = (edge(&ca, "one-1"), edge(&ca, "two-1"));
    let link = LinkFigures {
        delay: Duration::from_millis(20),
        loss: LossModel::Random(0.05),
        ..LinkFigures::default()
    };
    let settings = RelaySettings {
        there: link.clone(),
        back: link,
        seed: 3,
        ..RelaySettings::default()
    };
    let relay = ImpairmentRelay::start(
        "127.0.0.1:0".parse().expect("an address"),
        two.address,
        settings,
    )
    .await
    .expect("a relay");
    let mut far = address(&two);
    far.backbone = vec![relay.local_address()];
    one.backbone.update_directory(vec![far]);
    one.backbone.connect(two.id.clone());
    one.up().await;
    two.up().await;
    let packets = Arc::<AtomicU64>::default();
    let route = Route {
        track: TrackKey::of(&sluice_types::ids::TrackId::from_random([1; 10])),
        inlet: crate::media::test_inlet(),
        packets: packets.clone(),
    };
    two.backbone.route(&one.id, RelayId(3), route);
    let mut outlet = one.backbone.outlet(&two.id).expect("connected");
    let mut send = |millis| {
        outlet.media(RelayId(3), MediaKind::Video, &[0; 1_000]);
        outlet.flush();
        tokio::time::sleep(Duration::from_millis(millis))
    };
    // Probes have to cross before anything is numbered.
    timeout(PATIENCE, async {
        while one.backbone.reports()[0].loss_ppm == 0 {
            send(5).await;
        }
    })
    .await
    .expect("loss is measured");
    let before = packets.load(Ordering::Relaxed);
    for _ in 0..PACKETS {
        send(1).await;
    }
    // Without repair, 150 would be missing. What was on its way before makes up for none of them.
    let arrived = async {
        while packets.load(Ordering::Relaxed) < before + PACKETS - 25 {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    timeout(PATIENCE, arrived).await.expect("packets arrive");
    assert!(relay.there().lost > 100);
}

#[tokio::test]
async fn an_edge_of_the_version_before_is_talked_to_and_never_called_silent() {
    let ca = ca();
    let mut old = edge_at(LOOPBACK, &ca, "a-1", &ALPNS[1..]);
    let mut new = edge(&ca, "b-1");
    new.backbone.update_directory(vec![address(&old)]);
    new.backbone.connect(old.id.clone());
    new.up().await;
    old.up().await;
    for relay in 0..5 {
        let message = BackboneMessage::KeyFrame {
            relay: RelayId(relay),
            encoding: 0,
        };
        // Probes of that version are further apart than what counts as silence since.
        tokio::time::sleep(Duration::from_millis(300)).await;
        new.backbone.send(&old.id, message.clone());
        let came = old
            .event(|event| matches!(event, BackboneEvent::Message { .. }))
            .await;
        assert!(matches!(came, BackboneEvent::Message { message: ref it, .. } if *it == message));
    }
    let more = new.events.try_recv();
    assert!(more.is_err(), "{more:?}");
}

/// Lets through what passes two edges, or nothing.
async fn impaired(loopback: IpAddr, ca: &MeshCa) -> (Edge, Edge, ImpairmentRelay) {
    let [one, other] = ["a-1", "b-1"].map(|name| edge_at(loopback, ca, name, ALPNS));
    let relay = ImpairmentRelay::start(
        (loopback, 0).into(),
        other.address,
        RelaySettings::default(),
    )
    .await
    .expect("a relay");
    let mut via = address(&other);
    via.backbone = vec![relay.local_address()];
    one.backbone.update_directory(vec![via]);
    one.backbone.connect(other.id.clone());
    (one, other, relay)
}

#[tokio::test]
async fn a_peer_behind_a_cut_link_is_silent_and_heard_when_it_is_mended() {
    let ca = ca();
    let (mut one, mut other, relay) = impaired(LOOPBACK, &ca).await;
    one.up().await;
    other.up().await;
    // Nobody is silent who was not heard.
    tokio::time::sleep(Duration::from_millis(300)).await;
    let cut = LinkFigures {
        loss: LossModel::Random(1.0),
        ..LinkFigures::default()
    };
    relay.set_figures(cut.clone(), cut);
    for edge in [&mut one, &mut other] {
        edge.event(|event| matches!(event, BackboneEvent::PeerSilent { .. }))
            .await;
    }
    relay.set_figures(LinkFigures::default(), LinkFigures::default());
    for edge in [&mut one, &mut other] {
        edge.event(|event| matches!(event, BackboneEvent::PeerHeard { .. }))
            .await;
    }
}
