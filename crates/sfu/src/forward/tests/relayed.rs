//! What travels over relays, hop by hop, when those behind them want less than all of it.

use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;
use sluice_types::signal::{Priority, Wish};

use super::stage::{Got, PACKETS_PER_FRAME, Stage, play, stage};
use super::*;

/// An edge that a track comes to over a relay.
struct Edge {
    forwarder: Forwarder,
    out: Sent,
    source: SourceId,
    viewer: SinkId,
}

impl Edge {
    fn new() -> Self {
        let (mut forwarder, mut out) = (Forwarder::default(), Sent::default());
        let source = forwarder.add_source(CAMERA, Origin::Backbone);
        let target = Target::Peer {
            peer: forwarder.add_peer(formats(VIEWER)),
            ssrc: SINK_SSRC,
            retransmission_ssrc: None,
        };
        let viewer = forwarder
            .add_sink(Time::ZERO, source, target, &mut out)
            .expect("both are there");
        Self {
            forwarder,
            out,
            source,
            viewer,
        }
    }

    fn wish(&mut self, now: Time, visible: bool, frame_rate: u8) {
        let wish = Wish {
            visible,
            height: Some(720),
            frame_rate: Some(frame_rate),
            priority: Priority::Normal,
            ..Wish::default()
        };
        self.forwarder
            .set_wish(now, self.viewer, Some(wish), &mut self.out);
    }

    fn received(&self) -> BTreeMap<u64, Got> {
        let ids = formats(VIEWER).extensions;
        self.out
            .media
            .iter()
            .map(|(_, index, packet)| {
                let header = Header::parse(packet, &ids).expect("RTP");
                (*index, Got::read(&header, header.payload(packet)))
            })
            .collect()
    }
}

/// The publisher's edge, one on the way, and one behind it.
struct Chain {
    near: Stage,
    published: SourceId,
    middle: Edge,
    far: Edge,
    links: [SinkId; 2],
    /// The layers that crossed each relay since the last look: encoding and temporal layer.
    crossed: [BTreeSet<(u8, u8)>; 2],
}

impl Chain {
    fn new() -> Self {
        let (mut near, mut middle, far) = (stage(), Edge::new(), Edge::new());
        let published = near.forwarder.sinks[near.sink.0].source;
        let first = near
            .forwarder
            .add_sink(
                Time::ZERO,
                published,
                Target::Link(LinkId(1)),
                &mut near.sent,
            )
            .expect("there");
        let second = middle
            .forwarder
            .add_sink(
                Time::ZERO,
                middle.source,
                Target::Link(LinkId(2)),
                &mut middle.out,
            )
            .expect("there");
        Self {
            near,
            published,
            middle,
            far,
            links: [first, second],
            crossed: Default::default(),
        }
    }

    /// One picture; each packet at each hop comes at once unless `held` keeps it for later.
    fn picture(&mut self, held: &mut impl FnMut(usize, Vec<Vec<u8>>) -> Vec<Vec<u8>>) {
        for made in self.near.picture() {
            self.near.deliver(&made);
        }
        self.near.tick();
        let now = self.near.now();
        let ids = ExtensionIds::backbone();
        let mut note = |hop: usize, packets: &[Vec<u8>]| {
            for packet in packets {
                let header = Header::parse(packet, &ids).expect("RTP");
                let got = Got::read(&header, header.payload(packet));
                if !got.padding {
                    self.crossed[hop].insert((got.encoding, got.temporal));
                }
            }
        };
        let sent = self.near.sent.relayed.drain(..).map(|(_, packet)| packet);
        let arrived = held(0, sent.collect());
        note(0, &arrived);
        let middle = &mut self.middle;
        for packet in arrived {
            middle
                .forwarder
                .handle_relayed(now, middle.source, &packet, &mut middle.out);
        }
        middle.forwarder.handle_timeout(now, &mut middle.out);
        let sent = middle.out.relayed.drain(..).map(|(_, packet)| packet);
        let arrived = held(1, sent.collect());
        note(1, &arrived);
        let far = &mut self.far;
        for packet in arrived {
            far.forwarder
                .handle_relayed(now, far.source, &packet, &mut far.out);
        }
        far.forwarder.handle_timeout(now, &mut far.out);
        if let Some((_, layers)) = far.out.wanted.drain(..).next_back() {
            let out = &mut middle.out;
            middle.forwarder.set_layers(now, self.links[1], layers, out);
        }
        if let Some((_, layers)) = middle.out.wanted.drain(..).next_back() {
            let out = &mut self.near.sent;
            self.near
                .forwarder
                .set_layers(now, self.links[0], layers, out);
        }
        let asked = !far.out.key_frames.is_empty() || !middle.out.key_frames.is_empty();
        far.out.key_frames.clear();
        middle.out.key_frames.clear();
        for place in (0..3).map(EncodingId).filter(|_| asked) {
            self.near
                .forwarder
                .request_key_frame(now, self.published, place, &mut self.near.sent);
        }
    }

