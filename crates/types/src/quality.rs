//! How a call went for one participant: what its client and its edge measure, in one set of words.
//!
//! Directions are the participant's own: what it receives comes `in`, what it publishes goes `out`,
//! whoever measured it.

use serde::{Deserialize, Serialize};
use thiserror::Error;

use crate::access::Role;
use crate::ids::{EdgeId, MeetingId, ParticipantId, RegionName, TrackId};
use crate::room::{LeaveReason, MediaKind, TrackSource};

/// How often clients and edges report, in milliseconds.
pub const REPORT_INTERVAL_MS: u32 = 10_000;

/// The shortest time between two reports of one client that are taken, in milliseconds.
pub const REPORT_INTERVAL_MIN_MS: u32 = 1_000;

/// The most tracks in one report.
pub const TRACKS_REPORTED_MAX: usize = 64;

/// The longest name of a layer, in bytes.
pub const LAYER_BYTES_MAX: usize = 24;

/// When each step of a join was done, in milliseconds: since the client set out when the client says
/// so, since its `participant.hello` when its edge does. Absent is what is not done, or not seen from
/// there.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct JoinTimes {
    /// The coordinator let it in. Waiting for a host's word is in it.
    pub admitted_ms: Option<u32>,
    /// Its signalling socket is open.
    pub signalling_ms: Option<u32>,
    /// The edge answered its offer.
    pub answered_ms: Option<u32>,
    /// ICE and DTLS are up.
    pub connected_ms: Option<u32>,
    /// The first packet of another participant reached the client; at the edge, the client's own first.
    pub first_media_ms: Option<u32>,
}

/// What the client's candidate is (RFC 8839, section 5.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum CandidateKind {
    /// An address of its own.
    Host,
    /// What a STUN server saw.
    Srflx,
    /// What the edge saw.
    Prflx,
    /// At a TURN server.
    Relay,
}

impl CandidateKind {
    /// The kind as a metric's label.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Host => "host",
            Self::Srflx => "srflx",
            Self::Prflx => "prflx",
            Self::Relay => "relay",
        }
    }
}

/// What candidates speak.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum CandidateProtocol {
    /// UDP.
    Udp,
    /// TCP; also TLS.
    Tcp,
}

/// The way between a client and its edge.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct NetworkPath {
    /// What the client's candidate is.
    pub kind: CandidateKind,
    /// What it speaks; for a relayed one, between the client and the TURN server.
    pub protocol: CandidateProtocol,
}

/// Whether a track comes to the participant or goes out from it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Direction {
    /// It receives the track.
    In,
    /// It publishes the track.
    Out,
}

/// One track over an interval; of an own track in several encodings, one of them. Absent is what the
/// reporter cannot measure.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TrackQuality {
    /// Whether it comes or goes.
    pub direction: Direction,
    /// The track.
    #[serde(default)]
    pub track_id: Option<TrackId>,
    /// Who publishes it; absent for own tracks.
    #[serde(default)]
    pub participant_id: Option<ParticipantId>,
    /// Sound or pictures.
    pub kind: MediaKind,
    /// Where it comes from at its publisher.
    #[serde(default)]
    pub source: Option<TrackSource>,
    /// Which encoding and layers: as `h`, or `h L1T3`; at most [`LAYER_BYTES_MAX`] bytes.
    #[serde(default)]
    pub layer: Option<String>,
    /// Bits a second.
    #[serde(default)]
    pub bitrate_bps: u32,
    /// Packets lost on the network of a million sent, before any repair.
    #[serde(default)]
    pub loss_ppm: Option<u32>,
    /// Interarrival jitter (RFC 3550, section 6.4.1), in milliseconds.
    #[serde(default)]
    pub jitter_ms: Option<u32>,
    /// How long it waits in the receiver's jitter buffer, in milliseconds.
    #[serde(default)]
    pub playout_ms: Option<u32>,
    /// Pictures a second.
    #[serde(default)]
    pub frame_rate: Option<u16>,
    /// The height of the picture, in pixels.
    #[serde(default)]
    pub height: Option<u16>,
    /// How often the picture froze within the interval.
    #[serde(default)]
    pub freezes: Option<u32>,
    /// For how long altogether, in milliseconds.
    #[serde(default)]
    pub freeze_ms: Option<u32>,
    /// Whether the edge holds it back, since the network cannot carry it.
    #[serde(default)]
    pub paused: bool,
    /// How it sounds, in hundredths of a mean opinion score by the E-model ([`crate::mos`]), 100 to 450;
    /// of received sound alone. Filled in by the coordinator, which knows the whole way.
    #[serde(default)]
    pub mos_centi: Option<u16>,
}

