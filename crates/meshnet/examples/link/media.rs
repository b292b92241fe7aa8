//! What is sent, and what is made of what arrives.

use std::collections::HashMap;
use std::time::Duration;

use tokio::sync::mpsc;
use tokio::time::Instant;

const FRAME: Duration = Duration::from_micros(33_333);
const SOUND: Duration = Duration::from_millis(20);
const VIDEO_BYTES: usize = 1_100;
const AUDIO_BYTES: usize = 120;

/// What is sent over one relay.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Track {
    relay: u32,
    /// 0 sound, 1 to 3 an encoding of a picture.
    class: usize,
    /// Packets of a frame, and of every 90th.
    packets: [u16; 2],
}

/// Two cameras with one encoding each, 30 frames a second, each with sound.
pub(crate) const CALL: &[Track] = &[
    track(0, 1, [7, 25]),
    track(1, 1, [7, 25]),
    track(2, 0, [1, 1]),
    track(3, 0, [1, 1]),
];

/// Two cameras with three encodings each: about 0.26, 0.8 and 2.2 Mbit/s.
pub(crate) const SIMULCAST: &[Track] = &[
    track(0, 1, [1, 3]),
    track(0, 2, [3, 10]),
    track(0, 3, [8, 30]),
    track(1, 1, [1, 3]),
    track(1, 2, [3, 10]),
    track(1, 3, [8, 30]),
    track(2, 0, [1, 1]),
    track(3, 0, [1, 1]),
];

const fn track(relay: u32, class: usize, packets: [u16; 2]) -> Track {
    Track {
        relay,
        class,
        packets,
    }
}

/// A packet of a frame; sound is frames of one packet.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Stamp {
    pub(crate) at_us: u64,
    pub(crate) frame: u32,
    pub(crate) place: u16,
}

/// Where an RTP packet's SSRC ends, which says which encoding it is; what follows is free.
const HEADER: usize = 12;

fn write(stamp: Stamp, class: usize, bytes: usize) -> Vec<u8> {
    let mut packet = vec![0; bytes];
    packet[HEADER - 1] = class.saturating_sub(1) as u8;
    packet[HEADER..HEADER + 8].copy_from_slice(&stamp.at_us.to_be_bytes());
    packet[HEADER + 8..HEADER + 12].copy_from_slice(&stamp.frame.to_be_bytes());
    packet[HEADER + 12..HEADER + 14].copy_from_slice(&stamp.place.to_be_bytes());
    packet
}

pub(crate) fn read(packet: &[u8]) -> Option<Stamp> {
    let rest = packet.get(HEADER..)?;
    Some(Stamp {
        at_us: u64::from_be_bytes(*rest.first_chunk()?),
        frame: u32::from_be_bytes(*rest.get(8..)?.first_chunk()?),
        place: u16::from_be_bytes(*rest.get(12..)?.first_chunk()?),
    })
}

/// A frame on its way out.
pub(crate) struct Frame {
    pub(crate) relay: u32,
    pub(crate) sound: bool,
    pub(crate) packets: Vec<Vec<u8>>,
}

/// When each frame was sent, how many packets it has, and its class.
pub(crate) type Sent = Vec<(u64, u16, usize)>;

/// Sends until `end`; gives what was sent.
pub(crate) async fn send(
    tracks: &[Track],
    started: Instant,
    end: Duration,
    out: mpsc::Sender<Frame>,
) -> Sent {
    let mut sent = Sent::new();
    let first = started + Duration::from_millis(500);
    let mut due: Vec<_> = (0..tracks.len())
        .map(|place| (first + Duration::from_millis(7) * place as u32, place, 0u32))
        .collect();
    loop {
        due.sort();
        let (at, place, count) = due[0];
        if at >= started + end {
            return sent;
        }
        tokio::time::sleep_until(at).await;
        let track = tracks[place];
        let sound = track.class == 0;
        let packets = track.packets[usize::from(count % 90 == 45)];
        let frame = sent.len() as u32;
        let at_us = started.elapsed().as_micros() as u64;
        sent.push((at_us, packets, track.class));
        let bytes = if sound { AUDIO_BYTES } else { VIDEO_BYTES };
        let packets = (0..packets)
            .map(|place| {
                let stamp = Stamp {
                    at_us,
                    frame,
                    place,
                };
                write(stamp, track.class, bytes)
            })
            .collect();
        let frame = Frame {
            relay: track.relay,
            sound,
            packets,
        };
        if out.send(frame).await.is_err() {
            return sent;
        }
        due[0] = (at + if sound { SOUND } else { FRAME }, place, count + 1);
    }
}

