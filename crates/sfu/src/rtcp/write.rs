use sluice_types::units::Time;

use super::{NtpTime, SenderClock, packet_type, payload_format, transport_format};

/// The SSRC that the edge's own RTCP names as its sender.
const SENDER_SSRC: u32 = 1;

/// The most report blocks in one packet: the count has five bits.
const REPORTS_MAX: usize = 31;

/// Transport feedback counts time in steps of this many microseconds.
const DELTA_MICROS: u64 = 250;

/// Its reference time counts in steps of this many microseconds.
const REFERENCE_MICROS: u64 = 64_000;

/// Symbols in one two-bit status vector chunk.
const SYMBOLS_PER_CHUNK: usize = 7;

/// The most packets that one feedback speaks of, so that it fits in a datagram.
const FEEDBACK_PACKETS_MAX: u64 = 350;

/// How a stream arrives here (RFC 3550, section 6.4.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ReportBlock {
    /// The stream's SSRC.
    pub ssrc: u32,
    /// Lost since the last report, in 256ths.
    pub fraction_lost: u8,
    /// Lost since the start.
    pub total_lost: u32,
    /// The highest sequence number, with the cycles before it in the upper half.
    pub highest: u32,
    /// The jitter, in units of the stream's clock.
    pub jitter: u32,
    /// The middle of the NTP time of the last sender report; 0 before one came.
    pub last_report: u32,
    /// How long ago that came, in 65,536ths of a second.
    pub delay: u32,
}

/// Appends a packet whose body `write` appends; the length is filled in afterwards.
fn part(buffer: &mut Vec<u8>, format: u8, kind: u8, write: impl FnOnce(&mut Vec<u8>)) {
    let start = buffer.len();
    buffer.extend([2 << 6 | format, kind, 0, 0]);
    write(buffer);
    while !(buffer.len() - start).is_multiple_of(4) {
        buffer.push(0);
    }
    // Bodies here stay far below 64 Ki words.
    let words = ((buffer.len() - start) / 4 - 1) as u16;
    buffer[start + 2..start + 4].copy_from_slice(&words.to_be_bytes());
}

fn push(buffer: &mut Vec<u8>, words: &[u32]) {
    for word in words {
        buffer.extend(word.to_be_bytes());
    }
}

/// Appends receiver reports, as many as it takes (RFC 3550, section 6.4.2).
pub fn receiver_report(buffer: &mut Vec<u8>, blocks: &[ReportBlock]) {
    for blocks in blocks.chunks(REPORTS_MAX) {
        part(
            buffer,
            blocks.len() as u8,
            packet_type::RECEIVER_REPORT,
            |body| {
                push(body, &[SENDER_SSRC]);
                for block in blocks {
                    let lost =
                        u32::from(block.fraction_lost) << 24 | block.total_lost.min(0x7f_ffff);
                    push(
                        body,
                        &[
                            block.ssrc,
                            lost,
                            block.highest,
                            block.jitter,
                            block.last_report,
                            block.delay,
                        ],
                    );
                }
            },
        );
    }
}

/// Appends a sender report without reception reports (RFC 3550, section 6.4.1).
pub fn sender_report(
    buffer: &mut Vec<u8>,
    ssrc: u32,
    clock: SenderClock,
    packets: u32,
    bytes: u32,
) {
    let NtpTime(ntp) = clock.ntp;
    part(buffer, 0, packet_type::SENDER_REPORT, |body| {
        push(
            body,
            &[
                ssrc,
                (ntp >> 32) as u32,
                ntp as u32,
                clock.rtp,
                packets,
                bytes,
            ],
        );
    });
}

/// Appends a picture loss indication (RFC 4585, section 6.3.1).
pub fn key_frame_request(buffer: &mut Vec<u8>, ssrc: u32) {
    part(
        buffer,
        payload_format::PICTURE_LOSS,
        packet_type::PAYLOAD_FEEDBACK,
        |body| {
            push(body, &[SENDER_SSRC, ssrc]);
        },
    );
}

/// Appends a request for `missing`, which is sorted (RFC 4585, section 6.2.1).
pub fn nack(buffer: &mut Vec<u8>, ssrc: u32, missing: &[u64]) {
    part(
        buffer,
        transport_format::NACK,
        packet_type::TRANSPORT_FEEDBACK,
        |body| {
            push(body, &[SENDER_SSRC, ssrc]);
            let mut rest = missing;
            while let [first, tail @ ..] = rest {
                let near = tail
                    .iter()
                    .take_while(|&&number| number - first <= 16)
                    .count();
                let following = tail[..near]
                    .iter()
                    .fold(0u16, |bits, number| bits | 1 << (number - first - 1));
                body.extend((*first as u16).to_be_bytes());
                body.extend(following.to_be_bytes());
                rest = &tail[near..];
            }
        },
    );
}

/// Reports `arrivals`, sorted by their unrolled transport-wide sequence number, in one packet, and
/// says how many of them it reported
/// (draft-holmer-rmcat-transport-wide-cc-extensions-01, section 3.1).
pub fn transport_feedback(
    buffer: &mut Vec<u8>,
    ssrc: u32,
    count: u8,
    arrivals: &[(u64, Time)],
) -> usize {
    let Some(&(base, first)) = arrivals.first() else {
        return 0;
    };
    let reference = first.as_micros() / REFERENCE_MICROS;
    let mut clock = reference * REFERENCE_MICROS;
    let mut symbols: Vec<u8> = Vec::new();
    let mut deltas: Vec<u8> = Vec::new();
    let mut reported = 0;
    for &(number, arrival) in arrivals {
        if number - base >= FEEDBACK_PACKETS_MAX {
            break;
        }
        let ticks = (arrival.as_micros() as i64 - clock as i64).div_euclid(DELTA_MICROS as i64);
        let Ok(delta) = i16::try_from(ticks) else {
            break;
        };
        clock = clock.saturating_add_signed(ticks * DELTA_MICROS as i64);
        symbols.resize((number - base) as usize, 0);
        if let Ok(small) = u8::try_from(delta) {
            symbols.push(1);
            deltas.push(small);
        } else {
            symbols.push(2);
            deltas.extend(delta.to_be_bytes());
        }
        reported += 1;
    }
    part(
        buffer,
        transport_format::TRANSPORT_CC,
        packet_type::TRANSPORT_FEEDBACK,
        |body| {
            push(body, &[SENDER_SSRC, ssrc]);
            body.extend((base as u16).to_be_bytes());
            // At most FEEDBACK_PACKETS_MAX.
            body.extend((symbols.len() as u16).to_be_bytes());
            push(
                body,
                &[(reference as u32 & 0xff_ffff) << 8 | u32::from(count)],
            );
            for chunk in symbols.chunks(SYMBOLS_PER_CHUNK) {
                let bits = chunk
                    .iter()
                    .enumerate()
                    .fold(0b11 << 14, |bits, (i, &symbol)| {
                        bits | u16::from(symbol) << (12 - 2 * i)
                    });
                body.extend(bits.to_be_bytes());
            }
            body.extend(&deltas);
        },
    );
    reported
}
