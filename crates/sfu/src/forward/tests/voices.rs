//! The loudest voices of a room whose participants are at two edges.

use std::collections::BTreeSet;

use super::*;

/// How many speak at each edge.
const VOICES: usize = 12;

/// One edge: its own participants' microphones first, then those of the other.
struct Edge {
    forwarder: Forwarder,
    out: Sent,
    publisher: PeerId,
    sources: Vec<SourceId>,
    sequence: u16,
}

/// How a listener's SSRC tells whose voice it is.
const HEARD_SSRC: u32 = 1_000;

impl Edge {
    /// The edge whose own voices are those from `first` on, of all.
    fn new(first: usize) -> Self {
        let (mut forwarder, mut out) = (Forwarder::default(), Sent::default());
        let publisher = forwarder.add_peer(formats(PUBLISHER));
        let listener = forwarder.add_peer(formats(VIEWER));
        let sources = (0..2 * VOICES)
            .map(|voice| {
                let own = (first..first + VOICES).contains(&voice);
                let track = Track {
                    room: RoomId(1),
                    owner: OwnerId(voice as u64),
                    source: TrackSource::Microphone,
                };
                let origin = match own {
                    true => Origin::Peer {
                        peer: publisher,
                        encodings: vec![AnnouncedEncoding {
                            ssrc: Some(voice as u32 + 1),
                            ..AnnouncedEncoding::default()
                        }],
                        mid: b"0"[..].into(),
                        repairs: false,
                    },
                    false => Origin::Backbone,
                };
                let source = forwarder.add_source(track, origin);
                let target = Target::Peer {
                    peer: listener,
                    ssrc: HEARD_SSRC + voice as u32,
                    retransmission_ssrc: None,
                };
                forwarder.add_sink(Time::ZERO, source, target, &mut out);
                if own {
                    let link = Target::Link(LinkId(voice as u64));
                    forwarder.add_sink(Time::ZERO, source, link, &mut out);
                }
                source
            })
            .collect();
        Self {
            forwarder,
            out,
            publisher,
            sources,
            sequence: 0,
        }
    }

    /// Every own voice says something, that many decibels below the loudest possible.
    fn speak(&mut self, now: Time, first: usize, levels: &[u8]) {
        self.sequence = self.sequence.wrapping_add(1);
        for (voice, &level) in levels.iter().enumerate().skip(first).take(VOICES) {
            let mut extensions = ExtensionBlock::default();
            let _ = extensions.push(PUBLISHER / 16, &[level]);
            let packet = bytes(&Outgoing {
                marker: false,
                payload_type: PUBLISHER,
                index: u64::from(self.sequence),
                timestamp: u32::from(self.sequence) * 960,
                ssrc: voice as u32 + 1,
                extensions: &extensions,
                original_sequence: None,
                payload: &[voice as u8; 20],
                counters: Counters::default(),
                padding: 0,
            });
            self.forwarder
                .handle_media(now, self.publisher, &packet, &mut self.out);
        }
    }

    /// What the other edge sent.
    fn take(&mut self, now: Time, relayed: Vec<(LinkId, Vec<u8>)>) -> BTreeSet<usize> {
        let mut crossed = BTreeSet::new();
        for (link, packet) in relayed {
            let voice = link.0 as usize;
            crossed.insert(voice);
            let source = self.sources[voice];
            self.forwarder
                .handle_relayed(now, source, &packet, &mut self.out);
        }
        self.forwarder.handle_timeout(now, &mut self.out);
        crossed
    }

    /// Whom its listener heard since it was last asked.
    fn heard(&mut self) -> BTreeSet<usize> {
        let ids = formats(VIEWER).extensions;
        self.out
            .media
            .drain(..)
            .map(|(_, _, packet)| {
                let header = Header::parse(&packet, &ids).expect("RTP");
                (header.ssrc - HEARD_SSRC) as usize
            })
            .collect()
    }
}

#[test]
fn everybody_hears_the_loudest_of_all_edges_and_no_other_voice_crosses() {
    let mut edges = [Edge::new(0), Edge::new(VOICES)];
    // The loudest at one edge, then at both, then at the other one.
    let scenes: [&[usize]; 4] = [
        &[0, 1, 2, 3, 4, 5, 6, 7],
        &[0, 1, 2, 3, 12, 13, 14, 15],
        &[4, 12, 13, 14, 15, 16, 17, 18],
        &[16, 17, 18, 19, 20, 21, 22, 23],
    ];
    let mut millis = 0;
    for loudest in scenes {
        assert_eq!(loudest.len(), AUDIBLE_MAX);
        let levels: Vec<u8> = (0..2 * VOICES as u8)
            .map(|voice| match loudest.contains(&usize::from(voice)) {
                true => 20 + voice % 5,
                false => 70 + voice % 9,
            })
            .collect();
        let wanted: BTreeSet<usize> = loudest.iter().copied().collect();
        let mut crossed = [BTreeSet::new(), BTreeSet::new()];
        for step in 0..300 {
            millis += 20;
            let now = Time::from_millis(millis);
            if step == 250 {
                // The peak meter has forgotten who was loud before.
                crossed = Default::default();
                for edge in &mut edges {
                    edge.heard();
                }
            }
            let [near, far] = &mut edges;
            near.speak(now, 0, &levels);
            far.speak(now, VOICES, &levels);
            let (to_far, to_near) = (
                std::mem::take(&mut near.out.relayed),
                std::mem::take(&mut far.out.relayed),
            );
            crossed[0].extend(far.take(now, to_far));
            crossed[1].extend(near.take(now, to_near));
        }
        for edge in &mut edges {
            assert_eq!(edge.heard(), wanted);
        }
        let [to_far, to_near] = crossed;
        let all: BTreeSet<_> = to_far.union(&to_near).copied().collect();
        assert_eq!(all, wanted, "one copy of each crosses");
        assert!(to_far.iter().all(|&voice| voice < VOICES));
    }
}
