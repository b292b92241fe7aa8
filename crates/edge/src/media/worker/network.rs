//! What comes over the network: STUN, DTLS, SRTP and SRTCP on one socket (RFC 7983).

use std::time::{Duration, Instant};

use bytes::Bytes;
use sluice_types::units::Time;

use super::peer::{Path, Peer};
use super::{BATCHES_PER_TURN, Worker};
use crate::media::event::MediaEvent;
use crate::media::ice::{Check, StunError, is_indication, refusal};
use sluice_wire::dtls::DtlsEvent;
use sluice_wire::udp::{DATAGRAM_BYTES_MAX, Receiver};

/// How long after its last check a participant counts as lost. Browsers check every 2 to 5 s;
/// consent itself lasts 30 s (RFC 7675, section 5.1).
const CONSENT: Duration = Duration::from_secs(12);

/// The most datagrams of a participant's DTLS handshake that are looked at, retransmissions included: it
/// takes about ten. Who sends more is lost, as if its handshake had failed.
const HANDSHAKE_DATAGRAMS_MAX: u32 = 500;

/// What a datagram is, by its first byte (RFC 7983, section 7).
enum Demultiplexed {
    Stun,
    Dtls,
    Rtp,
    Rtcp,
    Unknown,
}

fn demultiplex(packet: &[u8]) -> Demultiplexed {
    match packet {
        [0..=3, ..] => Demultiplexed::Stun,
        [20..=63, ..] => Demultiplexed::Dtls,
        // RFC 5761, section 4: RTCP's packet types, read as RTP's marker and payload type.
        [128..=191, 192..=223, ..] => Demultiplexed::Rtcp,
        [128..=191, ..] => Demultiplexed::Rtp,
        _ => Demultiplexed::Unknown,
    }
}

impl Worker {
    /// Reads what came, within a bound, and says whether there may be more.
    pub(super) fn receive(&mut self, receiver: &mut Receiver) -> bool {
        for _ in 0..BATCHES_PER_TURN {
            // The batch borrows the socket while the worker handles what is in it.
            let socket = self.socket.clone();
            self.forwarder.begin_burst();
            let received = receiver.receive(&socket, |from, packet| {
                self.handle_packet(Path::Udp(from), packet);
            });
            self.end_burst();
            match received {
                Ok(received) if received.more => {}
                Ok(_) => return false,
                Err(error) => {
                    tracing::warn!(worker = self.index, %error, "reading from the media socket failed");
                    return false;
                }
            }
        }
        true
    }

    pub(super) fn handle_packet(&mut self, path: Path, packet: &mut [u8]) {
        match demultiplex(packet) {
            Demultiplexed::Stun => self.handle_stun(path, packet),
            Demultiplexed::Dtls => self.handle_dtls(path, packet),
            Demultiplexed::Rtp => self.handle_rtp(path, packet),
            Demultiplexed::Rtcp => self.handle_rtcp(path, packet),
            Demultiplexed::Unknown => {}
        }
    }

    fn handle_stun(&mut self, path: Path, packet: &[u8]) {
        let now = self.now();
        if is_indication(packet) {
            return;
        }
        let Some(from) = self.table.address_of(path) else {
            return;
        };
        // Whoever is known has proved itself at this very address.
        if self.table.place_of_path(path).is_none() && !self.strangers.allow(now, from.ip()) {
            return;
        }
        let check = match Check::parse(packet) {
            Ok(check) => check,
            Err(StunError::NoUsername) => {
                if let Some(refusal) = refusal(packet) {
                    self.send_raw(path, &refusal);
                }
                return;
            }
            Err(_) => return,
        };
        let Some(place) = self.table.place_of_ufrag(check.local_ufrag()) else {
            return;
        };
        let Some(peer) = self.table.at(place) else {
            return;
        };
        let ice = peer.ice_for(check.local_ufrag());
        let crypto = self.identity.provider().crypto();
        let (answer, nominated) = match check.answer(&ice.local, &ice.remote_ufrag, from, crypto) {
            Ok(answered) => answered,
            Err(error) => {
                tracing::debug!(participant = %peer.participant, %error, "a check is not answered");
                return;
            }
        };
        let forgotten = peer.checked(now, path, nominated);
        let restored = std::mem::take(&mut peer.lost).then(|| MediaEvent::Restored {
            room: peer.room.clone(),
            participant: peer.participant.clone(),
        });
        self.table.learn_path(place, path, forgotten);
        self.send_raw(path, &answer);
        if let Some(event) = restored {
            self.say(event);
        }
    }

    /// Sends something that is sealed already, or in clear by nature.
    pub(super) fn send_raw(&mut self, path: Path, packet: &[u8]) {
        match path {
            Path::Udp(to) => {
                if self.sender.is_full() {
                    self.sender.flush(&self.socket);
                }
                self.sender.push(to, |buffer| {
                    buffer
                        .get_mut(..packet.len().min(DATAGRAM_BYTES_MAX))?
                        .copy_from_slice(packet);
                    Some(packet.len())
                });
            }
            Path::Tcp(connection) => {
                if let Some(connection) = self.table.connections.get(&connection) {
                    // A full connection loses packets, as a full network would.
                    let _ = connection.outgoing.try_send(Bytes::copy_from_slice(packet));
                }
            }
        }
    }

