//! Packets that come at once are passed together, and must go out as they would one by one.

use proptest::prelude::*;

use super::stage::{Made, Stage, stage};
use super::*;

const LINK: LinkId = LinkId(9);

/// A stage with a second viewer and a relay.
fn watched() -> Stage {
    let mut stage = stage();
    let source = stage.forwarder.sinks[stage.sink.0].source;
    let viewer = stage.forwarder.add_peer(formats(VIEWER));
    let target = Target::Peer {
        peer: viewer,
        ssrc: 900,
        retransmission_ssrc: None,
    };
    for target in [target, Target::Link(LINK)] {
        stage
            .forwarder
            .add_sink(Time::ZERO, source, target, &mut stage.sent)
            .expect("both are there");
    }
    stage
}

impl Stage {
    fn deliver_at_once(&mut self, burst: &[Made]) {
        let now = self.now();
        self.forwarder.begin_burst();
        for made in burst {
            self.deliver(made);
        }
        self.forwarder.end_burst(now, &mut self.sent);
    }

    /// What each of the participants got, in order.
    fn got(&self) -> Vec<Vec<&(PeerId, u64, Vec<u8>)>> {
        let mut got = vec![Vec::new(); 3];
        for packet in &self.sent.media {
            got[packet.0.0].push(packet);
        }
        got
    }
}

#[test]
fn what_came_at_once_goes_out_sink_by_sink() {
    let mut stage = watched();
    let burst: Vec<_> = (0..4)
        .flat_map(|_| stage.picture())
        .filter(|made| made.ssrc == 100)
        .collect();
    stage.deliver_at_once(&burst);
    let peers: Vec<_> = stage.sent.media.iter().map(|(peer, ..)| peer.0).collect();
    assert_eq!(peers.len(), 2 * burst.len());
    assert!(peers.is_sorted(), "{peers:?}");
    assert_eq!(stage.sent.relayed.len(), burst.len());
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn at_once_or_one_by_one_is_the_same(
        events in proptest::collection::vec((0u8..100, 0u8..20, 1usize..12, any::<bool>()), 150),
    ) {
        let (mut together, mut alone) = (watched(), watched());
        for (chance, turn, pictures, by_encoding) in events {
            if turn < 6 {
                let heights = [100, 180, 360, 540, 720, 1_080];
                for stage in [&mut together, &mut alone] {
                    stage.wish(heights[usize::from(turn)], [7, 15, 30][usize::from(turn) % 3]);
                }
            }
            let mut burst: Vec<_> = (0..pictures).flat_map(|_| {
                let made = together.picture();
                // The other publisher is asked for the same key frames.
                assert_eq!(made.len(), alone.picture().len());
                made
            }).collect();
            if by_encoding {
                burst.sort_by_key(|made| made.ssrc);
            }
            match chance {
                0..10 => drop(burst.remove(usize::from(chance) % burst.len())),
                10..20 => burst.insert(0, burst[burst.len() - 1].clone()),
                20..30 => burst.rotate_left(1),
                _ => {}
            }
            together.deliver_at_once(&burst);
            for made in &burst {
                alone.deliver(made);
            }
            for stage in [&mut together, &mut alone] {
                stage.tick();
            }
            prop_assert_eq!(&together.sent.control, &alone.sent.control);
            prop_assert_eq!(&together.sent.wanted, &alone.sent.wanted);
        }
        prop_assert_eq!(together.got(), alone.got());
        prop_assert_eq!(&together.sent.relayed, &alone.sent.relayed);
        prop_assert_eq!(together.forwarder.stats(), alone.forwarder.stats());
    }
}
