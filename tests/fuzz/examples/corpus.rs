//! Writes the corpora anew: packets of real encoders, and messages that our own writers write.
//! `cargo run -p sluice-fuzz --example corpus`. SDP is written by hand, and what searching found stays.

use std::fs;
use std::time::Duration;

use sluice_fuzz::TARGETS;
use sluice_relay::datagram::{Split, Splitter, write_clock};
use sluice_sfu::codec::Codec;
use sluice_sfu::rtcp::{ReportBlock, key_frame_request, nack, receiver_report, transport_feedback};
use sluice_sfu::rtp::{Extension, ExtensionIds, Header};
use sluice_streams::packetize::Parameters;
use sluice_streams::publisher::{Manner, Publisher};
use sluice_streams::{Format, call, ffmpeg};
use sluice_types::ids::{Epoch, MeetingId, ParticipantId, RelayId, TrackId};
use sluice_types::mesh::backbone::{BackboneMessage, Departure, Hop};
use sluice_types::mesh::codec;
use sluice_types::mesh::control::{
    Branch, CoordinatorMessage, EdgeMessage, RelayTree, RoomDemand, RoomPlan,
};
use sluice_types::room::{DataMessage, LeaveReason};
use sluice_types::units::Time;

type Seeds = Vec<(String, Vec<u8>)>;

/// The most of a payload that is kept, in bytes: what is read of one stands at its start.
const PAYLOAD_BYTES: usize = 96;

fn main() -> std::io::Result<()> {
    let streams: Vec<_> = [Format::Vp8, Format::Vp9, Format::H264, Format::Av1]
        .into_iter()
        .map(|format| (format, packets(format)))
        .collect();
    for target in TARGETS {
        let seeds = match target.name {
            "stun" => vec![(
                "request".to_owned(),
                sluice_edge::media::untrusted::stun_request(),
            )],
            "signalling" => signalling(),
            "backbone" => backbone(),
            "datagram" => datagram(),
            "rtcp" => rtcp(),
            "red" => vec![(
                "two-blocks".to_owned(),
                [
                    &[0xef, 0, 0, 3, 0xef, 0, 0, 2, 0x6f][..],
                    &[1, 1, 1, 2, 2, 9, 9, 9],
                ]
                .concat(),
            )],
            "forwarder" => streams.iter().map(forwarder).collect(),
            "sdp" => Vec::new(),
            name => streams
                .iter()
                .flat_map(|(format, packets)| from_packets(name, *format, packets))
                .collect(),
        };
        fs::create_dir_all(target.corpus())?;
        for (name, bytes) in seeds {
            fs::write(target.corpus().join(name), bytes)?;
        }
    }
    Ok(())
}

/// The packets of six pictures, with dependency descriptors.
fn packets(format: Format) -> Vec<Vec<u8>> {
    let size = (160, 90);
    let manner = Manner {
        format,
        descriptors: true,
        parameters: Parameters::Aggregated,
    };
    let mut publisher = Publisher::new(manner, &[(size, ffmpeg::encode(format, size, 6))]);
    (0..6)
        .flat_map(|picture| publisher.picture(picture))
        .collect()
}

/// A packet's descriptor, and the start of its payload.
fn parts(packet: &[u8]) -> (Vec<u8>, Vec<u8>) {
    let header = Header::parse(packet, &ExtensionIds::backbone()).expect("our own");
    let descriptor = header.extension(packet, Extension::DependencyDescriptor);
    let payload = header.payload(packet);
    (
        descriptor.unwrap_or_default().to_vec(),
        payload[..payload.len().min(PAYLOAD_BYTES)].to_vec(),
    )
}

fn codec_place(format: Format) -> u8 {
    let wanted = call::codec(format);
    let place = Codec::ALL.iter().position(|codec| *codec == wanted);
    place.unwrap_or_default() as u8
}

fn from_packets(target: &str, format: Format, packets: &[Vec<u8>]) -> Seeds {
    let (structure, _) = parts(&packets[0]);
    packets
        .iter()
        .enumerate()
        .step_by(packets.len().div_ceil(8))
        .map(|(n, packet)| {
            let (descriptor, payload) = parts(packet);
            let bytes = match target {
                "rtp" => {
                    let header = sluice_sfu::rtp::header_bytes(packet).expect("our own");
                    packet[..packet.len().min(header + PAYLOAD_BYTES)].to_vec()
                }
                "descriptor" => [&[structure.len() as u8][..], &structure, &descriptor].concat(),
                _ => [&[codec_place(format)][..], &payload].concat(),
            };
            (format!("{format:?}-{n}").to_lowercase(), bytes)
        })
        .collect()
}

