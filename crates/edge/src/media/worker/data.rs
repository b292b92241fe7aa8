//! Data channels at a worker.

use std::time::Instant;

use bytes::Bytes;

use super::Worker;
use crate::media::data::{DataChannels, Incoming};
use crate::media::event::MediaEvent;
use crate::media::keys::PeerKey;

impl Worker {
    /// Takes the SCTP packets that came over a participant's DTLS association.
    pub(super) fn take_data(&mut self, place: usize) {
        let now = Instant::now();
        let mut came = Vec::new();
        let Some(peer) = self.table.at(place) else {
            return;
        };
        while let Some(packet) = peer.dtls.poll_data() {
            if peer.srtp.is_none() {
                continue;
            }
            peer.data
                .get_or_insert_with(|| Box::new(DataChannels::new(now)))
                .receive(now, packet.freeze(), |incoming| came.push(incoming));
        }
        let (room, participant) = (peer.room.clone(), peer.participant.clone());
        self.flush_data(place);
        for incoming in came {
            let (room, participant) = (room.clone(), participant.clone());
            self.say(match incoming {
                Incoming::Message { reliable, bytes } => MediaEvent::Data {
                    room,
                    participant,
                    reliable,
                    bytes,
                },
                Incoming::Refused => MediaEvent::DataRefused { room, participant },
            });
        }
    }

    pub(super) fn send_data(&mut self, key: PeerKey, reliable: bool, bytes: &Bytes) {
        let now = Instant::now();
        let Some(place) = self.table.place_of_key(key) else {
            return;
        };
        let sent = self
            .table
            .at(place)
            .and_then(|peer| peer.data.as_mut())
            .is_some_and(|data| data.send(now, reliable, bytes));
        if !sent {
            metrics::counter!("sluice_edge_dropped_data_messages_total", "reason" => "not_ready")
                .increment(1);
        }
        self.flush_data(place);
    }

    /// Sends the SCTP packets of a participant that are ready.
    fn flush_data(&mut self, place: usize) {
        let now = Instant::now();
        let Some(peer) = self.table.at(place) else {
            return;
        };
        if let Some(data) = &mut peer.data {
            let dtls = &mut peer.dtls;
            data.poll_transmit(now, |packet| {
                // An association that is over loses its messages.
                let _ = dtls.write(now, packet);
            });
        }
        self.flush_dtls(place);
    }

    /// Repeats what was lost.
    pub(super) fn handle_data_timeouts(&mut self) {
        let now = Instant::now();
        let due: Vec<_> = self
            .table
            .peers()
            .filter(|(_, peer)| {
                let timeout = peer.data.as_ref().and_then(|data| data.poll_timeout());
                timeout.is_some_and(|at| at <= now)
            })
            .map(|(place, _)| place)
            .collect();
        for place in due {
            if let Some(data) = self.table.at(place).and_then(|peer| peer.data.as_mut()) {
                data.handle_timeout(now);
            }
            self.flush_data(place);
        }
    }
}
