//! A WebRTC client that costs little: real ICE, DTLS and SRTP, no codec.

pub(crate) mod publisher;
pub(crate) mod sdp;
pub(crate) mod transport;
pub(crate) mod viewer;

pub use self::publisher::Camera;
pub use self::sdp::SdpError;
pub use self::viewer::StreamReport;
