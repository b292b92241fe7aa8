//! The one place that knows bincode.
//!
//! # Layout
//! A frame is its body's length as a big-endian `u32`, then the body: one format byte ([`FORMAT`])
//! and the message in bincode 2's standard configuration (little-endian, variable-length integers,
//! enum variants by their index as a variable-length `u32`, strings and sequences prefixed with
//! their length). A body is at most [`BODY_BYTES_MAX`] long; a longer one, one with another format
//! byte, one that does not parse and one with bytes left over are errors that end the connection.
//!
//! What may change from version to version: `version.rs`.

use bytes::{Buf, BufMut, Bytes, BytesMut};
use serde::Serialize;
use serde::de::DeserializeOwned;
use thiserror::Error;

/// The layout above.
pub const FORMAT: u8 = 1;

/// The longest body, in bytes: a roster of 5,000 participants with their tracks.
pub const BODY_BYTES_MAX: usize = 4 * 1024 * 1024;

const HEADER_BYTES: usize = 4;

/// Why bytes are not a frame, or a message cannot be one.
#[derive(Debug, Error)]
pub enum CodecError {
    /// The body is longer than allowed.
    #[error("a frame of {bytes} bytes; at most {BODY_BYTES_MAX} are allowed")]
    TooLong {
        /// How long it is, or says to be.
        bytes: usize,
    },
    /// The body is empty.
    #[error("an empty frame; a format byte is needed")]
    Empty,
    /// The format byte is of another version.
    #[error("frame format {found}; only {FORMAT} is known")]
    Format {
        /// The byte.
        found: u8,
    },
    /// The message does not parse.
    #[error("a frame that is no such message: {0}")]
    Decode(#[from] bincode::error::DecodeError),
    /// The message cannot be written.
    #[error("a message that cannot be written: {0}")]
    Encode(#[from] bincode::error::EncodeError),
    /// Bytes follow the message.
    #[error("{bytes} bytes after the message")]
    Trailing {
        /// How many.
        bytes: usize,
    },
}

fn config() -> impl bincode::config::Config {
    bincode::config::standard().with_limit::<BODY_BYTES_MAX>()
}

/// Writes `message` as one frame.
///
/// # Errors
/// When it is longer than [`BODY_BYTES_MAX`].
pub fn encode<T: Serialize>(message: &T) -> Result<Bytes, CodecError> {
    let body = bincode::serde::encode_to_vec(message, bincode::config::standard())?;
    let length = body.len() + 1;
    if length > BODY_BYTES_MAX {
        return Err(CodecError::TooLong { bytes: length });
    }
    let mut frame = BytesMut::with_capacity(HEADER_BYTES + length);
    // The bound above keeps the length far below 2³².
    frame.put_u32(length as u32);
    frame.put_u8(FORMAT);
    frame.put_slice(&body);
    Ok(frame.freeze())
}

/// Takes the first whole frame off `buffer`, or leaves it alone when there is none yet.
///
/// # Errors
/// See [`CodecError`]; the stream is of no use afterwards.
pub fn decode<T: DeserializeOwned>(buffer: &mut BytesMut) -> Result<Option<T>, CodecError> {
    let Some(header) = buffer.first_chunk::<HEADER_BYTES>() else {
        return Ok(None);
    };
    let length = u32::from_be_bytes(*header) as usize;
    if length > BODY_BYTES_MAX {
        return Err(CodecError::TooLong { bytes: length });
    }
    if buffer.len() < HEADER_BYTES + length {
        return Ok(None);
    }
    buffer.advance(HEADER_BYTES);
    let body = buffer.split_to(length);
    let (&format, message) = body.split_first().ok_or(CodecError::Empty)?;
    if format != FORMAT {
        return Err(CodecError::Format { found: format });
    }
    let (value, read) = bincode::serde::decode_from_slice(message, config())?;
    if read != message.len() {
        return Err(CodecError::Trailing {
            bytes: message.len() - read,
        });
    }
    Ok(Some(value))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ids::RelayId;
    use crate::mesh::backbone::BackboneMessage;
    use proptest::prelude::*;

    #[test]
    fn a_frame_is_length_format_and_bincode() {
        let frame = encode(&BackboneMessage::KeyFrame {
            relay: RelayId(7),
            encoding: 0,
        })
        .expect("short");
        assert_eq!(frame.as_ref(), [0, 0, 0, 4, FORMAT, 8, 7, 0]);
    }

    #[test]
    fn frames_come_out_whole_however_they_arrive() {
        let message = BackboneMessage::Unsubscribe {
            relay: RelayId(70_000),
        };
        let frame = encode(&message).expect("short");
        let mut buffer = BytesMut::new();
        for &byte in frame.iter() {
            assert!(matches!(decode::<BackboneMessage>(&mut buffer), Ok(None)));
            buffer.put_u8(byte);
        }
        assert_eq!(decode(&mut buffer).expect("whole"), Some(message));
        assert!(buffer.is_empty());
    }

    #[test]
    fn hostile_frames_are_refused() {
        let refused = |bytes: &[u8]| {
            decode::<BackboneMessage>(&mut BytesMut::from(bytes)).expect_err("refused")
        };
        assert!(matches!(
            refused(&[0xff, 0, 0, 0]),
            CodecError::TooLong { .. }
        ));
        assert!(matches!(refused(&[0, 0, 0, 0]), CodecError::Empty));
        assert!(matches!(
            refused(&[0, 0, 0, 2, 9, 0]),
            CodecError::Format { found: 9 }
        ));
        assert!(matches!(
            refused(&[0, 0, 0, 2, FORMAT, 200]),
            CodecError::Decode(_)
        ));
        assert!(matches!(
            refused(&[0, 0, 0, 4, FORMAT, 7, 7, 7]),
            CodecError::Trailing { bytes: 1 }
        ));
        // A sequence that claims more elements than the limit allows must not be allocated.
        assert!(matches!(
            refused(&[0, 0, 0, 7, FORMAT, 3, 252, 255, 255, 255, 255]),
            CodecError::Decode(_)
        ));
    }

    proptest! {
        #[test]
        fn no_bytes_panic(bytes in proptest::collection::vec(any::<u8>(), 0..400)) {
            let _ = decode::<BackboneMessage>(&mut BytesMut::from(bytes.as_slice()));
        }
    }
}
