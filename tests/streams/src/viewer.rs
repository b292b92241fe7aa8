//! What a viewer receives, asks for again, and puts together; nothing here is the edge's own code but
//! the writer of requests.

use std::collections::BTreeMap;

use bytes::Bytes;
use rtc_rtp::Packet;
use rtc_rtp::codec::av1::Av1Depacketizer;
use rtc_rtp::codec::h264::H264Packet;
use rtc_rtp::codec::vp8::Vp8Packet;
use rtc_rtp::codec::vp9::Vp9Packet;
use rtc_rtp::packetizer::Depacketizer;
use rtc_shared::marshal::Unmarshal;

use crate::Format;

/// How long a gap may be mere reordering, and how often it is asked for, in milliseconds.
const PATIENCE: u64 = 30;
const AGAIN: u64 = 40;

/// How often one packet is asked for.
const TRIES_MAX: u32 = 20;

/// A picture as it was put together.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Picture {
    /// Its bytes, for a decoder.
    pub data: Vec<u8>,
    /// The number of its first packet, unrolled.
    pub number: u64,
    /// Its timestamp.
    pub timestamp: u32,
    /// Picture id and TL0PICIDX, where there are any.
    pub counters: Option<(u16, u8)>,
    /// Its temporal layer, where it is told.
    pub temporal: u8,
    /// Whether something before it is missing.
    pub after_gap: bool,
}

/// See the module.
#[derive(Debug)]
pub struct Viewer {
    ssrc: u32,
    payload_types: [u8; 2],
    packets: BTreeMap<u64, Packet>,
    highest: Option<u64>,
    missing: BTreeMap<u64, (u64, u32)>,
    /// Packets that came twice, retransmissions left out.
    pub repeated: usize,
    /// Packets that came by retransmission and filled a gap.
    pub repaired: usize,
}

impl Viewer {
    /// A viewer of one track.
    #[must_use]
    pub const fn new(ssrc: u32, payload_types: [u8; 2]) -> Self {
        Self {
            ssrc,
            payload_types,
            packets: BTreeMap::new(),
            highest: None,
            missing: BTreeMap::new(),
            repeated: 0,
            repaired: 0,
        }
    }

    /// Takes a packet.
    pub fn receive(&mut self, millis: u64, bytes: Vec<u8>) {
        let mut packet = Packet::unmarshal(&mut Bytes::from(bytes)).expect("RTP");
        let [media, repair] = self.payload_types;
        let repairs = packet.header.payload_type == repair;
        if repairs {
            assert_eq!(packet.header.ssrc, self.ssrc + 1);
            let sequence = packet.payload.split_to(2);
            packet.header.sequence_number = u16::from_be_bytes([sequence[0], sequence[1]]);
        } else {
            assert_eq!(
                (packet.header.payload_type, packet.header.ssrc),
                (media, self.ssrc)
            );
        }
        let sequence = packet.header.sequence_number;
        let highest = *self.highest.get_or_insert(1 << 20 | u64::from(sequence));
        let distance = sequence.wrapping_sub(highest as u16) as i16;
        let number = highest.saturating_add_signed(i64::from(distance));
        for gap in highest + 1..number {
            self.missing.insert(gap, (millis + PATIENCE, 0));
        }
        self.highest = Some(highest.max(number));
        let filled = self.missing.remove(&number).is_some();
        if let Some(before) = self.packets.get(&number) {
            assert_eq!(before.payload, packet.payload, "a packet that changed");
            self.repeated += usize::from(!repairs);
            return;
        }
        self.repaired += usize::from(repairs && filled);
        self.packets.insert(number, packet);
    }

    /// What to ask for now.
    pub fn due(&mut self, millis: u64) -> Vec<u64> {
        let mut due = Vec::new();
        for (&number, (at, tries)) in &mut self.missing {
            if *at <= millis && *tries < TRIES_MAX {
                *at = millis + AGAIN;
                *tries += 1;
                due.push(number);
            }
        }
        due
    }

    /// The numbers between the first and the last packet that never came.
    #[must_use]
    pub fn gaps(&self) -> Vec<u64> {
        let Some(((&first, _), (&last, _))) = self
            .packets
            .first_key_value()
            .zip(self.packets.last_key_value())
        else {
            return Vec::new();
        };
        (first..last)
            .filter(|number| !self.packets.contains_key(number))
            .collect()
    }

    /// Every picture of which all packets came.
    #[must_use]
    pub fn pictures(&self, format: Format) -> Vec<Picture> {
        let mut pictures = Vec::new();
        let mut packets = self
            .packets
            .iter()
            .filter(|(_, packet)| !packet.payload.is_empty())
            .peekable();
        // What was the last number of a whole picture, or of padding behind it.
        let mut before = packets.peek().map_or(0, |&(&number, _)| number - 1);
        while let Some(&(&start, first)) = packets.peek() {
            let timestamp = first.header.timestamp;
            let mut group = Vec::new();
            while let Some((&number, packet)) =
                packets.next_if(|(_, packet)| packet.header.timestamp == timestamp)
            {
                group.push((number, packet));
            }
            let is_there = |number: u64| self.packets.contains_key(&number);
            let (end, last) = group[group.len() - 1];
            // Padding within a picture took the place of a part of it.
            let all = group.len() as u64 == end - start + 1;
            let whole = all && last.header.marker && begins(format, first);
            if whole {
                let after_gap = !(before + 1..start).all(is_there);
                before = end;
                let packets = group.iter().map(|(_, packet)| *packet);
                pictures.push(assemble(format, (start, timestamp), after_gap, packets));
            }
        }
        pictures
    }
}

/// Whether the first packet that came of a picture is its first; for H.264 only numbers tell.
fn begins(format: Format, packet: &Packet) -> bool {
    let first = packet.payload.first().copied().unwrap_or(0);
    match format {
        Format::Vp8 => first & 0x10 != 0,
        Format::Vp9 => first & 0x08 != 0,
        Format::H264 => {
            first & 0x1f != 28 || packet.payload.get(1).is_some_and(|fu| fu & 0x80 != 0)
        }
        Format::Av1 => first & 0x80 == 0,
    }
}

fn assemble<'a>(
    format: Format,
    (number, timestamp): (u64, u32),
    after_gap: bool,
    packets: impl Iterator<Item = &'a Packet>,
) -> Picture {
    let mut picture = Picture {
        data: Vec::new(),
        number,
        timestamp,
        counters: None,
        temporal: 0,
        after_gap,
    };
    let (mut h264, mut av1) = (H264Packet::default(), Av1Depacketizer::new());
    for packet in packets {
        let payload = &packet.payload;
        let piece = match format {
            Format::Vp8 => {
                let mut vp8 = Vp8Packet::default();
                let piece = vp8.depacketize(payload).expect("VP8");
                picture.temporal = vp8.tid;
                note(&mut picture, (vp8.picture_id, vp8.tl0_pic_idx));
                piece
            }
            Format::Vp9 => {
                let mut vp9 = Vp9Packet::default();
                let piece = vp9.depacketize(payload).expect("VP9");
                picture.temporal = vp9.tid;
                note(&mut picture, (vp9.picture_id, vp9.tl0picidx));
                piece
            }
            Format::H264 => h264.depacketize(payload).expect("H.264"),
            Format::Av1 => av1.depacketize(payload).expect("AV1"),
        };
        picture.data.extend(piece);
    }
    picture
}

fn note(picture: &mut Picture, counters: (u16, u8)) {
    let before = picture.counters.replace(counters);
    assert!(
        before.is_none_or(|before| before == counters),
        "packets of one picture with {before:?} and {counters:?}"
    );
}
