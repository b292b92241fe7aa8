//! Real streams for tests: ffmpeg encodes them, [`packetize`] makes RTP of them as browsers do,
//! [`call`] takes them through the forwarder over lossy links, and [`viewer`] puts together what comes
//! out, which ffmpeg decodes.
//!
//! What comes out is read by `rtc-rtp`, which knows nothing of our own code.

pub mod call;
pub mod container;
pub mod descriptor;
pub mod ffmpeg;
pub mod link;
pub mod packetize;
pub mod publisher;
pub mod random;
pub mod viewer;

use std::ops::Range;

/// A picture as an encoder made it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Frame {
    /// Its bytes: a VP8 or VP9 frame, an AV1 temporal unit, or an H.264 access unit with start codes.
    pub data: Vec<u8>,
    /// Whether a decoder can start here.
    pub key: bool,
    /// Its temporal layer.
    pub temporal: u8,
}

/// A codec, as the encoders here are told it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// VP8 in three temporal layers.
    Vp8,
    /// VP9 in three temporal layers.
    Vp9,
    /// H.264, constrained baseline, in two slices a picture.
    H264,
    /// AV1.
    Av1,
}

/// Which pictures of three temporal layers in the order 0 2 1 2 are of which layer, counted from the
/// stream's first picture.
#[must_use]
pub const fn temporal_layer(picture: usize) -> u8 {
    [0, 2, 1, 2][picture % 4]
}

/// Pictures from one key frame to the next.
pub const KEY_FRAME_EVERY: usize = 16;

/// Pieces of at most `most` bytes of `length`, as even as can be.
pub(crate) fn pieces(length: usize, most: usize) -> impl Iterator<Item = Range<usize>> {
    let count = length.div_ceil(most).max(1);
    (0..count).map(move |n| length * n / count..length * (n + 1) / count)
}
