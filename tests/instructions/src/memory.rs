//! What one participant of a meeting of ten keeps: sound and a video of 2.6 Mbit/s up, nine of each down.

use std::time::{Duration, Instant};

use allocation_counter::measure;
use rtc_crypto::default_provider;
use sluice_sfu::forward::{Forwarder, Origin, OwnerId, PeerId, RoomId, Target, Track};
use sluice_sfu::rtcp::transport_feedback;
use sluice_sfu::rtp::{Extension, ExtensionBlock, OUTGOING_OVERHEAD_MAX, Outgoing};
use sluice_types::room::TrackSource::{self, Camera, Microphone};
use sluice_types::units::Time;
use sluice_wire::dtls::{Dtls, DtlsEvent, DtlsIdentity};

use crate::meeting::{AUDIO, AUDIO_BYTES, MEDIA, VIDEO_BYTES, Written, encoding, formats};

const PARTICIPANTS: usize = 10;

/// The budget of a participant, and what of it signalling, SDP and the process's own buffers take: what a
/// trace of allocations of a whole edge shows beside what is counted here.
const BUDGET_BYTES: u64 = 256 * 1_024;
const ELSEWHERE_BYTES: u64 = 80 * 1_024;

const PICTURE: Duration = Duration::from_micros(33_333);
const PACKETS_PER_PICTURE: u64 = 10;

/// A packet of participant `from`, of which each sends sound under an odd SSRC and its video under the next.
fn packet(sent: &mut u64, source: TrackSource, number: u64, from: usize, key: bool) -> Vec<u8> {
    let (payload_type, bytes, clock) = match source {
        Microphone => (AUDIO, AUDIO_BYTES, 960),
        _ => (MEDIA, VIDEO_BYTES, 300),
    };
    let mut payload = vec![7; bytes];
    if source == Camera {
        let start = [0x90, 0x80, 0x11, u8::from(!key)];
        payload[..start.len()].copy_from_slice(&start);
    }
    let mut extensions = ExtensionBlock::default();
    *sent += 1;
    extensions.push(Extension::TransportCc as u8, &(*sent as u16).to_be_bytes());
    let outgoing = Outgoing {
        marker: true,
        payload_type,
        index: number,
        timestamp: number as u32 * clock,
        ssrc: ssrc(source, from),
        extensions: &extensions,
        original_sequence: None,
        payload: &payload,
        counters: Default::default(),
        padding: 0,
    };
    let mut packet = vec![0; OUTGOING_OVERHEAD_MAX + bytes];
    let (_, end) = outgoing.write(&mut packet).expect("room");
    packet.truncate(end);
    packet
}

fn ssrc(source: TrackSource, from: usize) -> u32 {
    1 + 2 * from as u32 + u32::from(source == Camera)
}

/// Ten participants, each of whom receives all others.
fn room(forwarder: &mut Forwarder, out: &mut Written) -> Vec<PeerId> {
    let peers: Vec<_> = (0..PARTICIPANTS)
        .map(|_| forwarder.add_peer(formats(true)))
        .collect();
    for (from, &peer) in peers.iter().enumerate() {
        for source in [Microphone, Camera] {
            let origin = Origin::Peer {
                peer,
                encodings: vec![encoding(ssrc(source, from))],
                mid: b"1"[..].into(),
                repairs: source == Camera,
            };
            let track = Track {
                room: RoomId(1),
                owner: OwnerId(from as u64),
                source,
            };
            let key = forwarder.add_source(track, origin);
            for &viewer in peers.iter().filter(|&&viewer| viewer != peer) {
                let ssrc = 1_000 + 2 * ssrc(source, from);
                let target = Target::Peer {
                    peer: viewer,
                    ssrc,
                    retransmission_ssrc: (source == Camera).then_some(ssrc + 1),
                };
                forwarder
                    .add_sink(Time::ZERO, key, target, out)
                    .expect("both are there");
            }
        }
    }
    peers
}

/// So many pictures of everybody, with their sound, and everybody's feedback of what came.
fn talk(forwarder: &mut Forwarder, out: &mut Written, peers: &[PeerId], pictures: u64) {
    let mut sent = [0; PARTICIPANTS];
    let mut told = [0; PARTICIPANTS];
    for picture in 0..pictures {
        let now = Time::from_millis(1) + PICTURE * picture as u32;
        for (from, &peer) in peers.iter().enumerate() {
            let mut send = |source, number| {
                let packet = packet(&mut sent[from], source, number, from, picture % 60 == 0);
                forwarder.handle_media(now, peer, &packet, out);
            };
            send(Microphone, picture);
            for n in 0..PACKETS_PER_PICTURE {
                send(Camera, picture * PACKETS_PER_PICTURE + n);
            }
        }
        // As a receiver does that is a millisecond away.
        let now = now + Duration::from_millis(2);
        for (to, &peer) in peers.iter().enumerate() {
            let latest = out.sent_to(peer);
            let arrivals: Vec<_> = (told[to] + 1..=latest)
                .map(|number| (number, now))
                .collect();
            told[to] = latest;
            for some in arrivals.chunks(100) {
                let mut report = Vec::new();
                transport_feedback(&mut report, 1_000, 0, some);
                forwarder.handle_control(now, peer, &report, out);
            }
        }
        for step in 1..16 {
            forwarder.handle_timeout(now + Duration::from_millis(2 * step), out);
        }
    }
}

/// What the association and the keys of a participant keep.
fn transport() -> i64 {
    let provider = default_provider().expect("a provider");
    let identity = || DtlsIdentity::generate(provider.clone()).expect("a certificate");
    let (edge, client) = (identity(), identity());
    let (edge_is, client_is) = (edge.fingerprint(), client.fingerprint());
    let now = Instant::now();
    let mut client = Dtls::connect(now, client, edge_is).expect("it begins");
    let (mut kept, mut there) = (0, None);
    let mut count = |step: &mut dyn FnMut()| kept += measure(step).bytes_current;
    let mut server = None;
    count(&mut || server = Some(Dtls::accept(edge.clone(), client_is)));
    let server = server.as_mut().expect("made above");
    while there.is_none() {
        let flight: Vec<_> = std::iter::from_fn(|| client.poll_transmit()).collect();
        assert!(!flight.is_empty(), "the client has no more to say");
        let mut answers = Vec::new();
        count(&mut || {
            for datagram in &flight {
                let event = server.receive(now, datagram).expect("it goes on");
                if let Some(DtlsEvent::Established(srtp)) = event {
                    there = Some(srtp);
                }
            }
            answers.extend(std::iter::from_fn(|| server.poll_transmit()));
        });
        for answer in answers {
            client.receive(now, &answer).expect("it goes on");
        }
    }
    drop(there);
    kept
}

#[test]
fn a_participant_of_a_meeting_of_ten_takes_no_more_than_its_budget() {
    let mut out = Written::new();
    let mut forwarder = Forwarder::default();
    let counted = measure(|| {
        let peers = room(&mut forwarder, &mut out);
        talk(&mut forwarder, &mut out, &peers, 1_000);
    });
    let all = (PARTICIPANTS * (PARTICIPANTS - 1)) as u64;
    assert!(
        out.packets > all * 900 * PACKETS_PER_PICTURE,
        "{} went out",
        out.packets
    );
    let media = counted.bytes_current / PARTICIPANTS as i64;
    let transport = transport();
    let budget = (BUDGET_BYTES - ELSEWHERE_BYTES) as i64;
    assert!(
        media + transport <= budget,
        "{media} bytes for media and {transport} for its transport, of {budget}"
    );
}
