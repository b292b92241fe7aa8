//! Messages of version 1 as they were on the wire, so that software of today understands that of then,
//! and says the same. `SLUICE_RECORD=1 cargo test -p sluice-types --test versions` records them anew, which is
//! right only for what no mesh has spoken yet.

use std::fmt::Write as _;

use bytes::BytesMut;
use serde::Serialize;
use serde::de::DeserializeOwned;

use sluice_types::access::Role;
use sluice_types::ids::{EdgeId, Epoch, MeetingId, ParticipantId, RelayId, TrackId};
use sluice_types::mesh::backbone::{BackboneMessage, Departure, Hop};
use sluice_types::mesh::codec::{decode, encode};
use sluice_types::mesh::control::{
    Branch, CoordinatorMessage, EdgeAddress, EdgeMessage, Heartbeat, LinkReport, Registration,
    RelayReport, RelayTree, RoomDemand, RoomPlan, RoomReport, TrackReport,
};
use sluice_types::room::{
    DataMessage, LeaveReason, MediaKind, ParticipantRecord, Presence, TrackInfo, TrackSource,
};

const RECORDED: &str = include_str!("golden/v1.txt");

fn edge(name: &str) -> EdgeId {
    name.parse().expect("an edge")
}

fn room() -> MeetingId {
    MeetingId::from_random([1; 10])
}

fn participant() -> ParticipantId {
    ParticipantId::from_random([2; 10])
}

fn track() -> TrackId {
    TrackId::from_random([3; 10])
}

fn region() -> sluice_types::ids::RegionName {
    "paris".parse().expect("a region")
}

fn backbone() -> Vec<BackboneMessage> {
    let (relay, root) = (RelayId(300), edge("paris-1"));
    let record = ParticipantRecord {
        participant_id: participant(),
        version: 9,
        name: "Ada".to_owned(),
        role: Role::Host,
        region: region(),
        edge: root.clone(),
        joined_at_ms: 1_700_000_000_000,
        presence: Presence {
            audio_muted: true,
            ..Presence::default()
        },
        tracks: vec![TrackInfo {
            track_id: track(),
            kind: MediaKind::Video,
            source: TrackSource::Screen,
        }],
    };
    vec![
        BackboneMessage::Hello {
            edge: root.clone(),
            region: region(),
        },
        BackboneMessage::Join {
            room: room(),
            root: root.clone(),
            epoch: Epoch(7),
            data_after: Some(5),
        },
        BackboneMessage::Leave {
            room: room(),
            root: root.clone(),
        },
        BackboneMessage::Roster {
            room: room(),
            root: root.clone(),
            path: vec![Hop {
                edge: root.clone(),
                region: region(),
            }],
            revision: 11,
            complete: true,
            participants: vec![record],
            left: vec![Departure {
                participant: participant(),
                version: 10,
                reason: LeaveReason::Left,
            }],
        },
        BackboneMessage::Subscribe {
            relay,
            room: room(),
            root: root.clone(),
            track: track(),
            encodings: 0b101,
        },
        BackboneMessage::Encodings {
            relay,
            encodings: 0b10,
        },
        BackboneMessage::Unsubscribe { relay },
        BackboneMessage::RelayEnded { relay },
        BackboneMessage::KeyFrame { relay, encoding: 2 },
        BackboneMessage::Data {
            room: room(),
            root: root.clone(),
            sequence: 6,
            message: DataMessage {
                from: participant(),
                to: Vec::new(),
                topic: Some("chat".to_owned()),
                reliable: true,
                payload: vec![1, 2, 3],
            },
        },
        BackboneMessage::Remove {
            room: room(),
            root,
            participant: participant(),
        },
        BackboneMessage::Goodbye {},
    ]
}