impl TrackQuality {
    /// A track of which nothing was measured yet.
    #[must_use]
    pub const fn new(direction: Direction, kind: MediaKind) -> Self {
        Self {
            direction,
            track_id: None,
            participant_id: None,
            kind,
            source: None,
            layer: None,
            bitrate_bps: 0,
            loss_ppm: None,
            jitter_ms: None,
            playout_ms: None,
            frame_rate: None,
            height: None,
            freezes: None,
            freeze_ms: None,
            paused: false,
            mos_centi: None,
        }
    }
}

/// A participant's call over an interval.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct QualityReport {
    /// Over how long it was measured, in milliseconds.
    pub interval_ms: u32,
    /// To the other end of the client's connection and back, in milliseconds.
    #[serde(default)]
    pub round_trip_ms: Option<u32>,
    /// What the network is taken to carry, in bits a second: up when the client says so, down when its
    /// edge does.
    #[serde(default)]
    pub available_bps: Option<u32>,
    /// The way that media takes.
    #[serde(default)]
    pub network: Option<NetworkPath>,
    /// When the steps of the join were done; in a session's first reports.
    #[serde(default)]
    pub join: Option<JoinTimes>,
    /// Its tracks, at most [`TRACKS_REPORTED_MAX`].
    #[serde(default)]
    pub tracks: Vec<TrackQuality>,
}

/// Why a client's report is not taken.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum ReportError {
    /// It has too many tracks.
    #[error("`tracks` has {found} entries; at most {TRACKS_REPORTED_MAX} are allowed")]
    Tracks {
        /// How many.
        found: usize,
    },
    /// A layer's name is too long.
    #[error("`tracks[{index}].layer` has {found} bytes; at most {LAYER_BYTES_MAX} are allowed")]
    Layer {
        /// Of which track.
        index: usize,
        /// How long it is.
        found: usize,
    },
}

impl QualityReport {
    /// Whether a client's report keeps to its bounds.
    ///
    /// # Errors
    /// See [`ReportError`].
    pub fn check(&self) -> Result<(), ReportError> {
        if self.tracks.len() > TRACKS_REPORTED_MAX {
            return Err(ReportError::Tracks {
                found: self.tracks.len(),
            });
        }
        for (index, track) in self.tracks.iter().enumerate() {
            let found = track.layer.as_ref().map_or(0, String::len);
            if found > LAYER_BYTES_MAX {
                return Err(ReportError::Layer { index, found });
            }
        }
        Ok(())
    }

    /// The share of packets lost of all tracks of a direction, in millionths, by what each track is
    /// taken to have sent; `None` when nothing of it was measured.
    #[must_use]
    pub fn loss_ppm(&self, direction: Direction) -> Option<u32> {
        let (mut lost, mut sent) = (0, 0);
        for track in self.tracks.iter().filter(|t| t.direction == direction) {
            if let Some(loss) = track.loss_ppm {
                // A silent track lost nothing worth counting, but it was measured.
                let weight = u64::from(track.bitrate_bps).max(1);
                lost += u64::from(loss) * weight;
                sent += weight;
            }
        }
        lost.checked_div(sent)
            .map(|ppm| u32::try_from(ppm).unwrap_or(u32::MAX))
    }

    /// The worst score of its sounds, in hundredths.
    #[must_use]
    pub fn worst_mos_centi(&self) -> Option<u16> {
        self.tracks.iter().filter_map(|track| track.mos_centi).min()
    }
}

/// Who measured.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Reporter {
    /// The participant's client.
    Client,
    /// Its edge.
    Edge,
}

/// A report on its way to the coordinator.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct QualitySample {
    /// The room.
    pub room: MeetingId,
    /// Whose call.
    pub participant: ParticipantId,
    /// When the edge had it, in milliseconds since 1970.
    pub at_ms: u64,
    /// Who measured.
    pub by: Reporter,
    /// What.
    pub report: QualityReport,
}

/// Somebody who is at an edge.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Attendee {
    /// Who.
    pub participant: ParticipantId,
    /// The name that others see.
    pub name: String,
    /// Its part in the meeting.
    pub role: Role,
    /// When it joined there, in milliseconds since 1970.
    pub joined_at_ms: u64,
}

