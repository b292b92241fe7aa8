//! Just enough SDP (RFC 8866, RFC 8829) for a client that has one microphone and one camera, or none.

use std::fmt::Write;
use std::net::SocketAddr;

use sluice_sfu::rtp::{Extension, ExtensionIds};
use sluice_wire::dtls::Fingerprint;
use thiserror::Error;

/// Payload types, as Chromium numbers them.
pub(crate) const OPUS: u8 = 111;
pub(crate) const VP8: u8 = 96;
const VP8_REPAIR: u8 = 97;

/// The extensions that the client has, with their ids.
const EXTENSIONS: [(Extension, u8); 3] = [
    (Extension::AudioLevel, 1),
    (Extension::TransportCc, 2),
    (Extension::Mid, 3),
];

/// Why an edge's description is of no use.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error("the edge's SDP has no usable `{0}`")]
pub struct SdpError(&'static str);

/// How the client numbers extensions.
pub(crate) fn extension_ids() -> ExtensionIds {
    let mut ids = ExtensionIds::NONE;
    for (extension, id) in EXTENSIONS {
        ids.set(extension, id);
    }
    ids
}

/// What the client says of itself.
#[derive(Debug, Clone)]
pub(crate) struct Local {
    pub(crate) ufrag: String,
    pub(crate) password: String,
    pub(crate) fingerprint: Fingerprint,
    /// The SSRCs of its microphone and its camera, when it publishes.
    pub(crate) publishes: Option<(u32, u32)>,
}

/// Where the edge is, and who it says it is.
#[derive(Debug, Clone)]
pub(crate) struct Remote {
    pub(crate) address: SocketAddr,
    pub(crate) ufrag: String,
    pub(crate) password: String,
    pub(crate) fingerprint: Fingerprint,
}

fn line(sdp: &mut String, text: std::fmt::Arguments<'_>) {
    // Writing to a String cannot fail.
    let _ = write!(sdp, "{text}\r\n");
}

impl Local {
    fn session(&self, version: u64, mids: &[&str]) -> String {
        let mut sdp = String::with_capacity(4_096);
        line(&mut sdp, format_args!("v=0"));
        line(&mut sdp, format_args!("o=- 1 {version} IN IP4 0.0.0.0"));
        line(&mut sdp, format_args!("s=-\r\nt=0 0"));
        line(&mut sdp, format_args!("a=group:BUNDLE {}", mids.join(" ")));
        sdp
    }

    fn transport(&self, sdp: &mut String, setup: &str) {
        let (ufrag, password) = (&self.ufrag, &self.password);
        line(sdp, format_args!("c=IN IP4 0.0.0.0\r\na=rtcp-mux"));
        line(
            sdp,
            format_args!("a=ice-ufrag:{ufrag}\r\na=ice-pwd:{password}"),
        );
        line(
            sdp,
            format_args!("a=fingerprint:sha-256 {}", self.fingerprint),
        );
        line(sdp, format_args!("a=setup:{setup}"));
    }

    fn ssrc(sdp: &mut String, ssrc: u32, track: &str) {
        line(
            sdp,
            format_args!("a=msid:load {track}\r\na=ssrc:{ssrc} cname:load"),
        );
    }

    /// The first offer.
    pub(crate) fn offer(&self) -> String {
        let mut sdp = self.session(1, &["0", "1"]);
        let direction = match self.publishes {
            Some(_) => "sendonly",
            None => "recvonly",
        };
        line(&mut sdp, format_args!("m=audio 9 UDP/TLS/RTP/SAVPF {OPUS}"));
        self.transport(&mut sdp, "actpass");
        line(&mut sdp, format_args!("a=mid:0\r\na={direction}"));
        line(
            &mut sdp,
            format_args!("a=rtpmap:{OPUS} opus/48000/2\r\na=rtcp-fb:{OPUS} transport-cc"),
        );
        for (extension, id) in EXTENSIONS {
            line(&mut sdp, format_args!("a=extmap:{id} {}", extension.uri()));
        }
        if let Some((audio, _)) = self.publishes {
            Self::ssrc(&mut sdp, audio, "microphone");
        }
        line(
            &mut sdp,
            format_args!("m=video 9 UDP/TLS/RTP/SAVPF {VP8} {VP8_REPAIR}"),
        );
        self.transport(&mut sdp, "actpass");
        line(&mut sdp, format_args!("a=mid:1\r\na={direction}"));
        line(&mut sdp, format_args!("a=rtpmap:{VP8} VP8/90000"));
        for feedback in ["transport-cc", "ccm fir", "nack", "nack pli"] {
            line(&mut sdp, format_args!("a=rtcp-fb:{VP8} {feedback}"));
        }
        line(
            &mut sdp,
            format_args!("a=rtpmap:{VP8_REPAIR} rtx/90000\r\na=fmtp:{VP8_REPAIR} apt={VP8}"),
        );
        for (extension, id) in &EXTENSIONS[1..] {
            line(&mut sdp, format_args!("a=extmap:{id} {}", extension.uri()));
        }
        if let Some((_, video)) = self.publishes {
            Self::ssrc(&mut sdp, video, "camera");
        }
        sdp
    }

    /// The answer to an offer of the edge: everything that it has, mirrored.
    pub(crate) fn answer(&self, offer: &str, version: u64) -> String {
        let sections: Vec<&str> = sections(offer);
        let mids: Vec<&str> = sections
            .iter()
            .filter_map(|section| attribute(section, "a=mid:"))
            .collect();
        let mut sdp = self.session(version, &mids);
        for section in sections {
            let mut lines = section.lines();
            if let Some(media) = lines.next() {
                line(&mut sdp, format_args!("{media}"));
            }
            self.transport(&mut sdp, "active");
            for text in lines {
                let kept = ["a=mid:", "a=rtpmap:", "a=fmtp:", "a=rtcp-fb:", "a=extmap:"]
                    .iter()
                    .any(|prefix| text.starts_with(prefix));
                match text {
                    "a=sendonly" => line(&mut sdp, format_args!("a=recvonly")),
                    "a=recvonly" => line(&mut sdp, format_args!("a=sendonly")),
                    "a=inactive" | "a=sendrecv" => line(&mut sdp, format_args!("{text}")),
                    _ if kept => line(&mut sdp, format_args!("{text}")),
                    _ => {}
                }
            }
            let own = attribute(section, "a=mid:");
            match (self.publishes, own) {
                (Some((audio, _)), Some("0")) => Self::ssrc(&mut sdp, audio, "microphone"),
                (Some((_, video)), Some("1")) => Self::ssrc(&mut sdp, video, "camera"),
                _ => {}
            }
        }
        sdp
    }
}

/// The m-lines of a description, each with what belongs to it.
fn sections(sdp: &str) -> Vec<&str> {
    let starts: Vec<_> = sdp
        .match_indices("\nm=")
        .map(|(at, _)| at + 1)
        .chain([sdp.len()])
        .collect();
    starts
        .windows(2)
        .map(|pair| &sdp[pair[0]..pair[1]])
        .collect()
}

fn attribute<'a>(section: &'a str, prefix: &str) -> Option<&'a str> {
    section.lines().find_map(|line| line.strip_prefix(prefix))
}

impl Remote {
    /// Reads an edge's answer.
    ///
    /// # Errors
    /// When something is missing without which there is no connection.
    pub(crate) fn read(sdp: &str) -> Result<Self, SdpError> {
        let text = |prefix, what| attribute(sdp, prefix).ok_or(SdpError(what));
        let address = sdp
            .lines()
            .filter_map(|line| line.strip_prefix("a=candidate:"))
            .find_map(|candidate| {
                let fields: Vec<_> = candidate.split(' ').collect();
                match fields[..] {
                    [_, _, "udp", _, ip, port, ..] => {
                        Some(SocketAddr::new(ip.parse().ok()?, port.parse().ok()?))
                    }
                    _ => None,
                }
            })
            .ok_or(SdpError("a=candidate"))?;
        Ok(Self {
            address,
            ufrag: text("a=ice-ufrag:", "a=ice-ufrag")?.to_owned(),
            password: text("a=ice-pwd:", "a=ice-pwd")?.to_owned(),
            fingerprint: Fingerprint::parse(text("a=fingerprint:sha-256 ", "a=fingerprint")?)
                .ok_or(SdpError("a=fingerprint"))?,
        })
    }
}
