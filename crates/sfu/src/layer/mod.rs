//! What a packet says of its frame: where it begins and ends, which layer it is, and what has to be
//! renumbered when frames before it are left out.
//!
//! The dependency descriptor ([`dependency`]) says it best, for any codec and outside of end-to-end
//! encryption. Without it the payload descriptors of VP8 and VP9 say most of it, and H.264 and AV1
//! at least where a key frame begins.

mod av1;
mod bits;
pub mod dependency;
mod h264;
#[cfg(test)]
mod tests;
mod vp8;
mod vp9;

use crate::codec::Codec;

/// The most spatial layers of one track, be they encodings of their own or layers of one.
pub const SPATIAL_MAX: usize = 3;

/// The most temporal layers.
pub const TEMPORAL_MAX: usize = 4;

/// A layer's place: the lowest is 0 in both.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Layer {
    /// Picture size.
    pub spatial: u8,
    /// Picture rate.
    pub temporal: u8,
}

/// A VP8 or VP9 picture id, and where in the payload it stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PictureId {
    /// Position of its first byte in the payload.
    pub at: u8,
    /// 15 bits when `wide`, else 7.
    pub value: u16,
    /// Whether it has two bytes.
    pub wide: bool,
}

/// What in a payload descriptor counts pictures.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Counters {
    /// The picture id.
    pub picture_id: Option<PictureId>,
    /// TL0PICIDX: its position and value.
    pub base_layer_index: Option<(u8, u8)>,
}

/// What a packet says of its frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Unit {
    /// It is the first packet of a frame from which a decoder can start.
    pub key_frame: bool,
    /// It is the first packet of a frame (of its spatial layer); always false when that is not said.
    pub begins: bool,
    /// It is the last packet of a frame (of its spatial layer); always false when that is not said.
    pub ends: bool,
    /// The frame's layer.
    pub layer: Layer,
    /// A receiver of lower temporal layers may take this one in from here on.
    pub temporal_switch: bool,
    /// A receiver of lower spatial layers may take this one in from here on.
    pub spatial_switch: bool,
    /// What counts pictures.
    pub counters: Counters,
    /// Width and height, where a key frame tells them.
    pub size: Option<(u16, u16)>,
}

impl Unit {
    /// Reads the payload of a video packet. What cannot be read is a packet of the lowest layer
    /// with which nothing begins: it goes to everybody, and no switch happens there.
    #[must_use]
    pub fn read(codec: Codec, payload: &[u8]) -> Self {
        match codec {
            Codec::Opus | Codec::RedOpus => Self::default(),
            Codec::Vp8 => vp8::read(payload).unwrap_or_default(),
            Codec::Vp9 => vp9::read(payload).unwrap_or_default(),
            Codec::H264ConstrainedBaseline
            | Codec::H264Baseline
            | Codec::H264Main
            | Codec::H264High => h264::read(payload),
            Codec::Av1 => av1::read(payload),
        }
    }
}
