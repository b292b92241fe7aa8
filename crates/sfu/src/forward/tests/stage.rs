//! A publisher of simulcast with temporal layers, and what its viewer got, read without the forwarder's code.

use std::collections::{BTreeMap, BTreeSet};

use sluice_types::signal::{Priority, Wish};

use super::*;

pub(super) const ENCODINGS: usize = 3;
pub(super) const PACKETS_PER_FRAME: u16 = 2;

/// The frames of one encoding: three temporal layers in the order 0 2 1 2.
#[derive(Clone)]
struct Encoder {
    place: u8,
    frame: u16,
    since_key: u16,
    sequence: u16,
    base_layer_index: u8,
}

/// One packet as it was made.
#[derive(Clone, Debug)]
pub(super) struct Made {
    pub(super) ssrc: u32,
    sequence: u16,
    timestamp: u32,
    marker: bool,
    pub(super) payload: Vec<u8>,
}

impl Encoder {
    fn new(place: u8) -> Self {
        let odd = u16::from(place) * 977;
        Self {
            place,
            frame: 32_760 - odd,
            since_key: 0,
            sequence: 65_500 - odd,
            base_layer_index: 250 - place,
        }
    }

    /// The packets of the next frame, in the picture of number `picture`.
    fn next(&mut self, picture: u64, key: bool) -> Vec<Made> {
        if key {
            self.since_key = 0;
        }
        let temporal = [0, 2, 1, 2][usize::from(self.since_key % 4)];
        // The first frame of a layer after a base frame needs that alone.
        let syncs = matches!(self.since_key % 4, 1 | 2);
        if temporal == 0 {
            self.base_layer_index = self.base_layer_index.wrapping_add(1);
        }
        let [high, low] = (self.frame & 0x7fff).to_be_bytes();
        let packets = (0..PACKETS_PER_FRAME)
            .map(|part| {
                let begins = if part == 0 { 0x90 } else { 0x80 };
                let delta = u8::from(!key);
                let [n, m] = self.frame.to_be_bytes();
                let payload = vec![
                    begins,
                    0xf0,
                    high | 0x80,
                    low,
                    self.base_layer_index,
                    temporal << 6 | u8::from(syncs) << 5,
                    delta,
                    self.place,
                    n,
                    m,
                    part as u8,
                    temporal,
                    // Which frame of its group it is.
                    (self.since_key % 4) as u8,
                ];
                self.sequence = self.sequence.wrapping_add(1);
                Made {
                    ssrc: 100 + u32::from(self.place),
                    sequence: self.sequence,
                    timestamp: (picture as u32)
                        .wrapping_mul(3_000)
                        .wrapping_add(u32::from(self.place) * 1_000_000_007),
                    marker: part + 1 == PACKETS_PER_FRAME,
                    payload,
                }
            })
            .collect();
        self.frame = self.frame.wrapping_add(1);
        self.since_key += 1;
        packets
    }
}

pub(super) struct Stage {
    pub(super) forwarder: Forwarder,
    pub(super) sent: Sent,
    publisher: PeerId,
    pub(super) viewer: PeerId,
    pub(super) sink: SinkId,
    encoders: Vec<Encoder>,
    picture: u64,
}

pub(super) fn stage() -> Stage {
    let (mut forwarder, mut sent) = (Forwarder::default(), Sent::default());
    let publisher = forwarder.add_peer(formats(PUBLISHER));
    let viewer = forwarder.add_peer(formats(VIEWER));
    let encodings = (0..ENCODINGS as u32)
        .map(|n| AnnouncedEncoding {
            rid: None,
            ssrc: Some(100 + n),
            retransmission_ssrc: None,
        })
        .collect();
    let origin = Origin::Peer {
        peer: publisher,
        encodings,
        mid: b"1"[..].into(),
        repairs: true,
    };
    let source = forwarder.add_source(CAMERA, origin);
    let target = Target::Peer {
        peer: viewer,
        ssrc: SINK_SSRC,
        retransmission_ssrc: Some(SINK_SSRC + 1),
    };
    let sink = forwarder
        .add_sink(Time::ZERO, source, target, &mut sent)
        .expect("both are there");
    Stage {
        forwarder,
        sent,
        publisher,
        viewer,
        sink,
        encoders: (0..ENCODINGS as u8).map(Encoder::new).collect(),
        picture: 0,
    }
}

impl Stage {
    pub(super) fn now(&self) -> Time {
        Time::from_micros(self.picture * 33_333)
    }

    /// Makes one picture in all encodings; a key frame where one was asked for.
    pub(super) fn picture(&mut self) -> Vec<Made> {
        let asked: Vec<_> = self
            .sent
            .controls(self.publisher)
            .iter()
            .filter_map(|control| match control {
                Control::KeyFrameRequest { ssrc } => Some(*ssrc),
                _ => None,
            })
            .collect();
        self.sent.control.clear();
        let picture = self.picture;
        self.picture += 1;
        self.encoders
            .iter_mut()
            .flat_map(|encoder| {
                let key = picture == 0 || asked.contains(&(100 + u32::from(encoder.place)));
                encoder.next(picture, key)
            })
            .collect()
    }