fn from_edge() -> Vec<EdgeMessage> {
    let report = RoomReport {
        room: room(),
        epoch: Epoch(7),
        participants: 2,
        tracks: vec![TrackReport {
            track: track(),
            kind: MediaKind::Audio,
            publisher: participant(),
            name: "Ada".to_owned(),
            packets: 1_000,
        }],
        relays: vec![RelayReport {
            track: track(),
            kind: MediaKind::Video,
            from: edge("mumbai-1"),
            root: edge("tokyo-1"),
            packets: 70_000,
        }],
    };
    vec![
        EdgeMessage::Hello(Registration {
            edge: edge("paris-1"),
            region: region(),
            sfu_endpoint: "https://paris-1.example".to_owned(),
            signal_endpoint: "wss://paris-1.example/v1/signal".to_owned(),
            backbone: "paris-1.example:7409".to_owned(),
            capacity: 1_000,
            software: "0.1.0".to_owned(),
        }),
        EdgeMessage::Heartbeat(Heartbeat {
            participants: 2,
            load_permille: 250,
            links: vec![LinkReport {
                peer: edge("mumbai-1"),
                round_trip_us: 106_000,
                loss_ppm: 500,
                sent_bytes: 1 << 33,
                received_bytes: 12,
            }],
            rooms: vec![report],
        }),
        EdgeMessage::Demand(RoomDemand {
            room: room(),
            participants: 2,
            publishing: true,
        }),
        EdgeMessage::Draining {},
    ]
}

fn from_coordinator() -> Vec<CoordinatorMessage> {
    vec![
        CoordinatorMessage::Welcome {
            mesh: "sluice".to_owned(),
            jwks: "{}".to_owned(),
            heartbeat_ms: 1_000,
            public_url: "https://meet.example".to_owned(),
        },
        CoordinatorMessage::Refuse {
            reason: "no".to_owned(),
        },
        CoordinatorMessage::Jwks {
            jwks: "{}".to_owned(),
        },
        CoordinatorMessage::Directory {
            edges: vec![EdgeAddress {
                edge: edge("paris-1"),
                region: region(),
                backbone: vec!["192.0.2.1:7409".parse().expect("an address")],
                signal_endpoint: "wss://paris-1.example/v1/signal".to_owned(),
            }],
        },
        CoordinatorMessage::Plan(RoomPlan {
            room: room(),
            epoch: Epoch(8),
            trees: vec![RelayTree {
                root: edge("paris-1"),
                branches: vec![Branch {
                    edge: edge("tokyo-1"),
                    parent: edge("paris-1"),
                    backup: Some(edge("mumbai-1")),
                }],
            }],
        }),
        CoordinatorMessage::End {
            room: room(),
            reason: Some(LeaveReason::MeetingEnded),
        },
    ]
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, byte| {
        // Writing to a string cannot fail.
        let _ = write!(text, "{byte:02x}");
        text
    })
}

fn lines<T: Serialize>(of: &str, messages: &[T]) -> Vec<String> {
    let line = |(n, message)| {
        let frame = encode(message).expect("short");
        format!("{of} {n} {}", hex(&frame))
    };
    (0..).zip(messages).map(line).collect()
}

fn understood<T: DeserializeOwned + PartialEq + std::fmt::Debug>(of: &str, messages: &[T]) {
    let recorded = RECORDED.lines().filter_map(|line| {
        let mut words = line.split(' ');
        (words.next() == Some(of)).then(|| words.nth(1).expect("bytes"))
    });
    let mut count = 0;
    for (text, message) in recorded.zip(messages) {
        let byte = |at| u8::from_str_radix(&text[at..at + 2], 16).expect("hex");
        let bytes: Vec<_> = (0..text.len()).step_by(2).map(byte).collect();
        let read = decode::<T>(&mut BytesMut::from(bytes.as_slice())).expect("whole");
        assert_eq!(read.as_ref(), Some(message));
        count += 1;
    }
    assert_eq!(count, messages.len(), "all of {of} are recorded");
}

#[test]
fn what_version_1_said_is_understood_and_said_the_same() {
    let all = [
        lines("backbone", &backbone()),
        lines("edge", &from_edge()),
        lines("coordinator", &from_coordinator()),
    ];
    let said = all.concat().join("\n") + "\n";
    if std::env::var_os("SLUICE_RECORD").is_some() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/golden/v1.txt");
        std::fs::write(path, &said).expect("written");
        return;
    }
    assert_eq!(said, RECORDED);
    understood("backbone", &backbone());
    understood("edge", &from_edge());
    understood("coordinator", &from_coordinator());
}
