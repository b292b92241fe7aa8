//! Redundant audio (RFC 2198): earlier packets repeated before each one.
//!
//! Each block's header names its payload type, so what is passed on has to name the receiver's; a
//! receiver without RED gets the newest block alone.

/// The longest payload that is rewritten, in bytes: three Opus packets at the highest bitrate.
pub const PAYLOAD_BYTES_MAX: usize = 1_400;

/// The follow bit of a block header, and how long such a header is.
const FOLLOWS: u8 = 0x80;
const HEADER_BYTES: usize = 4;

/// Copies `payload` into `buffer` with `payload_type` as every block's.
pub fn renumbered<'a>(
    payload: &[u8],
    payload_type: u8,
    buffer: &'a mut [u8; PAYLOAD_BYTES_MAX],
) -> Option<&'a [u8]> {
    let copy = buffer.get_mut(..payload.len())?;
    copy.copy_from_slice(payload);
    let mut at = 0;
    loop {
        let header = copy.get_mut(at)?;
        let follows = *header & FOLLOWS;
        *header = follows | payload_type & 0x7f;
        if follows == 0 {
            return Some(copy);
        }
        at += HEADER_BYTES;
    }
}

/// The newest block of `payload`.
pub fn primary(payload: &[u8]) -> Option<&[u8]> {
    let (mut at, mut before) = (0, 0);
    while payload.get(at)? & FOLLOWS != 0 {
        let header = payload.get(at..at + HEADER_BYTES)?;
        before += usize::from(header[2] & 3) << 8 | usize::from(header[3]);
        at += HEADER_BYTES;
    }
    payload.get(at + 1 + before..)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Two blocks of three and two bytes before the newest.
    const REDUNDANT: [u8; 17] = [0xef, 0, 0, 3, 0xef, 0, 0, 2, 0x6f, 1, 1, 1, 2, 2, 9, 9, 9];

    #[test]
    fn blocks_get_the_receivers_number_and_the_newest_is_found() {
        let mut buffer = [0; PAYLOAD_BYTES_MAX];
        let mut expected = REDUNDANT;
        for header in [0, 4] {
            expected[header] = 0x80 | 63;
        }
        expected[8] = 63;
        assert_eq!(renumbered(&REDUNDANT, 63, &mut buffer), Some(&expected[..]));
        assert_eq!(primary(&REDUNDANT), Some(&[9, 9, 9][..]));
        assert_eq!(primary(&[0x6f, 5]), Some(&[5][..]));
    }

    proptest! {
        #[test]
        fn no_bytes_panic(bytes in proptest::collection::vec(any::<u8>(), 0..100)) {
            let _ = primary(&bytes);
            let _ = renumbered(&bytes, 0, &mut [0; PAYLOAD_BYTES_MAX]);
        }
    }
}