fn forwarder((format, packets): &(Format, Vec<Vec<u8>>)) -> (String, Vec<u8>) {
    let mut steps = vec![7, 0, 2];
    for (n, packet) in packets.iter().enumerate() {
        let (descriptor, mut payload) = parts(packet);
        payload.truncate(40);
        let n = n as u8;
        for encoding in 0..3 {
            steps.extend([0, encoding, codec_place(*format), n, n]);
            steps.extend([descriptor.len() as u8, payload.len() as u8]);
            steps.extend(&descriptor);
            steps.extend(&payload);
        }
        // Opus, and a while.
        steps.extend([0, 0x40, 0, n, 30, 0, 4, 9, 9, 9, 9, 6, 33]);
        if n == 3 {
            let mut request = Vec::new();
            nack(&mut request, 500, &[1_025, 1_027]);
            steps.extend([5, request.len() as u8]);
            steps.extend(request);
            steps.extend([7, 0, 0xc1]);
        }
    }
    (format!("{format:?}").to_lowercase(), steps)
}

fn rtcp() -> Seeds {
    let arrivals: Vec<_> = (0..40u64)
        .filter(|n| n % 5 != 3)
        .map(|n| {
            (
                65_500 + n,
                Time::from_millis(1_000) + Duration::from_millis(n * n),
            )
        })
        .collect();
    let mut feedback = Vec::new();
    transport_feedback(&mut feedback, 5, 1, &arrivals);
    let mut compound = Vec::new();
    let block = ReportBlock {
        ssrc: 7,
        fraction_lost: 3,
        total_lost: 4,
        highest: 70_000,
        jitter: 6,
        last_report: 5,
        delay: 4,
    };
    receiver_report(&mut compound, &[block, block]);
    nack(&mut compound, 9, &[1, 2, 9, 40, 41]);
    key_frame_request(&mut compound, 11);
    // Full intra requests of two streams, and a receiver's estimate.
    let requests = [
        0x84, 206, 0, 6, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 7, 1, 0, 0, 0, 0, 0, 0, 9, 2, 0, 0, 0,
    ];
    let remb = [
        0x8f, 206, 0, 5, 0, 0, 0, 1, 0, 0, 0, 0, b'R', b'E', b'M', b'B', 1, 0x13, 0xf7, 0xa0, 0, 0,
        0, 7,
    ];
    // Chunks of all three kinds: a run, one bit and two bits a packet.
    let chunks = [
        0x8f, 205, 0, 8, 0, 0, 0, 1, 0, 0, 0, 7, 0xff, 0xf0, 0, 24, 0, 0, 9, 1, 0x20, 3, 0xaa,
        0xaa, 0xe4, 0xe4, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10,
    ];
    [
        ("feedback", feedback),
        ("compound", compound),
        ("full-intra", requests.to_vec()),
        ("remb", remb.to_vec()),
        ("chunks", chunks.to_vec()),
        (
            "clocks",
            Publisher::new(
                Manner {
                    format: Format::Vp8,
                    descriptors: false,
                    parameters: Parameters::Aggregated,
                },
                &[((16, 16), Vec::new())],
            )
            .clocks(3),
        ),
    ]
    .map(|(name, bytes)| (name.to_owned(), bytes))
    .to_vec()
}

