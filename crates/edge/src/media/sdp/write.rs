use std::fmt::Write;
use std::net::SocketAddr;

use sluice_types::room::{DATA_BYTES_MAX, MediaKind};

use super::{Fingerprint, Format, KindFormats};
use crate::media::data::SCTP_PORT;
use crate::media::ice::LocalCredentials;

/// ICE type preference of a host candidate (RFC 8445, section 5.1.2.1), as the upper byte of its
/// priority; the component is always 1.
const HOST_PREFERENCE: u32 = 126 << 24;

/// Where in the local preference UDP stands above TCP (RFC 6544, section 4.2).
const UDP_PREFERENCE: u32 = 65_535 << 8;
const TCP_PREFERENCE: u32 = 16_383 << 8;

/// What all m-lines share, since they are bundled.
#[derive(Clone)]
pub(crate) struct Transport<'a> {
    pub(crate) credentials: &'a LocalCredentials,
    pub(crate) fingerprint: Fingerprint,
    /// UDP addresses of the participant's worker, as clients reach it.
    pub(crate) udp: &'a [SocketAddr],
    /// ICE-TCP addresses, likewise.
    pub(crate) tcp: &'a [SocketAddr],
}

/// What the edge sends on an m-line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct SendStream {
    pub(crate) ssrc: u32,
    pub(crate) retransmission_ssrc: Option<u32>,
    /// The `a=msid` stream: the publisher, so that its tracks play in step.
    pub(crate) stream: String,
    /// The `a=msid` track.
    pub(crate) track: String,
}

/// What an m-line is, as the edge describes it.
pub(crate) enum LocalMedia<'a> {
    /// Not passed through.
    Rejected {
        /// The media type as the client named it.
        name: &'a str,
        /// Its protocol.
        protocol: &'a str,
    },
    /// Data channels (RFC 8841).
    Data,
    /// Sound or pictures.
    Active {
        kind: MediaKind,
        formats: &'a KindFormats,
        /// The edge receives on it.
        receives: bool,
        /// The simulcast encodings that it receives, the lowest first; empty without simulcast.
        rids: &'a [String],
        /// The edge sends this on it.
        sends: Option<&'a SendStream>,
    },
}

const RTP_PROTOCOL: &str = "UDP/TLS/RTP/SAVPF";

const fn name_of(kind: MediaKind) -> &'static str {
    match kind {
        MediaKind::Audio => "audio",
        MediaKind::Video => "video",
    }
}

impl LocalMedia<'_> {
    /// Type and protocol of an m-line that is turned down. One without a common format is: it could
    /// not even be written (RFC 3264, section 6).
    fn rejected(&self) -> Option<(&str, &str)> {
        match self {
            Self::Rejected { name, protocol } => Some((name, protocol)),
            Self::Active { kind, formats, .. } if formats.formats.is_empty() => {
                Some((name_of(*kind), RTP_PROTOCOL))
            }
            Self::Data | Self::Active { .. } => None,
        }
    }
}

/// A description being written.
pub(crate) struct Description<'a> {
    /// The session id, the same for all descriptions of a session.
    pub(crate) session: u64,
    /// Rises with each description.
    pub(crate) version: u64,
    /// Whether it is an offer.
    pub(crate) offer: bool,
    pub(crate) transport: Transport<'a>,
    /// Every m-line with its identification tag.
    pub(crate) media: Vec<(&'a str, LocalMedia<'a>)>,
}

