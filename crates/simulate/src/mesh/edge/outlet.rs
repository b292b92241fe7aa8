//! What a forwarder says, kept until it is carried.

use sluice_sfu::forward::{EncodingId, LinkId, Outbox, PeerId, RoomId, SinkId, SourceId};
use sluice_sfu::rtcp::{Control, SenderClock, controls};
use sluice_sfu::rtp::Outgoing;
use sluice_types::layers::LayerSet;
use sluice_types::room::MediaKind;

/// What goes out over a relay.
pub(super) enum ForRelay {
    Packet(MediaKind, Vec<u8>),
    Clock((u64, u32, u8)),
}

/// A packet for a participant.
pub(super) struct ForPeer {
    pub(super) peer: PeerId,
    pub(super) ssrc: u32,
    pub(super) index: u64,
    pub(super) payload: Vec<u8>,
}

/// What the forwarder said.
#[derive(Default)]
pub(super) struct Outlet {
    pub(super) media: Vec<ForPeer>,
    pub(super) key_frames: Vec<(PeerId, u32)>,
    pub(super) relayed: Vec<(LinkId, ForRelay)>,
    pub(super) wanted_key_frames: Vec<(SourceId, EncodingId)>,
    pub(super) wanted_layers: Vec<(SourceId, LayerSet)>,
}

impl Outbox for Outlet {
    fn media(&mut self, peer: PeerId, packet: &Outgoing<'_>) {
        self.media.push(ForPeer {
            peer,
            ssrc: packet.ssrc,
            index: packet.index,
            payload: packet.payload.to_vec(),
        });
    }

    fn control(&mut self, peer: PeerId, packet: &[u8]) {
        controls(packet, |control| {
            if let Control::KeyFrameRequest { ssrc } = control {
                self.key_frames.push((peer, ssrc));
            }
        });
    }

    fn relay(&mut self, link: LinkId, kind: MediaKind, packet: &Outgoing<'_>) {
        let mut buffer = [0; 1_500];
        if let Some((_, length)) = packet.write(&mut buffer) {
            let packet = ForRelay::Packet(kind, buffer[..length].to_vec());
            self.relayed.push((link, packet));
        }
    }

    fn relay_clock(&mut self, link: LinkId, encoding: EncodingId, clock: SenderClock) {
        let clock = ForRelay::Clock((clock.ntp.0, clock.rtp, encoding.0));
        self.relayed.push((link, clock));
    }

    fn key_frame_wanted(&mut self, source: SourceId, encoding: EncodingId) {
        self.wanted_key_frames.push((source, encoding));
    }

    fn first_packet(&mut self, _: SourceId) {}

    fn layers_wanted(&mut self, source: SourceId, layers: LayerSet) {
        self.wanted_layers.push((source, layers));
    }

    fn paused(&mut self, _: SinkId, _: bool) {}

    fn speakers(&mut self, _: RoomId, _: &[(SourceId, u8)]) {}
}