fn signalling() -> Seeds {
    let track = "tr_0123456789abcdef";
    let participant = "pt_0123456789abcdef";
    [
        ("hello", r#"{"type":"participant.hello","sdp_offer":"v=0\r\n","tracks":[{"mid":"1","source":"screen","height":720}],"presence":{"audio_muted":true,"video_muted":false,"hand_raised":false,"screen_sharing":false}}"#.to_owned()),
        ("answer", r#"{"type":"participant.answer","sdp_answer":"v=0","revision":7}"#.to_owned()),
        ("resume", r#"{"type":"participant.resume","last_seq":18446744073709551615}"#.to_owned()),
        ("subscribe", format!(r#"{{"type":"subscription.update","tracks":[{{"track_id":"{track}","wish":{{"visible":false,"height":360,"frame_rate":15,"priority":"high"}}}}]}}"#)),
        ("presence", r#"{"type":"presence.update","hand_raised":true}"#.to_owned()),
        ("candidate", r#"{"type":"ice.candidate","candidate":"candidate:1 1 udp 1 192.0.2.1 9 typ host","sdpMid":"0","sdpMLineIndex":0}"#.to_owned()),
        ("remove", format!(r#"{{"type":"participant.remove","participant_id":"{participant}"}}"#)),
        ("ping", r#"{"type":"ping"}"#.to_owned()),
        ("speakers", format!(r#"{{"type":"room.speakers","speakers":[{{"participant_id":"{participant}","level":30}}]}}"#)),
        ("presence-changed", format!(r#"{{"seq":4,"type":"room.presence_changed","participant_id":"{participant}","audio_muted":true,"video_muted":true,"hand_raised":false,"screen_sharing":false}}"#)),
        ("error", r#"{"type":"error","code":"bad_sdp","message":"no","fatal":true}"#.to_owned()),
    ]
    .map(|(name, text)| (name.to_owned(), text.into_bytes()))
    .to_vec()
}

fn backbone() -> Seeds {
    let edge = |name: &str| name.parse().expect("an edge id");
    let region = |name: &str| name.parse().expect("a region");
    let room = MeetingId::from_random([1; 10]);
    let participant = ParticipantId::from_random([2; 10]);
    let messages = [
        BackboneMessage::Hello {
            edge: edge("paris-1"),
            region: region("paris"),
        },
        BackboneMessage::Join {
            room: room.clone(),
            root: edge("paris-1"),
            epoch: Epoch(3),
            data_after: Some(9),
        },
        BackboneMessage::Roster {
            room: room.clone(),
            root: edge("paris-1"),
            path: vec![Hop {
                edge: edge("paris-1"),
                region: region("paris"),
            }],
            revision: 4,
            complete: true,
            participants: Vec::new(),
            left: vec![Departure {
                participant: participant.clone(),
                version: 4,
                reason: LeaveReason::Left,
            }],
        },
        BackboneMessage::Subscribe {
            relay: RelayId(70_000),
            room: room.clone(),
            root: edge("paris-1"),
            track: TrackId::from_random([3; 10]),
            encodings: 5,
        },
        BackboneMessage::Data {
            room: room.clone(),
            root: edge("paris-1"),
            sequence: 300,
            message: DataMessage {
                from: participant,
                to: Vec::new(),
                topic: Some("chat".to_owned()),
                reliable: true,
                payload: b"hello".to_vec(),
            },
        },
        BackboneMessage::Goodbye {},
    ];
    // The frame without its length and format, which the target puts before it.
    let body = |choice: u8, frame: &[u8]| [&[choice, 0][..], &frame[5..]].concat();
    let mut seeds: Seeds = messages
        .iter()
        .enumerate()
        .map(|(n, message)| {
            let frame = codec::encode(message).expect("short");
            (format!("backbone-{n}"), body(0, &frame))
        })
        .collect();
    let demand = EdgeMessage::Demand(RoomDemand {
        room: room.clone(),
        participants: 3,
        publishing: true,
    });
    let demand = codec::encode(&demand).expect("short");
    seeds.push(("demand".to_owned(), body(1, &demand)));
    seeds.push(("frame".to_owned(), [&[1, 1][..], &demand].concat()));
    let plan = CoordinatorMessage::Plan(RoomPlan {
        room,
        epoch: Epoch(9),
        trees: vec![RelayTree {
            root: edge("paris-1"),
            branches: vec![Branch {
                edge: edge("tokyo-1"),
                parent: edge("paris-1"),
                backup: None,
            }],
        }],
    });
    let plan = codec::encode(&plan).expect("short");
    seeds.push(("plan".to_owned(), body(2, &plan)));
    seeds
}

fn datagram() -> Seeds {
    let mut bytes = Vec::new();
    for relay in [5, 700, 70_000] {
        let mut splitter = Splitter::new(RelayId(relay));
        let mut parts = vec![splitter.clock(&write_clock(5, 6, 1))];
        for length in [20, 90, 120] {
            match splitter.split(&vec![relay as u8; length], 80) {
                Ok(Split::Whole(one)) => parts.push(one),
                Ok(Split::Halves(two)) => parts.extend(two),
                Err(error) => panic!("{error}"),
            }
        }
        for part in parts {
            bytes.push(part.len() as u8);
            bytes.extend(part);
        }
    }
    vec![("relays".to_owned(), bytes)]
}