    pub(super) fn deliver(&mut self, made: &Made) {
        let packet = bytes(&Outgoing {
            marker: made.marker,
            payload_type: PUBLISHER + 1,
            index: u64::from(made.sequence),
            timestamp: made.timestamp,
            ssrc: made.ssrc,
            extensions: &ExtensionBlock::default(),
            original_sequence: None,
            payload: &made.payload,
            counters: Counters::default(),
            padding: 0,
        });
        let now = self.now();
        self.forwarder
            .handle_media(now, self.publisher, &packet, &mut self.sent);
    }

    pub(super) fn tick(&mut self) {
        let now = self.now();
        self.forwarder.handle_timeout(now, &mut self.sent);
    }

    pub(super) fn wish(&mut self, height: u16, frame_rate: u8) {
        let wish = Wish {
            height: Some(height),
            frame_rate: Some(frame_rate),
            priority: Priority::Normal,
            ..Wish::default()
        };
        let now = self.now();
        self.forwarder
            .set_wish(now, self.sink, Some(wish), &mut self.sent);
    }

    /// What the viewer got so far, by its index.
    pub(super) fn received(&self) -> BTreeMap<u64, Got> {
        self.sent
            .media
            .iter()
            .map(|(_, index, packet)| {
                let header = Header::parse(packet, &formats(VIEWER).extensions).expect("RTP");
                (*index, Got::read(&header, header.payload(packet)))
            })
            .collect()
    }
}

/// A packet at the viewer, read without any of the forwarder's own code.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Got {
    timestamp: u32,
    marker: bool,
    pub(super) padding: bool,
    begins: bool,
    picture_id: u16,
    base_layer_index: u8,
    key: bool,
    pub(super) encoding: u8,
    pub(super) frame: u16,
    part: u8,
    pub(super) temporal: u8,
    place: u8,
}

impl Got {
    pub(super) fn read(header: &Header, payload: &[u8]) -> Self {
        let at = |n: usize| payload.get(n).copied().unwrap_or(0);
        Self {
            timestamp: header.timestamp,
            marker: header.marker,
            padding: payload.is_empty(),
            begins: at(0) & 0x10 != 0,
            picture_id: u16::from_be_bytes([at(2) & 0x7f, at(3)]),
            base_layer_index: at(4),
            key: at(6) == 0,
            encoding: at(7),
            frame: u16::from_be_bytes([at(8), at(9)]),
            part: at(10),
            temporal: at(11),
            place: at(12),
        }
    }

    /// The frames that it needs, as distances back in its encoding.
    pub(super) fn needs(&self) -> &'static [u16] {
        match (self.key, self.place) {
            (true, _) => &[],
            (_, 0) => &[4],
            (_, 1) => &[1],
            (_, 2) => &[2],
            _ => &[1, 2],
        }
    }
}

/// Plays what came, in the order of its numbers, and says what is wrong with it. `complete` when
/// nothing was lost: then no number may be missing.
pub(super) fn play(
    received: &BTreeMap<u64, Got>,
    complete: bool,
) -> Result<BTreeSet<(u8, u8)>, String> {
    let mut whole: BTreeSet<(u8, u16)> = BTreeSet::new();
    let mut seen = BTreeSet::new();
    let mut before: Option<(u64, Got)> = None;
    let mut parts = 0;
    for (&index, got) in received.iter().filter(|(_, got)| !got.padding) {
        if let Some((last_index, last)) = &before {
            if complete && index != last_index + 1 {
                return Err(format!("{index} after {last_index}"));
            }
            let same_frame = (last.encoding, last.frame) == (got.encoding, got.frame);
            if same_frame != (last.timestamp == got.timestamp) {
                return Err(format!("timestamps of {last:?} and {got:?}"));
            }
            if (got.timestamp.wrapping_sub(last.timestamp) as i32) < 0 {
                return Err(format!("time runs backwards from {last:?} to {got:?}"));
            }
            let step = got.picture_id.wrapping_sub(last.picture_id) & 0x7fff;
            if same_frame && step != 0 || !same_frame && (step == 0 || complete && step != 1) {
                return Err(format!("picture ids of {last:?} and {got:?}"));
            }
            if complete && !same_frame {
                let step = got.base_layer_index.wrapping_sub(last.base_layer_index);
                if step != u8::from(got.temporal == 0) {
                    return Err(format!("base layer indices of {last:?} and {got:?}"));
                }
            }
        }
        if got.begins {
            parts = 0;
        }
        parts += 1;
        if got.marker && parts == PACKETS_PER_FRAME {
            let missing =
                |back: &&u16| !whole.contains(&(got.encoding, got.frame.wrapping_sub(**back)));
            if let (true, Some(back)) = (complete, got.needs().iter().find(missing)) {
                return Err(format!("{got:?} needs the frame {back} before"));
            }
            whole.insert((got.encoding, got.frame));
            seen.insert((got.encoding, got.temporal));
        }
        before = Some((index, got.clone()));
    }
    Ok(seen)
}