    fn pictures(&mut self, count: usize) {
        for _ in 0..count {
            self.picture(&mut |_, packets| packets);
        }
    }

    /// What crosses each relay in the next second.
    fn crossing(&mut self) -> [Vec<(u8, u8)>; 2] {
        self.crossed = Default::default();
        self.pictures(30);
        self.crossed
            .each_ref()
            .map(|set| set.iter().copied().collect())
    }
}

#[test]
fn a_relay_carries_the_union_of_what_is_wanted_behind_it_and_no_more() {
    let mut chain = Chain::new();
    let wish = |chain: &mut Chain, middle: (bool, u8), far: (bool, u8)| {
        let now = chain.near.now();
        chain.middle.wish(now, middle.0, middle.1);
        chain.far.wish(now, far.0, far.1);
        // Until nobody was seen to want the rest for a while.
        chain.pictures(200);
        chain.crossing()
    };
    let (all, slow) = ((true, 30), (true, 7));
    let none = (false, 30);
    let whole = vec![(2, 0), (2, 1), (2, 2)];
    let slowest = vec![(2, 0)];
    // What is always there for a newcomer.
    let base = |mut layers: Vec<(u8, u8)>| {
        layers.insert(0, (0, 0));
        layers
    };
    let (whole, slowest) = (base(whole), base(slowest));
    assert_eq!(wish(&mut chain, all, all), [whole.clone(), whole.clone()]);
    assert_eq!(
        wish(&mut chain, all, slow),
        [whole.clone(), slowest.clone()]
    );
    assert_eq!(
        wish(&mut chain, slow, slow),
        [slowest.clone(), slowest.clone()]
    );
    assert_eq!(wish(&mut chain, slow, all), [whole.clone(), whole.clone()]);
    assert_eq!(wish(&mut chain, none, slow), [slowest.clone(), slowest]);
    assert_eq!(wish(&mut chain, all, all), [whole.clone(), whole]);
    play(&chain.far.received(), true).expect("one stream, and every frame decodes");
    let lost = |edge: &Edge| {
        edge.forwarder
            .source_packets(edge.source)
            .map(|(_, lost)| lost)
    };
    assert_eq!((lost(&chain.middle), lost(&chain.far)), (Some(0), Some(0)));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    /// Viewers at two edges that waver, and packets that are late at either relay: what the farther one
    /// gets is one stream without a hole, in which every frame has what it needs.
    #[test]
    fn nothing_that_a_relay_leaves_out_is_missed(
        events in proptest::collection::vec((0u8..12, 0u8..12, 0usize..14, 0usize..2), 200),
    ) {
        let mut chain = Chain::new();
        chain.pictures(60);
        let mut late: [Vec<Vec<u8>>; 2] = Default::default();
        for (middle, far, place, hop) in events {
            let now = chain.near.now();
            if middle < 3 {
                chain.middle.wish(now, true, [7, 15, 30][usize::from(middle)]);
            }
            if far < 3 {
                chain.far.wish(now, true, [7, 15, 30][usize::from(far)]);
            }
            chain.picture(&mut |at, mut packets| {
                let before = std::mem::take(&mut late[at]);
                if at == hop && place < packets.len() {
                    late[at].push(packets.remove(place));
                }
                packets.extend(before);
                packets
            });
        }
        chain.picture(&mut |at, mut packets| {
            packets.extend(std::mem::take(&mut late[at]));
            packets
        });
        let received = chain.far.received();
        if let Err(wrong) = play(&received, false) {
            prop_assert!(false, "{}", wrong);
        }
        let missing: Vec<_> = received
            .keys()
            .zip(received.keys().skip(1))
            .filter(|(before, after)| *before + 1 != **after)
            .collect();
        prop_assert!(missing.is_empty(), "{missing:?}");
        let mut parts: BTreeMap<(u8, u16), u16> = BTreeMap::new();
        for got in received.values().filter(|got| !got.padding) {
            *parts.entry((got.encoding, got.frame)).or_default() += 1;
        }
        for got in received.values().filter(|got| !got.padding) {
            for back in std::iter::once(&0).chain(got.needs()) {
                let needed = (got.encoding, got.frame.wrapping_sub(*back));
                prop_assert_eq!(parts.get(&needed), Some(&PACKETS_PER_FRAME), "{:?}", got);
            }
        }
    }
}
