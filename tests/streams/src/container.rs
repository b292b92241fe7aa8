//! IVF files, H.264 byte streams and AV1's units.

/// A header of IVF, and one of a frame in it, in bytes.
const FILE_HEADER_BYTES: usize = 32;
const FRAME_HEADER_BYTES: usize = 12;

/// The frames of an IVF file.
#[must_use]
pub fn read_ivf(file: &[u8]) -> Vec<Vec<u8>> {
    let mut frames = Vec::new();
    let mut rest = file.get(FILE_HEADER_BYTES..).unwrap_or_default();
    while let Some((length, _)) = rest.split_first_chunk::<4>() {
        let end = FRAME_HEADER_BYTES + u32::from_le_bytes(*length) as usize;
        let Some(frame) = rest.get(FRAME_HEADER_BYTES..end) else {
            break;
        };
        frames.push(frame.to_vec());
        rest = &rest[end..];
    }
    frames
}

/// An IVF file of frames, a thirtieth of a second each.
pub fn write_ivf<'a>(four_cc: &[u8; 4], frames: impl IntoIterator<Item = &'a [u8]>) -> Vec<u8> {
    let mut file = Vec::from(*b"DKIF\0\0\x20\0");
    file.extend(four_cc);
    // Width and height, which decoders read from the frames; then 30 frames a second.
    file.extend([0; 4]);
    for word in [30u32, 1, 0, 0] {
        file.extend(word.to_le_bytes());
    }
    for (n, frame) in (0u64..).zip(frames) {
        file.extend((frame.len() as u32).to_le_bytes());
        file.extend(n.to_le_bytes());
        file.extend(frame);
    }
    file
}

/// The NAL units of a byte stream with start codes (ITU-T H.264, appendix B).
#[must_use]
pub fn nal_units(stream: &[u8]) -> Vec<&[u8]> {
    let starts: Vec<_> = stream
        .windows(3)
        .enumerate()
        .filter(|(_, window)| *window == [0, 0, 1])
        .map(|(at, _)| at)
        .collect();
    let ends = starts.iter().skip(1).copied().chain([stream.len()]);
    starts
        .iter()
        .zip(ends)
        .map(|(&start, end)| {
            let unit = &stream[start + 3..end];
            let length = unit
                .iter()
                .rposition(|&byte| byte != 0)
                .map_or(0, |n| n + 1);
            &unit[..length]
        })
        .filter(|unit| !unit.is_empty())
        .collect()
}

/// The type of an H.264 NAL unit that ends the access unit before it.
const ACCESS_UNIT_DELIMITER: u8 = 9;

/// The access units of a byte stream in which delimiters stand between them; the delimiters are left
/// out.
#[must_use]
pub fn access_units(stream: &[u8]) -> Vec<Vec<u8>> {
    let mut units: Vec<Vec<u8>> = Vec::new();
    for nal in nal_units(stream) {
        if nal[0] & 0x1f == ACCESS_UNIT_DELIMITER {
            units.push(Vec::new());
        } else if let Some(unit) = units.last_mut() {
            unit.extend([0, 0, 0, 1]);
            unit.extend(nal);
        }
    }
    units
}

/// A number of seven bits a byte, the lowest first (the AV1 specification, section 4.10.5).
pub fn write_leb128(mut number: usize, to: &mut Vec<u8>) {
    while number >= 0x80 {
        to.push((number & 0x7f) as u8 | 0x80);
        number >>= 7;
    }
    to.push(number as u8);
}

fn read_leb128(bytes: &[u8]) -> Option<(usize, usize)> {
    let mut number = 0;
    for (n, &byte) in bytes.iter().take(8).enumerate() {
        number |= usize::from(byte & 0x7f) << (7 * n);
        if byte & 0x80 == 0 {
            return Some((number, n + 1));
        }
    }
    None
}

/// Types of AV1's open bitstream units.
pub const SEQUENCE_HEADER: u8 = 1;
const TEMPORAL_DELIMITER: u8 = 2;

/// A temporal delimiter, which begins each unit in a file and is not sent over RTP.
pub const DELIMITER: [u8; 2] = [0x12, 0];

/// The units of one temporal unit without their size fields, and without delimiters.
#[must_use]
pub fn open_units(temporal_unit: &[u8]) -> Vec<Vec<u8>> {
    let mut units = Vec::new();
    let mut rest = temporal_unit;
    while let Some(&header) = rest.first() {
        let header_bytes = if header & 4 == 0 { 1 } else { 2 };
        let (length, field) = if header & 2 == 0 {
            (rest.len() - header_bytes, 0)
        } else {
            let Some(found) = rest.get(header_bytes..).and_then(read_leb128) else {
                break;
            };
            found
        };
        let start = header_bytes + field;
        let Some(payload) = rest.get(start..start + length) else {
            break;
        };
        if header >> 3 & 0x0f != TEMPORAL_DELIMITER {
            let mut unit = vec![header & !2];
            unit.extend(&rest[1..header_bytes]);
            unit.extend(payload);
            units.push(unit);
        }
        rest = &rest[start + length..];
    }
    units
}