/// What arrived of what was sent between two times.
pub(crate) struct Record {
    from_us: u64,
    until_us: u64,
    delays_us: HashMap<(u32, u16), u64>,
}

impl Record {
    pub(crate) fn new(from: Duration, until: Duration) -> Self {
        Self {
            from_us: from.as_micros() as u64,
            until_us: until.as_micros() as u64,
            delays_us: HashMap::new(),
        }
    }

    pub(crate) fn arrived(&mut self, now_us: u64, packet: &[u8]) {
        if let Some(stamp) = read(packet)
            && (self.from_us..self.until_us).contains(&stamp.at_us)
        {
            self.delays_us
                .entry((stamp.frame, stamp.place))
                .or_insert(now_us.saturating_sub(stamp.at_us));
        }
    }

    pub(crate) fn figures(
        &self,
        sent: &Sent,
        one_way: Duration,
        in_time: Duration,
        wire_bytes: u64,
        note: String,
    ) -> Figures {
        let in_time = in_time.as_micros() as u64;
        let (mut packets, mut classes) = ((0u64, 0u64), [(0u64, 0u64); 4]);
        for (frame, &(at_us, count, class)) in sent.iter().enumerate() {
            if !(self.from_us..self.until_us).contains(&at_us) {
                continue;
            }
            let came = (0..count)
                .filter(|place| {
                    let delay = self.delays_us.get(&(frame as u32, *place));
                    delay.is_some_and(|delay| *delay <= in_time)
                })
                .count() as u64;
            packets = (packets.0 + came, packets.1 + u64::from(count));
            let (whole, all) = &mut classes[class];
            *whole += u64::from(came == u64::from(count));
            *all += 1;
        }
        let mut delays: Vec<u64> = self.delays_us.values().copied().collect();
        delays.sort_unstable();
        let at = |share: f64| {
            let place = (delays.len() as f64 * share) as usize;
            let delay = delays.get(place.min(delays.len().saturating_sub(1)));
            delay.map_or(0.0, |delay| {
                (*delay as f64 - one_way.as_micros() as f64) / 1_000.0
            })
        };
        Figures {
            packets: packets.0 as f64 / packets.1.max(1) as f64,
            at_all: delays.len() as f64 / packets.1.max(1) as f64,
            frames: classes.map(|(whole, all)| whole as f64 / all.max(1) as f64),
            pictures: {
                let sum = |of: fn(&(u64, u64)) -> u64| classes[1..].iter().map(of).sum::<u64>();
                sum(|class| class.0) as f64 / sum(|class| class.1).max(1) as f64
            },
            p50_ms: at(0.5),
            p99_ms: at(0.99),
            wire_bytes,
            note,
        }
    }
}

/// Shares of what was sent that arrived in time, and how much later than the link's own delay
/// anything arrived.
pub(crate) struct Figures {
    packets: f64,
    at_all: f64,
    pictures: f64,
    /// Whole frames, by class.
    frames: [f64; 4],
    p50_ms: f64,
    p99_ms: f64,
    pub(crate) wire_bytes: u64,
    pub(crate) note: String,
}

impl Figures {
    pub(crate) fn show(&self) -> String {
        format!(
            "{:.2}, {:.2}, {:.1}; {:.0}, {:.0}",
            self.packets * 100.0,
            self.at_all * 100.0,
            self.pictures * 100.0,
            self.p50_ms,
            self.p99_ms
        )
    }

    pub(crate) fn show_classes(&self) -> String {
        let [sound, low, middle, high] = self.frames.map(|share| share * 100.0);
        format!("{sound:.1} % | {low:.1} % | {middle:.1} % | {high:.1} %")
    }
}