impl Description<'_> {
    /// The description as text (RFC 8829, section 5.2.1 and 5.3.1).
    pub(crate) fn text(&self) -> String {
        let mut sdp = Sdp(String::with_capacity(4_096));
        sdp.line(format_args!("v=0"));
        sdp.line(format_args!(
            "o=sluice {} {} IN IP4 0.0.0.0",
            self.session, self.version
        ));
        sdp.line(format_args!("s=-"));
        sdp.line(format_args!("t=0 0"));
        sdp.line(format_args!("a=ice-lite"));
        sdp.line(format_args!("a=extmap-allow-mixed"));
        sdp.line(format_args!("a=msid-semantic: WMS *"));
        let bundled: Vec<_> = self
            .media
            .iter()
            .filter(|(_, media)| media.rejected().is_none())
            .map(|&(mid, _)| mid)
            .collect();
        sdp.line(format_args!("a=group:BUNDLE {}", bundled.join(" ")));
        for (mid, media) in &self.media {
            if let Some((name, protocol)) = media.rejected() {
                sdp.line(format_args!("m={name} 0 {protocol} 0"));
                sdp.line(format_args!("c=IN IP4 0.0.0.0"));
                sdp.line(format_args!("a=mid:{mid}"));
                sdp.line(format_args!("a=inactive"));
                continue;
            }
            match media {
                LocalMedia::Rejected { .. } => {}
                LocalMedia::Data => self.data(&mut sdp, mid),
                LocalMedia::Active {
                    kind,
                    formats,
                    receives,
                    rids,
                    sends,
                } => {
                    self.active(&mut sdp, mid, *kind, formats, *receives, *sends);
                    sdp.simulcast(rids);
                }
            }
        }
        sdp.0
    }

    fn active(
        &self,
        sdp: &mut Sdp,
        mid: &str,
        kind: MediaKind,
        formats: &KindFormats,
        receives: bool,
        sends: Option<&SendStream>,
    ) {
        let name = name_of(kind);
        let mut numbers = String::new();
        for format in &formats.formats {
            for number in std::iter::once(format.payload_type).chain(format.retransmission) {
                // Writing to a String cannot fail.
                let _ = write!(numbers, " {number}");
            }
        }
        sdp.line(format_args!("m={name} 9 {RTP_PROTOCOL}{numbers}"));
        sdp.line(format_args!("c=IN IP4 0.0.0.0"));
        sdp.line(format_args!("a=mid:{mid}"));
        self.transport(sdp);
        sdp.line(format_args!("a=rtcp-mux"));
        sdp.line(format_args!("a=rtcp-rsize"));
        let direction = match (receives, sends) {
            (true, Some(_)) => "sendrecv",
            (true, None) => "recvonly",
            (false, Some(_)) => "sendonly",
            (false, None) => "inactive",
        };
        sdp.line(format_args!("a={direction}"));
        for (extension, id) in &formats.extensions {
            sdp.line(format_args!("a=extmap:{id} {}", extension.uri()));
        }
        for format in &formats.formats {
            sdp.format(format, kind);
        }
        if let Some(stream) = sends {
            sdp.stream(stream);
        }
    }

    fn data(&self, sdp: &mut Sdp, mid: &str) {
        sdp.line(format_args!(
            "m=application 9 UDP/DTLS/SCTP webrtc-datachannel"
        ));
        sdp.line(format_args!("c=IN IP4 0.0.0.0"));
        sdp.line(format_args!("a=mid:{mid}"));
        self.transport(sdp);
        sdp.line(format_args!("a=sctp-port:{SCTP_PORT}"));
        sdp.line(format_args!("a=max-message-size:{DATA_BYTES_MAX}"));
    }

    fn transport(&self, sdp: &mut Sdp) {
        let Transport {
            credentials,
            fingerprint,
            udp,
            tcp,
        } = &self.transport;
        sdp.line(format_args!("a=ice-ufrag:{}", credentials.ufrag));
        sdp.line(format_args!("a=ice-pwd:{}", credentials.password));
        sdp.line(format_args!("a=fingerprint:sha-256 {fingerprint}"));
        let setup = if self.offer { "actpass" } else { "passive" };
        sdp.line(format_args!("a=setup:{setup}"));
        for (n, address) in (0u32..).zip(*udp) {
            let priority = HOST_PREFERENCE + UDP_PREFERENCE - (n << 8) + 255;
            sdp.line(format_args!(
                "a=candidate:{} 1 udp {priority} {} {} typ host",
                n + 1,
                address.ip(),
                address.port()
            ));
        }
        for (n, address) in (0u32..).zip(*tcp) {
            let priority = HOST_PREFERENCE + TCP_PREFERENCE - (n << 8) + 255;
            sdp.line(format_args!(
                "a=candidate:{} 1 tcp {priority} {} {} typ host tcptype passive",
                n + 101,
                address.ip(),
                address.port()
            ));
        }
        sdp.line(format_args!("a=end-of-candidates"));
    }
}

struct Sdp(String);

impl Sdp {
    fn line(&mut self, line: std::fmt::Arguments<'_>) {
        // Writing to a String cannot fail.
        let _ = write!(self.0, "{line}\r\n");
    }

    fn format(&mut self, format: &Format, kind: MediaKind) {
        let number = format.payload_type;
        self.line(format_args!("a=rtpmap:{number} {}", format.rtpmap));
        if let Some(fmtp) = &format.fmtp {
            self.line(format_args!("a=fmtp:{number} {fmtp}"));
        }
        self.line(format_args!("a=rtcp-fb:{number} transport-cc"));
        if kind == MediaKind::Video {
            for feedback in ["ccm fir", "nack", "nack pli"] {
                self.line(format_args!("a=rtcp-fb:{number} {feedback}"));
            }
            if let Some(retransmission) = format.retransmission {
                self.line(format_args!("a=rtpmap:{retransmission} rtx/90000"));
                self.line(format_args!("a=fmtp:{retransmission} apt={number}"));
            }
        }
    }

    /// RFC 8853, section 5.3.
    fn simulcast(&mut self, rids: &[String]) {
        if rids.is_empty() {
            return;
        }
        for rid in rids {
            self.line(format_args!("a=rid:{rid} recv"));
        }
        self.line(format_args!("a=simulcast:recv {}", rids.join(";")));
    }

    fn stream(&mut self, stream: &SendStream) {
        let SendStream {
            ssrc,
            retransmission_ssrc,
            stream,
            track,
        } = stream;
        self.line(format_args!("a=msid:{stream} {track}"));
        if let Some(retransmission) = retransmission_ssrc {
            self.line(format_args!("a=ssrc-group:FID {ssrc} {retransmission}"));
        }
        for ssrc in std::iter::once(ssrc).chain(retransmission_ssrc) {
            self.line(format_args!("a=ssrc:{ssrc} cname:{stream}"));
            self.line(format_args!("a=ssrc:{ssrc} msid:{stream} {track}"));
        }
    }
}