    fn handle_dtls(&mut self, path: Path, packet: &[u8]) {
        let Some(place) = self.table.place_of_path(path) else {
            return;
        };
        let Some(peer) = self.table.at(place) else {
            return;
        };
        if peer.srtp.is_none() {
            let since = peer.since;
            peer.path_after.get_or_insert_with(|| since.elapsed());
            peer.handshake_datagrams += 1;
            if peer.handshake_datagrams > HANDSHAKE_DATAGRAMS_MAX {
                if peer.handshake_datagrams == HANDSHAKE_DATAGRAMS_MAX + 1 {
                    metrics::counter!("sluice_edge_dtls_floods_total").increment(1);
                    self.lose(place);
                }
                return;
            }
        }
        let event = peer.dtls.receive(Instant::now(), packet);
        let (room, participant, forward) =
            (peer.room.clone(), peer.participant.clone(), peer.forward);
        let after = peer.since.elapsed();
        let path_after = peer.path_after.unwrap_or(after);
        match event {
            Ok(Some(DtlsEvent::Established(srtp))) => {
                peer.srtp = Some(srtp);
                self.flush_dtls(place);
                tracing::info!(meeting = %room, %participant, after_ms = after.as_millis() as u64, "media is connected");
                metrics::histogram!("sluice_edge_media_connect_seconds").record(after);
                self.say(MediaEvent::Connected {
                    room,
                    participant,
                    after,
                    path_after,
                });
                let now = self.now();
                let (forwarder, mut outbox) = self.forward();
                forwarder.refresh(now, forward, &mut outbox);
                self.begin_to_measure(place);
            }
            Ok(Some(DtlsEvent::Closed)) => {
                self.flush_dtls(place);
                self.lose(place);
            }
            Ok(None) => {
                self.flush_dtls(place);
                self.take_data(place);
            }
            Err(error) => {
                tracing::info!(meeting = %room, %participant, %error, "DTLS failed");
                metrics::counter!("sluice_edge_dtls_failures_total").increment(1);
                self.flush_dtls(place);
                self.lose(place);
            }
        }
    }

    fn lose(&mut self, place: usize) {
        if let Some(peer) = self.table.at(place)
            && !std::mem::replace(&mut peer.lost, true)
        {
            let event = MediaEvent::Lost {
                room: peer.room.clone(),
                participant: peer.participant.clone(),
            };
            self.say(event);
        }
    }

    pub(super) fn flush_dtls(&mut self, place: usize) {
        while let Some((path, datagram)) = self
            .table
            .at(place)
            .and_then(|peer| Some((peer.path?, peer.dtls.poll_transmit()?)))
        {
            self.send_raw(path, &datagram);
        }
    }

    /// As [`Self::flush_dtls`], for a peer that is no longer in the table.
    pub(super) fn send_dtls(&mut self, peer: &mut Peer) {
        let Some(path) = peer.path else {
            return;
        };
        while let Some(datagram) = peer.dtls.poll_transmit() {
            self.send_raw(path, &datagram);
        }
    }

    pub(super) fn handle_dtls_timeouts(&mut self) {
        let now = Instant::now();
        let due: Vec<_> = self
            .table
            .peers()
            .filter(|(_, peer)| {
                peer.srtp.is_none() && peer.dtls.poll_timeout().is_some_and(|at| at <= now)
            })
            .map(|(place, _)| place)
            .collect();
        for place in due {
            let failed = self
                .table
                .at(place)
                .is_some_and(|peer| peer.dtls.handle_timeout(now).is_err());
            self.flush_dtls(place);
            if failed {
                self.lose(place);
            }
        }
    }

    fn handle_rtp(&mut self, path: Path, packet: &mut [u8]) {
        let now = self.now();
        let Some(peer) = self
            .table
            .place_of_path(path)
            .and_then(|place| self.table.at(place))
        else {
            return;
        };
        let forward = peer.forward;
        let Some(srtp) = &mut peer.srtp else {
            return;
        };
        match srtp.opener.open(packet) {
            Ok(length) => {
                let (forwarder, mut outbox) = self.forward();
                forwarder.handle_media(now, forward, &packet[..length], &mut outbox);
            }
            Err(error) => tracing::trace!(participant = %peer.participant, %error, "SRTP dropped"),
        }
    }

    fn handle_rtcp(&mut self, path: Path, packet: &[u8]) {
        let now = self.now();
        let Some(peer) = self
            .table
            .place_of_path(path)
            .and_then(|place| self.table.at(place))
        else {
            return;
        };
        let forward = peer.forward;
        let Some(srtp) = &mut peer.srtp else {
            return;
        };
        match srtp.open_control(packet) {
            Ok(plain) => {
                let (forwarder, mut outbox) = self.forward();
                forwarder.handle_control(now, forward, &plain, &mut outbox);
            }
            Err(error) => tracing::trace!(participant = %peer.participant, %error, "SRTCP dropped"),
        }
    }

    /// Participants whose checks stopped are lost.
    pub(super) fn look_after_consent(&mut self, now: Time) {
        let silent: Vec<_> = self
            .table
            .peers()
            .filter(|(_, peer)| !peer.lost && now.since(peer.consent) > CONSENT)
            .map(|(place, _)| place)
            .collect();
        for place in silent {
            self.lose(place);
        }
    }
}
