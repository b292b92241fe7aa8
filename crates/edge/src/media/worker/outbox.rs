//! From the forwarder to the wire: sealed, and gathered for one send.

use std::net::UdpSocket;

use bytes::Bytes;
use sluice_sfu::forward::{EncodingId, LinkId, Outbox, PeerId, RoomId, SinkId, SourceId};
use sluice_sfu::rtcp::SenderClock;
use sluice_sfu::rtp::Outgoing;
use sluice_types::ids::RelayId;
use sluice_types::layers::LayerSet;
use sluice_types::room::MediaKind;

use super::peer::{Path, Peer};
use super::table::Table;
use crate::media::relay::RelayOutlet;
use sluice_wire::srtp::TAG_BYTES_MAX;
use sluice_wire::udp::{DATAGRAM_BYTES_MAX, Sender};

/// A relay that goes out.
pub(super) struct Link {
    pub(super) relay: RelayId,
    pub(super) outlet: Box<dyn RelayOutlet>,
    pub(super) queued: bool,
}

/// What the forwarder said that is not for the wire.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Notice {
    KeyFrameWanted(SourceId, EncodingId),
    FirstPacket(SourceId),
    LayersWanted(SourceId, LayerSet),
    Paused(SinkId, bool),
    Speakers(RoomId, Vec<(SourceId, u8)>),
}

/// Sends for the forwarder.
pub(super) struct WireOutbox<'a> {
    pub(super) table: &'a mut Table,
    pub(super) sender: &'a mut Sender,
    pub(super) socket: &'a UdpSocket,
    pub(super) notices: &'a mut Vec<Notice>,
}

impl WireOutbox<'_> {
    /// Sends what `write` puts into a buffer, if the peer is there.
    fn send(&mut self, peer: PeerId, write: impl FnOnce(&mut Peer, &mut [u8]) -> Option<usize>) {
        let Some((peer, connections)) = self.table.by_forward(peer) else {
            return;
        };
        match peer.path {
            Some(Path::Udp(to)) => {
                if self.sender.is_full() {
                    self.sender.flush(self.socket);
                }
                self.sender.push(to, |buffer| write(peer, buffer));
            }
            Some(Path::Tcp(connection)) => {
                let mut buffer = [0; DATAGRAM_BYTES_MAX];
                if let (Some(length), Some(connection)) =
                    (write(peer, &mut buffer), connections.get(&connection))
                {
                    // A full connection loses packets, as a full network would.
                    let _ = connection
                        .outgoing
                        .try_send(Bytes::copy_from_slice(&buffer[..length]));
                }
            }
            None => {}
        }
    }
}

impl Outbox for WireOutbox<'_> {
    fn media(&mut self, peer: PeerId, packet: &Outgoing<'_>) {
        self.send(peer, |peer, buffer| {
            let srtp = peer.srtp.as_mut()?;
            let room = buffer.len() - TAG_BYTES_MAX;
            let (header, length) = packet.write(&mut buffer[..room])?;
            srtp.sealer
                .seal(buffer, header, length, packet.ssrc, packet.index)
                .ok()
        });
    }

    fn control(&mut self, peer: PeerId, packet: &[u8]) {
        self.send(peer, |peer, buffer| {
            let sealed = peer.srtp.as_mut()?.seal_control(packet).ok()?;
            buffer.get_mut(..sealed.len())?.copy_from_slice(&sealed);
            Some(sealed.len())
        });
    }

    fn relay(&mut self, link: LinkId, kind: MediaKind, packet: &Outgoing<'_>) {
        if let Some(link) = self.table.links.get_mut(&link) {
            let mut buffer = [0; DATAGRAM_BYTES_MAX];
            if let Some((_, length)) = packet.write(&mut buffer) {
                link.outlet.media(link.relay, kind, &buffer[..length]);
                link.queued = true;
            }
        }
    }

    fn relay_clock(&mut self, link: LinkId, encoding: EncodingId, clock: SenderClock) {
        if let Some(link) = self.table.links.get_mut(&link) {
            link.outlet.clock(link.relay, encoding, clock);
            link.queued = true;
        }
    }

    fn key_frame_wanted(&mut self, source: SourceId, encoding: EncodingId) {
        self.notices.push(Notice::KeyFrameWanted(source, encoding));
    }

    fn first_packet(&mut self, source: SourceId) {
        self.notices.push(Notice::FirstPacket(source));
    }

    fn layers_wanted(&mut self, source: SourceId, layers: LayerSet) {
        self.notices.push(Notice::LayersWanted(source, layers));
    }

    fn paused(&mut self, sink: SinkId, paused: bool) {
        self.notices.push(Notice::Paused(sink, paused));
    }

    fn speakers(&mut self, room: RoomId, speakers: &[(SourceId, u8)]) {
        self.notices.push(Notice::Speakers(room, speakers.to_vec()));
    }
}