/// Who came to an edge's part of a room, and who went.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum AttendanceChange {
    /// Somebody came.
    Joined(Attendee),
    /// Somebody went.
    Left {
        /// Who.
        participant: ParticipantId,
        /// Why.
        reason: LeaveReason,
        /// When, in milliseconds since 1970.
        at_ms: u64,
    },
}

/// An edge's part of a room changed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Attendance {
    /// The room.
    pub room: MeetingId,
    /// Whether all who are there are among `changes`: whoever is not has gone.
    pub whole: bool,
    /// What changed, in its order.
    pub changes: Vec<AttendanceChange>,
}

/// A point on a participant's timeline.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TimedReport {
    /// When, in milliseconds since 1970.
    pub at_ms: u64,
    /// Who measured.
    pub by: Reporter,
    /// What.
    pub report: QualityReport,
}

/// A participant's time at one edge.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Stay {
    /// The edge.
    pub edge: EdgeId,
    /// Its region.
    pub region: RegionName,
    /// From when, in milliseconds since 1970.
    pub joined_at_ms: u64,
    /// Until when; absent while it lasts.
    pub left_at_ms: Option<u64>,
    /// Why it ended.
    pub reason: Option<LeaveReason>,
}

/// How a call went for one participant.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ParticipantQuality {
    /// Who.
    pub participant_id: ParticipantId,
    /// The name that others see; empty when it is not known.
    pub name: String,
    /// Its part in the meeting.
    pub role: Option<Role>,
    /// Where it was, in order.
    pub stays: Vec<Stay>,
    /// What was measured, in order.
    pub reports: Vec<TimedReport>,
}

/// How a meeting went.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct MeetingQuality {
    /// The meeting.
    pub meeting_id: MeetingId,
    /// The model behind `mos_centi`.
    pub mos_model: String,
    /// Of the reports of each participant and reporter within so many milliseconds the worst is shown;
    /// 0 when all are.
    pub resolution_ms: u64,
    /// Everybody who was in, in order of coming.
    pub participants: Vec<ParticipantQuality>,
}

/// What [`MeetingQuality::mos_model`] says.
pub const MOS_MODEL: &str = "ITU-T G.107 (E-model), of received sound";

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mesh::codec;
    use bytes::BytesMut;

    fn track(direction: Direction, bitrate_bps: u32, loss_ppm: Option<u32>) -> TrackQuality {
        TrackQuality {
            bitrate_bps,
            loss_ppm,
            ..TrackQuality::new(direction, MediaKind::Audio)
        }
    }

    #[test]
    fn loss_is_weighed_by_what_was_sent() {
        let report = QualityReport {
            tracks: vec![
                track(Direction::In, 900_000, Some(0)),
                track(Direction::In, 100_000, Some(100_000)),
                track(Direction::Out, 100_000, Some(500_000)),
            ],
            ..QualityReport::default()
        };
        assert_eq!(report.loss_ppm(Direction::In), Some(10_000));
        assert_eq!(report.loss_ppm(Direction::Out), Some(500_000));
        assert_eq!(QualityReport::default().loss_ppm(Direction::In), None);
    }

    #[test]
    fn a_report_beyond_its_bounds_is_refused_by_name() {
        let mut report = QualityReport {
            tracks: vec![track(Direction::In, 0, None); TRACKS_REPORTED_MAX],
            ..QualityReport::default()
        };
        assert_eq!(report.check(), Ok(()));
        report.tracks[3].layer = Some("x".repeat(LAYER_BYTES_MAX + 1));
        let error = report.check().expect_err("too long").to_string();
        assert!(error.contains("tracks[3].layer"), "{error}");
        report.tracks.push(track(Direction::In, 0, None));
        assert_eq!(report.check(), Err(ReportError::Tracks { found: 65 }));
    }

    #[test]
    fn a_report_travels_between_an_edge_and_the_coordinator() {
        let report = QualityReport {
            network: Some(NetworkPath {
                kind: CandidateKind::Relay,
                protocol: CandidateProtocol::Tcp,
            }),
            tracks: vec![track(Direction::In, 7, Some(3))],
            ..QualityReport::default()
        };
        let mut frame = BytesMut::from(&*codec::encode(&report).expect("short"));
        let read: Option<QualityReport> = codec::decode(&mut frame).expect("whole");
        assert_eq!(read, Some(report));
    }
}
