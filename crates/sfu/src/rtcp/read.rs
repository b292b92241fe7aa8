use sluice_types::units::Bitrate;

use super::{
    NtpTime, SenderClock, TransportFeedback, packet_type, payload_format, transport_format,
};

/// Something that an RTCP packet says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Control<'a> {
    /// A sender's clocks.
    SenderReport {
        /// The sender's SSRC.
        ssrc: u32,
        /// Its clocks.
        clock: SenderClock,
    },
    /// How a stream arrives.
    Reception {
        /// The stream's SSRC.
        ssrc: u32,
        /// Lost since the last report, in 256ths.
        fraction_lost: u8,
        /// Lost since the start; late and repeated packets may make it less than nothing.
        total_lost: i32,
        /// The highest sequence number, with the cycles before it in the upper half.
        highest: u32,
        /// The jitter, in units of the stream's clock.
        jitter: u32,
        /// The middle of the NTP time of the last sender report; 0 before one came.
        last_report: u32,
        /// How long ago that came, in 65,536ths of a second.
        delay: u32,
    },
    /// These packets are missing.
    Nack {
        /// The stream's SSRC.
        ssrc: u32,
        /// A missing sequence number.
        first: u16,
        /// Bit n: the sequence number n + 1 after it is missing too.
        following: u16,
    },
    /// A decoder needs a key frame.
    KeyFrameRequest {
        /// The stream's SSRC.
        ssrc: u32,
    },
    /// Which transport-wide sequence numbers arrived.
    TransportFeedback(TransportFeedback<'a>),
    /// What the receiver takes its network to carry (draft-alvestrand-rmcat-remb-03).
    Remb(Bitrate),
}

/// Calls `said` for each thing that a compound or reduced-size packet says and that matters here.
/// A malformed part ends the reading; what came before it counts.
pub fn controls<'a>(mut packet: &'a [u8], mut said: impl FnMut(Control<'a>)) {
    while let [first, kind, high, low, ..] = *packet {
        let length = (usize::from(u16::from_be_bytes([high, low])) + 1) * 4;
        if first >> 6 != 2 || length > packet.len() {
            return;
        }
        let (part, rest) = packet.split_at(length);
        read_part(first & 0x1f, kind, &part[4..], &mut said);
        packet = rest;
    }
}

fn word(bytes: &[u8], at: usize) -> Option<u32> {
    bytes
        .get(at..at + 4)
        .map(|b| u32::from_be_bytes([b[0], b[1], b[2], b[3]]))
}

fn read_part<'a>(
    format: u8,
    kind: u8,
    body: &'a [u8],
    said: &mut impl FnMut(Control<'a>),
) -> Option<()> {
    match (kind, format) {
        (packet_type::SENDER_REPORT, blocks) => {
            let ntp = u64::from(word(body, 4)?) << 32 | u64::from(word(body, 8)?);
            said(Control::SenderReport {
                ssrc: word(body, 0)?,
                clock: SenderClock {
                    ntp: NtpTime(ntp),
                    rtp: word(body, 12)?,
                },
            });
            read_reports(body.get(24..)?, blocks, said)
        }
        (packet_type::RECEIVER_REPORT, blocks) => read_reports(body.get(4..)?, blocks, said),
        (packet_type::TRANSPORT_FEEDBACK, transport_format::NACK) => {
            let ssrc = word(body, 4)?;
            for pair in body.get(8..)?.chunks_exact(4) {
                said(Control::Nack {
                    ssrc,
                    first: u16::from_be_bytes([pair[0], pair[1]]),
                    following: u16::from_be_bytes([pair[2], pair[3]]),
                });
            }
            Some(())
        }
        (packet_type::TRANSPORT_FEEDBACK, transport_format::TRANSPORT_CC) => {
            said(Control::TransportFeedback(TransportFeedback::parse(body)?));
            Some(())
        }
        (packet_type::PAYLOAD_FEEDBACK, payload_format::PICTURE_LOSS) => {
            said(Control::KeyFrameRequest {
                ssrc: word(body, 4)?,
            });
            Some(())
        }
        (packet_type::PAYLOAD_FEEDBACK, payload_format::APPLICATION) => {
            let &[exponent, high, low] = body.get(13..16)? else {
                return None;
            };
            if body.get(8..12)? != b"REMB" {
                return None;
            }
            let mantissa = u64::from(exponent & 3) << 16 | u64::from(high) << 8 | u64::from(low);
            // 18 bits, shifted by at most 63: more than there are means without limit.
            let bps = mantissa
                .checked_mul(1 << (exponent >> 2))
                .unwrap_or(u64::MAX >> 1);
            said(Control::Remb(Bitrate::bps(bps)));
            Some(())
        }
        (packet_type::PAYLOAD_FEEDBACK, payload_format::FULL_INTRA) => {
            for entry in body.get(8..)?.chunks_exact(8) {
                said(Control::KeyFrameRequest {
                    ssrc: word(entry, 0)?,
                });
            }
            Some(())
        }
        _ => None,
    }
}

fn read_reports<'a>(blocks: &'a [u8], count: u8, said: &mut impl FnMut(Control<'a>)) -> Option<()> {
    for block in blocks.chunks_exact(24).take(usize::from(count)) {
        said(Control::Reception {
            ssrc: word(block, 0)?,
            fraction_lost: block[4],
            // 24 bits with a sign.
            total_lost: ((word(block, 4)? << 8) as i32) >> 8,
            highest: word(block, 8)?,
            jitter: word(block, 12)?,
            last_report: word(block, 16)?,
            delay: word(block, 20)?,
        });
    }
    Some(())
}
